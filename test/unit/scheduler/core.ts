/** A coordinator's core with a clock and a journal of its own, for tests. */
import { expect } from 'vitest';
import { applyEntry } from '../../../coordinator/scheduler/apply.js';
import type { Answer, Command, Effect, Now } from '../../../coordinator/scheduler/command.js';
import { decide } from '../../../coordinator/scheduler/decide.js';
import { handle } from '../../../coordinator/scheduler/handle.js';
import { emptyPresence, type Presence } from '../../../coordinator/scheduler/presence.js';
import {
  emptyState,
  findStage,
  type AttemptState,
  type StageState,
  type State,
} from '../../../coordinator/scheduler/state.js';
import { reasonsToWait } from '../../../coordinator/scheduler/reasons.js';
import { runView } from '../../../coordinator/scheduler/views.js';
import type { AssignAnswer, Heartbeat } from '../../../shared/model/agent.js';
import type { Entry, Event, EventKind, Report, StageOutline } from '../../../shared/model/event.js';
import type { AgentId, AttemptRef, RunId } from '../../../shared/model/ids.js';
import type { RunFacts } from '../../../shared/model/pipeline.js';
import type { RunView } from '../../../shared/model/run.js';
import { agentId, instanceId, runId, sha, submission } from './ids.js';

export * from './ids.js';

type Registration = Omit<Extract<Command, { kind: 'RegisterAgent' }>, 'kind' | 'agent' | 'instance'>;

export class Core {
  state: State = emptyState();
  presence: Presence;
  entries: Entry[] = [];
  wallMs = 1_700_000_000_000;
  monotonicMs = 1_000;
  wakeAtMs: number | undefined;
  readonly #beats = new Map<string, number>();
  #instances = 0;

  constructor() {
    this.presence = emptyPresence(this.now);
    this.#beginEpoch();
  }

  get now(): Now {
    return { wallMs: Math.max(this.wallMs, this.state.lastAt), monotonicMs: this.monotonicMs };
  }

  get events(): readonly Event[] {
    return this.entries.flatMap((entry) => entry.events);
  }

  #beginEpoch(): void {
    const epoch = this.entries.length + 1;
    const entry: Entry = {
      v: 1,
      at: this.now.wallMs,
      epoch,
      events: [{ kind: 'EpochBegan', epoch, seed: `seed${epoch}` }],
    };
    this.entries.push(entry);
    applyEntry(this.state, entry);
  }

  /** One turn of the loop, and those that follow at once. */
  turn(...commands: readonly Command[]): {
    answers: readonly Answer[];
    events: readonly Event[];
    effects: readonly Effect[];
  } {
    const { now } = this;
    const answers: Answer[] = [];
    const events: Event[] = [];
    const effects: Effect[] = [];
    for (const command of commands) {
      const handled = handle(this.state, this.presence, command, now);
      events.push(...handled.events);
      answers.push(handled.answer);
    }
    for (let turns = 0; ; turns += 1) {
      const decision = decide(this.state, this.presence, now);
      events.push(...decision.events);
      effects.push(...decision.effects);
      this.wakeAtMs = decision.wakeAtMs;
      if (decision.wakeAtMs === undefined || decision.wakeAtMs > now.monotonicMs) break;
      if (turns > 1_000) throw new Error('decide never comes to rest');
    }
    if (events.length > 0) this.entries.push({ v: 1, at: now.wallMs, epoch: this.state.epoch, events });
    return { answers, events, effects };
  }

  /** Turns at each time that `decide` asks for, until so much time has passed. */
  pass(ms: number): { events: readonly Event[]; effects: readonly Effect[] } {
    const until = this.monotonicMs + ms;
    const events: Event[] = [];
    const effects: Effect[] = [];
    while (this.monotonicMs < until) {
      const next = Math.min(until, Math.max(this.monotonicMs + 1, this.wakeAtMs ?? until));
      this.wallMs += next - this.monotonicMs;
      this.monotonicMs = next;
      const turned = this.turn();
      events.push(...turned.events);
      effects.push(...turned.effects);
    }
    return { events, effects };
  }

  /** Lets time pass with heartbeats of these agents each 2 s. */
  passWith(
    ms: number,
    ...agents: readonly { agent: AgentId; more?: Partial<Heartbeat> }[]
  ): readonly Event[] {
    const events: Event[] = [];
    for (let left = ms; left > 0; left -= 2_000) {
      events.push(...this.pass(Math.min(2_000, left)).events);
      for (const { agent, more } of agents) events.push(...this.beat(agent, more).events);
    }
    return events;
  }

  /** The process is replaced: everything but the journal is lost. The replayed state must be the one that was. */
  restart(): void {
    const live = plain(this.state);
    this.state = emptyState();
    for (const entry of this.entries) applyEntry(this.state, entry);
    expect(plain(this.state)).toEqual(live);
    this.#beginEpoch();
    this.monotonicMs = 77_000;
    this.presence = emptyPresence(this.now);
  }

  submit(n: number, stages: readonly StageOutline[], changes: Partial<RunFacts> = {}): RunId {
    this.turn(submission(n, stages, changes));
    return runId(n);
  }

  register(n: number, changes: Partial<Registration> = {}): AgentId {
    const agent = agentId(n);
    this.#instances += 1;
    this.turn({
      kind: 'RegisterAgent',
      agent,
      instance: instanceId(this.#instances),
      name: `agent${n}`,
      labels: ['os=linux'],
      slots: 1,
      projects: [],
      trust: ['branch', 'submit'],
      keyHash: sha(n),
      version: '1.0.0',
      joinedBy: 'token 1',
      ...changes,
    });
    return agent;
  }

  /** Registered, linked, and heard. */
  join(n: number, changes: Partial<Registration> = {}): AgentId {
    const agent = this.register(n, changes);
    this.beat(agent);
    return agent;
  }

  /** A heartbeat that names all leases of the agent, unless told otherwise. */
  heartbeat(agent: AgentId, changes: Partial<Heartbeat> = {}): Heartbeat {
    const { instance, slots, leases } = this.state.agents.get(agent)!;
    const number = (this.#beats.get(instance) ?? 0) + 1;
    this.#beats.set(instance, number);
    return {
      agent,
      instance,
      number,
      slots,
      linked: true,
      away: false,
      load: 0,
      mirrors: [],
      held: [...leases].map((attempt) => ({ ...refOf(attempt), token: attempt.token })),
      version: '1.0.0',
      ...changes,
    };
  }

  beat(agent: AgentId, changes: Partial<Heartbeat> = {}): ReturnType<Core['turn']> {
    return this.turn({ kind: 'HeartbeatSeen', heartbeat: this.heartbeat(agent, changes) });
  }

  stage(run: RunId, number = 1): StageState {
    return findStage(this.state, run, number)!;
  }

  attempt(run: RunId, stage = 1): AttemptState {
    return this.stage(run, stage).attempts.at(-1)!;
  }

  answer(
    attempt: AttemptState,
    answer: AssignAnswer | { readonly kind: 'no-responder' } | { readonly kind: 'silent' },
  ): ReturnType<Core['turn']> {
    const { agent, token: given } = attempt;
    return this.turn({ kind: 'AssignAnswered', agent, ref: refOf(attempt), token: given, answer });
  }

  report(attempt: AttemptState, report: Report, n = attempt.reports + 1): Answer {
    return this.turn(reportOf(attempt, report, n)).answers[0]!;
  }

  start(attempt: AttemptState): Answer {
    return this.report(attempt, { kind: 'AttemptStarted', executor: 'docker' });
  }

  finish(attempt: AttemptState, changes: Partial<Extract<Report, { kind: 'AttemptFinished' }>> = {}): Answer {
    return this.report(attempt, { kind: 'AttemptFinished', status: 'succeeded', logs: [], ...changes });
  }

  view(run: RunId): RunView {
    return runView(this.state, this.presence, this.state.runs.get(run)!, this.now);
  }

  reasons(run: RunId, stage = 1): readonly string[] {
    return reasonsToWait(this.state, this.presence, this.stage(run, stage), this.now);
  }
}

export const refOf = (attempt: AttemptState): AttemptRef => ({
  run: attempt.stage.run.run,
  stage: attempt.stage.outline.number,
  attempt: attempt.number,
});

export const reportOf = (
  attempt: AttemptState,
  report: Report,
  n = attempt.reports + 1,
): Extract<Command, { kind: 'Report' }> => ({
  kind: 'Report',
  agent: attempt.agent,
  ref: refOf(attempt),
  token: attempt.token,
  n,
  at: 1_700_000_000_500,
  report,
});

export const kinds = (events: readonly Event[]): readonly EventKind[] => events.map((event) => event.kind);

/** The state as a tree, without what only says where `decide` must look. */
export function plain(state: State): unknown {
  const nameOf = (stage: StageState): string => `${stage.run.run}/${stage.outline.number}`;
  return {
    epoch: state.epoch,
    seed: state.seed,
    lastAt: state.lastAt,
    token: state.token,
    accepted: state.accepted,
    recorded: [...state.recorded],
    shares: [...state.shares].toSorted(),
    waiting: [...state.waiting].map(nameOf),
    environments: [...state.deliveries.all],
    deployed: [...state.deliveries.runs].map(([run, places]) => [
      run,
      places.map(({ environment, ...place }) => ({ ...place, environment: environment.environment })),
    ]),
    agents: [...state.agents.values()].map((agent) => ({
      ...agent,
      leases: [...agent.leases].map((attempt) => attempt.token),
    })),
    runs: [...state.runs.values()].map((run) => ({
      ...run,
      images: [...run.images],
      stages: run.stages.map((stage) => ({
        ...stage,
        run: undefined,
        needs: stage.needs.map(nameOf),
        dependants: stage.dependants.map(nameOf),
        phase:
          'attempt' in stage.phase ? { ...stage.phase, attempt: stage.phase.attempt.token } : stage.phase,
        attempts: stage.attempts.map((attempt) => ({ ...attempt, stage: undefined })),
      })),
    })),
  };
}
