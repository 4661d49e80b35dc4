/**
 * Agents that keep the protocol, on a network and machines that do not behave: what is sent may be lost, doubled,
 * delayed and reordered, agents crash with and without their disk, and the coordinator is replaced at any time. One
 * seed drives all of it.
 */
import type { Answer, Command, Effect } from '../../../coordinator/scheduler/command.js';
import type { HeldAttempt } from '../../../shared/model/agent.js';
import type { Event, Report, StageOutline } from '../../../shared/model/event.js';
import { attemptKey, type AgentId, type AttemptRef, type Token } from '../../../shared/model/ids.js';
import type { Failure } from '../../../shared/model/failure.js';
import { agentId, Core, instanceId, projectId, runId, sha, submission } from './core.js';

export interface FleetPlan {
  readonly seed: number;
  readonly runs: readonly {
    readonly stages: readonly StageOutline[];
    readonly project: number;
    readonly isCanceled: boolean;
  }[];
  readonly agents: readonly {
    readonly labels: readonly string[];
    readonly slots: number;
    readonly projects: readonly number[];
  }[];
  /** How likely an attempt gets on with each tick. */
  readonly pace: number;
  /** Turns of the world with trouble, before it calms down. */
  readonly chaosTicks: number;
}

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An attempt as its agent has it on disk. */
interface Held {
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly reports: Report[];
  acknowledged: number;
  isCanceled: boolean;
}

class SimAgent {
  isUp = false;
  /** Until then the network carries nothing from or to it; it works on. */
  cutUntil = 0;
  instance = instanceId(1);
  beats = 0;
  readonly disk = new Map<Token, Held>();

  constructor(
    readonly id: AgentId,
    readonly labels: readonly string[],
    readonly slots: number,
    readonly projects: readonly number[],
  ) {}

  /** Not acknowledged as ended. */
  get held(): readonly HeldAttempt[] {
    return [...this.disk.values()]
      .filter(
        (held) =>
          !held.reports.slice(0, held.acknowledged).some((report) => report.kind === 'AttemptFinished'),
      )
      .map(({ ref, token }) => ({ ...ref, token }));
  }
}

const tickMs = 500;

export class Fleet {
  readonly core = new Core();
  readonly events: Event[] = [];
  /** How each attempt that an agent ended was ended, by token. */
  readonly ended = new Map<number, string>();
  readonly #random: () => number;
  readonly #agents: readonly SimAgent[];
  #inFlight: { readonly at: number; readonly deliver: () => void }[] = [];
  #t = 0;
  #calm = false;
  #instances = 1;

  constructor(readonly plan: FleetPlan) {
    this.#random = randomOf(plan.seed);
    this.#agents = plan.agents.map(
      ({ labels, slots, projects }, index) => new SimAgent(agentId(index), labels, slots, projects),
    );
  }

  /** Runs the trouble, then calm until every run has left the state or a day has passed; then, for what no agent suits, a week. */
  live(check: (fleet: Fleet) => void): void {
    const { runs, chaosTicks } = this.plan;
    runs.forEach((run, index) => {
      const submit = submission(index, run.stages, { project: projectId(run.project) });
      this.#send(() => this.#command(submit));
      if (run.isCanceled) {
        const cancel = { kind: 'Cancel', run: runId(index), by: 'ada' } as const;
        this.#later(this.#random() * chaosTicks * tickMs, () => this.#command(cancel));
      }
    });
    for (let tick = 0; tick < chaosTicks; tick += 1) this.#tick(check);
    this.#calm = true;
    for (const agent of this.#agents) agent.cutUntil = 0;
    runs.forEach((run, index) => {
      this.#command(submission(index, run.stages, { project: projectId(run.project) }));
    });
    for (let tick = 0; this.core.state.runs.size > 0 && tick < 4_000; tick += 1) this.#tick(check);
    for (let days = 0; this.core.state.runs.size > 0 && days < 30; days += 1) {
      this.core.wallMs += 86_400_000;
      for (let tick = 0; tick < 200; tick += 1) this.#tick(check);
    }
  }

  #chance(probability: number): boolean {
    return !this.#calm && this.#random() < probability;
  }

  #tick(check: (fleet: Fleet) => void): void {
    this.#t += tickMs;
    this.core.wallMs += tickMs;
    this.core.monotonicMs += tickMs;
    if (this.#chance(0.01)) this.core.restart();
    for (const agent of this.#agents) this.#liveOn(agent);
    const due = this.#inFlight.filter(({ at }) => at <= this.#t);
    this.#inFlight = this.#inFlight.filter(({ at }) => at > this.#t);
    for (const { deliver } of due) deliver();
    this.#turn();
    check(this);
  }

  #turn(...commands: readonly Command[]): readonly Answer[] {
    const { answers, events, effects } = this.core.turn(...commands);
    this.events.push(...events);
    // A coordinator that is replaced now has stored its entry and performed nothing.
    if (this.#chance(0.005)) this.core.restart();
    else for (const effect of effects) this.#perform(effect);
    return answers;
  }

  #command(command: Command): Answer | undefined {
    return this.#turn(command)[0];
  }

  #later(ms: number, deliver: () => void): void {
    this.#inFlight.push({ at: this.#t + ms, deliver });
  }

  /** Lost, doubled, delayed. */
  #send(deliver: () => void, agent?: SimAgent): void {
    if (this.#chance(0.1) || (agent !== undefined && agent.cutUntil > this.#t)) return;
    for (let copies = this.#chance(0.1) ? 2 : 1; copies > 0; copies -= 1) {
      this.#later(this.#chance(0.1) ? this.#random() * 10_000 : this.#random() * tickMs, deliver);
    }
  }

  #liveOn(agent: SimAgent): void {
    if (!agent.isUp) {
      if (this.#calm || this.#random() < 0.02) this.#boot(agent);
      return;
    }
    if (this.#chance(0.01)) {
      agent.isUp = false;
      if (this.#random() < 0.3) agent.disk.clear();
      return;
    }
    if (this.#chance(0.01)) agent.cutUntil = this.#t + this.#random() * 60_000;
    for (const held of agent.disk.values()) this.#work(agent, held);
    if (this.#t % 2_000 < tickMs) this.#beat(agent);
  }

  #boot(agent: SimAgent): void {
    agent.cutUntil = 0;
    this.#instances += 1;
    const instance = instanceId(this.#instances);
    const answer = this.#command({
      kind: 'RegisterAgent',
      agent: agent.id,
      instance,
      name: agent.id,
      labels: agent.labels,
      slots: agent.slots,
      projects: agent.projects.map(projectId),
      trust: ['submit'],
      keyHash: sha(1),
      version: '1',
      joinedBy: 'test',
    });
    if (answer?.kind !== 'done') throw new Error('not registered');
    agent.isUp = true;
    agent.instance = instance;
    agent.beats = 0;
  }

  #beat(agent: SimAgent): void {
    agent.beats += 1;
    const { id, instance, beats, slots, held } = agent;
    const refusing = this.#chance(0.05) ? { refusing: 'no space' } : {};
    const heartbeat = {
      agent: id,
      instance,
      number: beats,
      slots,
      linked: !this.#chance(0.05),
      away: this.#chance(0.02),
      load: this.#random(),
      mirrors: [],
      held,
      version: '1',
      ...refusing,
    };
    this.#send(() => this.#command({ kind: 'HeartbeatSeen', heartbeat }), agent);
  }

  /** Makes some progress and sends what is not acknowledged. */
  #work(agent: SimAgent, held: Held): void {
    const last = held.reports.at(-1);
    if (last?.kind === 'AttemptFinished') {
      if (held.acknowledged >= held.reports.length) held.reports.push({ kind: 'LogsArchived' });
    } else if (last?.kind !== 'LogsArchived' && this.#random() < this.plan.pace) {
      held.reports.push(this.#nextReport(held));
      const made = held.reports.at(-1);
      if (made?.kind === 'AttemptFinished') this.ended.set(held.token, made.status);
    }
    if (held.reports.at(-1)?.kind === 'LogsArchived' && held.acknowledged >= held.reports.length) {
      agent.disk.delete(held.token);
      return;
    }
    for (let n = held.acknowledged + 1; n <= held.reports.length; n += 1) {
      const report = held.reports[n - 1]!;
      this.#send(() => {
        const { ref, token } = held;
        const answer = this.#command({
          kind: 'Report',
          agent: agent.id,
          ref,
          token,
          n,
          at: this.core.wallMs,
          report,
        });
        if (answer !== undefined) this.#send(() => this.#reported(agent, held, answer), agent);
      }, agent);
    }
  }

  #nextReport(held: Held): Report {
    if (held.reports.length === 0) return { kind: 'AttemptStarted', executor: 'docker' };
    if (held.isCanceled) {
      return {
        kind: 'AttemptFinished',
        status: 'canceled',
        failure: { kind: 'canceled', by: 'ada' },
        logs: [],
      };
    }
    if (held.reports.length < 4) return { kind: 'StepStarted', step: held.reports.length, shell: 'sh' };
    const dice = this.#random();
    const failure: Failure | undefined =
      dice < 0.1
        ? { kind: 'exit-code', step: 1, exitCode: 1 }
        : dice < 0.2
          ? { kind: 'box-broken', message: 'no daemon' }
          : undefined;
    return {
      kind: 'AttemptFinished',
      status: failure === undefined ? 'succeeded' : 'failed',
      ...(failure === undefined ? {} : { failure }),
      logs: [],
    };
  }

  #reported(agent: SimAgent, held: Held, answer: Answer): void {
    if (!agent.isUp) return;
    if (answer.kind === 'reported') held.acknowledged = Math.max(held.acknowledged, answer.n);
    else if (answer.kind === 'overtaken') agent.disk.delete(held.token);
    else if (answer.kind !== 'report-wanted')
      throw new Error(`a report was answered ${JSON.stringify(answer)}`);
  }

  #perform(effect: Effect): void {
    const agent = this.#agents.find((one) => 'agent' in effect && one.id === effect.agent);
    switch (effect.kind) {
      case 'Assign':
        this.#assign(agent!, effect.ref, effect.token);
        break;
      case 'EndAttempt':
        this.#send(() => {
          const held = agent!.disk.get(effect.token);
          if (held === undefined || !agent!.isUp) return;
          if (effect.why === 'canceled') held.isCanceled = true;
          else agent!.disk.delete(effect.token);
        }, agent);
        break;
      case 'Record':
        this.#send(() => this.#command({ kind: 'RunStored', run: effect.run }));
        break;
      // The fleet drains nobody and has neither projects nor environments, so nothing of these is ever asked for.
      case 'Drain':
      case 'Trigger':
      case 'Notify':
      case 'Gate':
      case 'Delivery':
      case 'DescribeDeployment':
        break;
    }
  }

  #assign(agent: SimAgent, ref: AttemptRef, token: Token): void {
    const answer = (given: Extract<Command, { kind: 'AssignAnswered' }>['answer']): void =>
      this.#send(
        () => this.#command({ kind: 'AssignAnswered', agent: agent.id, ref, token, answer: given }),
        agent,
      );
    this.#send(() => {
      if (!agent.isUp) {
        answer({ kind: 'no-responder' });
        return;
      }
      const known = [...agent.disk.values()].find((held) => attemptKey(held.ref) === attemptKey(ref));
      if (known !== undefined && known.token > token) return;
      if (known?.token !== token && (agent.held.length >= agent.slots || this.#chance(0.1))) {
        answer({ kind: 'refused', reason: 'full' });
        return;
      }
      if (known?.token !== token) {
        if (known !== undefined) agent.disk.delete(known.token);
        agent.disk.set(token, { ref, token, reports: [], acknowledged: 0, isCanceled: false });
      }
      answer({ kind: 'accepted', heartbeat: agent.beats });
    }, agent);
  }
}
