/**
 * Two environments with everything around them: people, agents that die and come back, a scheduler, git, and a machine that
 * crashes. What happens next is drawn from a seed; what must hold is asserted when it happens.
 */
import { applyDelivery } from '../../../coordinator/delivery/apply.js';
import type {
  AttemptEnd,
  DeliveryCommand,
  DeliveryContext,
  DeliveryEffect,
  StageRef,
} from '../../../coordinator/delivery/command.js';
import { decideDelivery } from '../../../coordinator/delivery/decide.js';
import { handleDelivery } from '../../../coordinator/delivery/handle.js';
import { emptyDeliveryPresence } from '../../../coordinator/delivery/presence.js';
import { stageOrder } from '../../../coordinator/delivery/stage-order.js';
import {
  emptyDeliveries,
  findEnvironment,
  findPlace,
  touchStage,
  type Environment,
} from '../../../coordinator/delivery/state.js';
import type { DeploymentRecord } from '../../../shared/model/deployment.js';
import {
  defaultEnvironmentSettings,
  type DeliveryEvent,
  type EnvironmentRef,
} from '../../../shared/model/environment.js';
import type { Token } from '../../../shared/model/ids.js';
import { Checks } from './checks.js';
import {
  comparedOf,
  DeliveryCore,
  production,
  record,
  runId,
  sha,
  stageNumber,
  staging,
  token,
} from './core.js';
import { FakeScheduler, keyOf, type Fact } from './fake-scheduler.js';

export interface WorldPlan {
  readonly seed: number;
  readonly ticks: number;
  readonly crashes: boolean;
  readonly approval: boolean;
  readonly rollsBack: boolean;
  /** A run in so many is of a commit whose deployment is bad. */
  readonly badOneIn: number;
}

type Item =
  | { readonly kind: 'fact'; readonly fact: Fact }
  | { readonly kind: 'event'; readonly event: DeliveryEvent; readonly at: number };

/** A box somewhere. What it does is done, whatever anybody knows of it. */
export interface Box {
  readonly at: StageRef;
  readonly token: Token;
  doing: 'asking' | 'deploying' | 'done' | 'reported';
  end: AttemptEnd | undefined;
}

const people = ['ada', 'grace', 'linus'] as const;

/** xorshift: the same seed is the same story. */
export function dice(seed: number): (sides: number) => number {
  let state = seed | 0 || 1;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

export class World {
  scheduler = new FakeScheduler();
  deliveries = emptyDeliveries();
  #presence = emptyDeliveryPresence();
  #journal: Item[] = [];
  readonly boxes = new Map<Token, Box>();
  readonly checks = new Checks(this);
  /** What each stage of a run would deploy. */
  readonly #records = new Map<string, DeploymentRecord>();
  readonly #forced = new Set<string>();
  readonly #fixed = new DeliveryCore().context;
  readonly #roll: (sides: number) => number;
  #effects: DeliveryEffect[] = [];
  #commits = 0;
  #runs = 0;
  #tokens = 0;
  #wallMs = 1_700_000_000_000;
  #monotonicMs = 1_000;
  #isChaos = false;

  constructor(readonly plan: WorldPlan) {
    this.#roll = dice(plan.seed);
    const { approval, rollsBack } = plan;
    const settings = { ...defaultEnvironmentSettings, rollsBack };
    this.#turn([], { kind: 'SetEnvironment', ...staging, settings, by: 'grace' });
    const rule = approval ? { approval: { by: [], notAuthor: true } } : {};
    const behind = { ...settings, ...rule, promotesFrom: 'staging' };
    this.#turn([], { kind: 'SetEnvironment', ...production, settings: behind, by: 'grace' });
  }

  get events(): readonly DeliveryEvent[] {
    return this.#journal.flatMap((item) => (item.kind === 'event' ? [item.event] : []));
  }

  get environments(): readonly Environment[] {
    return [staging, production].flatMap((where) => findEnvironment(this.deliveries, where) ?? []);
  }

  run(): void {
    this.#isChaos = true;
    for (let tick = 0; tick < this.plan.ticks; tick += 1) this.#tick();
    this.#isChaos = false;
    this.#settle();
  }

  /** From now on nothing new comes; everything must come to an end. */
  #settle(): void {
    for (let rounds = 0; ; rounds += 1) {
      const open = this.environments.flatMap((environment) => environment.open);
      const isQuiet =
        this.#effects.length === 0 && [...this.boxes.values()].every((box) => box.doing === 'reported');
      if (open.length === 0 && isQuiet && [...this.scheduler.stages.values()].every((stage) => stage.ended))
        return;
      if (rounds > 500) throw new Error(`never at rest: ${JSON.stringify(open, null, 1)}`);
      while (this.#effects.length > 0) this.#perform();
      for (const environment of this.environments) {
        if (environment.held !== undefined || environment.rolledBack !== undefined) {
          this.#turn([], { kind: 'ResumeEnvironment', ...nameOf(environment), by: 'grace' });
        }
        for (const deployment of environment.open) {
          if (deployment.phase.kind === 'approval') this.#approve(environment);
          if (deployment.phase.kind === 'unknown') this.#settleUnknown(environment);
        }
      }
      for (const stage of this.scheduler.stages.values()) this.#lease(stage.at);
      for (const box of this.boxes.values()) this.#work(box);
      for (const { attempt } of this.scheduler.tokens.values()) {
        const isGone = (this.boxes.get(attempt.token)?.doing ?? 'reported') === 'reported';
        const isAwaited = attempt.phase === 'leased' || attempt.phase === 'running';
        if (isGone && isAwaited && !this.scheduler.isOvertaken(attempt.token)) {
          this.#turn([{ kind: 'lost', token: attempt.token }]);
        }
      }
      this.#pass(60_000);
    }
  }

  #tick(): void {
    const environment = this.environments[this.#roll(2)];
    const box = [...this.boxes.values()].filter(({ doing }) => doing !== 'reported');
    const any = box[this.#roll(Math.max(1, box.length))];
    if (environment === undefined) return;
    const chance: readonly (readonly [number, () => void])[] = [
      [4, () => this.#newRun()],
      [16, () => this.#leaseSome()],
      [30, () => any !== undefined && this.#work(any)],
      [4, () => any !== undefined && this.#lose(any)],
      [1, () => this.#cancelSome()],
      [7, () => this.#approve(environment)],
      [1, () => this.#rejectSome(environment)],
      [2, () => this.#rollback(environment)],
      [6, () => this.#settleUnknown(environment)],
      [1, () => this.#turn([], { kind: 'HoldEnvironment', ...nameOf(environment), by: 'grace' })],
      [5, () => this.#turn([], { kind: 'ResumeEnvironment', ...nameOf(environment), by: 'grace' })],
      [1, () => this.#changeSettings(environment)],
      [1, () => this.#crash(0)],
      [2, () => this.#pass([100, 3_000, 60_000, 8 * 86_400_000][this.#roll(4)]!)],
      [20, () => this.#perform()],
    ];
    let luck = this.#roll(chance.reduce((sum, [share]) => sum + share, 0));
    for (const [share, happen] of chance) {
      if (luck < share) {
        happen();
        return;
      }
      luck -= share;
    }
  }

  #context(): DeliveryContext {
    return {
      ...this.#fixed,
      now: { wallMs: this.#wallMs, monotonicMs: this.#monotonicMs },
      stage: (at) => this.scheduler.sight(at),
    };
  }

  /** One turn of the loop: what the scheduler took in, the commands, the decisions, and what they mean for its stages. */
  #turn(facts: readonly Fact[], ...commands: readonly DeliveryCommand[]): void {
    const context = this.#context();
    const items: Item[] = [];
    const effects: DeliveryEffect[] = [];
    const take = (fact: Fact): void => {
      this.scheduler.apply(fact);
      items.push({ kind: 'fact', fact });
      if (fact.kind === 'cancel-asked') touchStage(this.deliveries, fact);
      else if ('at' in fact) touchStage(this.deliveries, fact.at);
      else touchStage(this.deliveries, this.scheduler.tokens.get(fact.token)!.stage.at);
    };
    const note = (events: readonly DeliveryEvent[]): void => {
      for (const event of events) items.push({ kind: 'event', event, at: this.#wallMs });
    };
    for (const fact of facts) take(fact);
    for (const command of commands) {
      note(handleDelivery(this.deliveries, command, { presence: this.#presence, context }).events);
    }
    for (let rounds = 0; ; rounds += 1) {
      if (rounds > 50) throw new Error('a turn without end');
      const before = items.length;
      const decision = decideDelivery(this.deliveries, this.#presence, context);
      note(decision.events);
      effects.push(...decision.effects);
      for (const fact of this.#endStages()) take(fact);
      for (const command of this.#requests()) {
        note(handleDelivery(this.deliveries, command, { presence: this.#presence, context }).events);
      }
      if (items.length === before) break;
    }
    const isLost = this.#isChaos && this.plan.crashes && this.#roll(40) === 0;
    const kept = isLost ? items.slice(0, this.#roll(items.length + 1)) : items;
    this.#journal.push(...kept);
    if (isLost) {
      this.#replay();
      this.checks.look(kept.flatMap((item) => (item.kind === 'event' ? [item.event] : [])));
      this.#crash(1);
      return;
    }
    this.checks.look(kept.flatMap((item) => (item.kind === 'event' ? [item.event] : [])));
    this.#effects.push(...effects);
  }

  /** As the scheduler does: a stage that is canceled before a lease ends, and one whose deployment is over. */
  #endStages(): readonly Fact[] {
    return [...this.scheduler.stages.values()].flatMap((stage): readonly Fact[] => {
      if (stage.ended !== undefined) return [];
      const order = stageOrder(this.deliveries, stage.at);
      if (order.kind === 'end') return [{ kind: 'stage-ended', at: stage.at, status: order.status }];
      const isIdle = !this.scheduler.isHeld(stage) && !this.scheduler.hasBegun(stage);
      const isCanceled = stage.canceledBy !== undefined && isIdle;
      return isCanceled || (order.kind === 'request' && this.#isSkipped(stage.at))
        ? [{ kind: 'stage-ended', at: stage.at, status: 'canceled' }]
        : [];
    });
  }

  #isSkipped({ run, stage }: StageRef): boolean {
    if (stage === stageNumber.staging || this.#forced.has(run)) return false;
    const need = this.scheduler.stages.get(keyOf({ run, stage: stageNumber.staging }))?.ended;
    return need === 'failed' || need === 'canceled';
  }

  /** The needs of staging are always met; production needs staging. */
  #requests(): readonly DeliveryCommand[] {
    return [...this.scheduler.stages.values()].flatMap(({ at, ended }): readonly DeliveryCommand[] => {
      const what = this.#records.get(keyOf(at));
      if (ended !== undefined || what === undefined) return [];
      if (stageOrder(this.deliveries, at).kind !== 'request') return [];
      const isStaging = at.stage === stageNumber.staging;
      const need = this.scheduler.stages.get(keyOf({ run: at.run, stage: stageNumber.staging }));
      const isForced = this.#forced.has(at.run);
      if (!isStaging && !isForced && need?.ended !== 'succeeded') return [];
      return [
        {
          kind: 'RequestDeployment',
          ...(isStaging ? staging : production),
          ...at,
          source: { event: 'push', trust: 'branch', branch: 'main' },
          record: what,
          title: 'change',
          by: people[this.#runs % 3]!,
          ...(isForced ? { force: { by: 'grace', reason: 'it burns' } } : {}),
        },
      ];
    });
  }

  #newRun(): void {
    this.#runs += 1;
    // Mostly a new commit, sometimes an old one, sometimes built anew.
    const isOld = this.#commits > 0 && this.#roll(4) === 0;
    if (!isOld) this.#commits += 1;
    const commit = isOld ? 1 + this.#roll(this.#commits) : this.#commits;
    const isRebuilt = this.#roll(4) === 0;
    const build = isRebuilt ? 100_000 + this.#runs : commit;
    const what = (rebuilt: number): DeploymentRecord =>
      record(commit, {
        artifacts: [{ name: 'package/wheel', sha256: sha(rebuilt), run: runId(this.#runs) }],
        verifies: commit % 3 !== 0,
      });
    const run = runId(this.#runs);
    const [first, second] = [stageNumber.staging, stageNumber.production].map((stage) => ({ run, stage }));
    this.#records.set(keyOf(first!), what(build));
    // A pipeline that builds again for production.
    this.#records.set(keyOf(second!), what(this.#roll(8) === 0 ? build + 500_000 : build));
    if (this.#roll(12) === 0) this.#forced.add(run);
    this.#turn([
      { kind: 'stage-added', at: first! },
      { kind: 'stage-added', at: second! },
    ]);
  }

  #leaseSome(): void {
    for (const stage of this.scheduler.stages.values()) this.#lease(stage.at);
  }

  #lease(at: StageRef): void {
    const stage = this.scheduler.stages.get(keyOf(at));
    if (stage === undefined || stage.ended !== undefined || this.scheduler.isHeld(stage)) return;
    if (stage.canceledBy !== undefined || stageOrder(this.deliveries, at).kind !== 'start') return;
    this.#tokens += 1;
    const given = token(this.#tokens);
    this.#turn([{ kind: 'leased', at, token: given }]);
    // The assignment is sent when the lease is durable.
    if (this.scheduler.tokens.has(given)) {
      this.boxes.set(given, { at, token: given, doing: 'asking', end: undefined });
    }
  }

  /** One thing that an agent does. */
  #work(box: Box): void {
    const attempt = this.scheduler.tokens.get(box.token)?.attempt;
    const isOvertaken = this.scheduler.isOvertaken(box.token);
    switch (box.doing) {
      case 'asking':
        if (isOvertaken || attempt === undefined) {
          box.doing = 'reported';
          return;
        }
        if (!attempt.hasStarted || attempt.phase === 'lost') {
          this.#turn([{ kind: 'started', token: box.token }]);
          return;
        }
        if (this.scheduler.tokens.get(box.token)?.stage.canceledBy !== undefined) {
          this.#finish(box, {
            status: 'canceled',
            failure: { kind: 'canceled', by: 'ada' },
            hasBegunSteps: false,
          });
          return;
        }
        // `AttemptStarted` is durable and answered: now, and no earlier, its first step runs.
        this.checks.firstStep(box);
        box.doing = 'deploying';
        return;
      case 'deploying': {
        const isCanceled =
          this.scheduler.tokens.get(box.token)?.stage.canceledBy !== undefined || isOvertaken;
        const luck = this.#roll(10);
        const end: AttemptEnd = isCanceled
          ? { status: 'canceled', failure: { kind: 'canceled', by: 'ada' }, hasBegunSteps: true }
          : luck === 0
            ? { status: 'failed', failure: { kind: 'exit-code', step: 1, exitCode: 1 }, hasBegunSteps: true }
            : luck === 1
              ? { status: 'failed', failure: { kind: 'timed-out', limitMs: 1 }, hasBegunSteps: true }
              : { status: 'succeeded', hasBegunSteps: true };
        this.#finish(box, end);
        return;
      }
      case 'done':
        this.#report(box);
        return;
      case 'reported':
        return;
    }
  }

  #finish(box: Box, end: AttemptEnd): void {
    box.doing = 'done';
    box.end = end;
    if (this.#roll(2) === 0) this.#report(box);
  }

  #report(box: Box): void {
    const { token: given, end, at } = box;
    if (end === undefined) return;
    this.checks.justify(at);
    if (this.scheduler.isOvertaken(given))
      this.#turn([], { kind: 'AgentReturned', ...at, token: given, end });
    else if (this.scheduler.tokens.get(given)?.attempt.end === undefined) {
      this.#turn([{ kind: 'finished', token: given, end }]);
    }
    // A report that the journal did not take is sent again.
    const place = findPlace(this.deliveries, at);
    const isTaken =
      this.scheduler.isOvertaken(given) || this.scheduler.tokens.get(given)?.attempt.end !== undefined;
    if (isTaken || place === undefined) box.doing = 'reported';
  }

  /** The heartbeat is overdue: the box is gone, or goes on out of sight. */
  #lose(box: Box): void {
    const attempt = this.scheduler.tokens.get(box.token)?.attempt;
    if (this.#roll(2) === 0) box.doing = 'reported';
    if (attempt === undefined || attempt.phase === 'finished' || attempt.phase === 'lost') return;
    if (this.scheduler.isOvertaken(box.token)) return;
    this.#turn([{ kind: 'lost', token: box.token }]);
  }

  #cancelSome(): void {
    const open = [...this.scheduler.stages.values()].filter(({ ended }) => ended === undefined);
    const stage = open[this.#roll(Math.max(1, open.length))];
    if (stage === undefined) return;
    // An approval may be right behind it.
    this.#turn([{ kind: 'cancel-asked', run: stage.at.run, by: 'ada' }]);
  }

  #approve(environment: Environment): void {
    const commands = environment.open.flatMap(({ deployment, phase }): readonly DeliveryCommand[] =>
      phase.kind !== 'approval'
        ? []
        : (['grace', 'linus', 'ada'] as const).map((by) => ({
            kind: 'Approve',
            ...nameOf(environment),
            deployment,
            by,
            binding: phase.binding,
            authors: { since: environment.there?.commit ?? null, users: [] },
          })),
    );
    if (commands.length > 0) this.#turn([], ...commands);
  }

  #rejectSome(environment: Environment): void {
    const waits = environment.open.find(({ phase }) => phase.kind === 'approval');
    if (waits === undefined) return;
    const { deployment } = waits;
    this.#turn([], { kind: 'Reject', ...nameOf(environment), deployment, by: 'grace', reason: 'no' });
  }

  #rollback(environment: Environment): void {
    this.#runs += 1;
    this.#turn([], { kind: 'Rollback', ...nameOf(environment), run: runId(this.#runs), by: 'grace' });
  }

  #settleUnknown(environment: Environment): void {
    const unknown = environment.open.find(({ phase }) => phase.kind === 'unknown');
    if (unknown === undefined) return;
    const { deployment, run, stage } = unknown;
    this.checks.justify({ run, stage });
    const outcome = this.#roll(2) === 0 ? 'good' : 'bad';
    this.#turn([], { kind: 'Settle', ...nameOf(environment), deployment, outcome, by: 'grace' });
  }

  #changeSettings(environment: Environment): void {
    const url = `https://example.org/${this.#roll(1_000)}`;
    const settings = { ...environment.settings, url };
    this.#turn([], { kind: 'SetEnvironment', ...nameOf(environment), settings, by: 'grace' });
  }

  #pass(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
    this.#turn([]);
  }

  /** One effect, in any order, sometimes twice. */
  #perform(): void {
    const index = this.#roll(Math.max(1, this.#effects.length));
    const effect = this.#effects[index];
    if (effect === undefined) return;
    if (!this.#isChaos || this.#roll(10) > 0) this.#effects.splice(index, 1);
    const hasTrouble = this.#isChaos && this.#roll(10) === 0;
    switch (effect.kind) {
      case 'CompareCommits': {
        const { one, other } = effect;
        const unavailable = { kind: 'unavailable', message: 'no disk' } as const;
        const trouble = {
          kind: 'CommitsCompared',
          ...nameOf(effect),
          one,
          other,
          answer: unavailable,
        } as const;
        this.#turn([], hasTrouble ? trouble : comparedOf(effect));
        return;
      }
      case 'StartRollback': {
        const { deployment, run, stage } = effect;
        const refused = { kind: 'RollbackRefused', ...nameOf(effect), deployment, message: 'no' } as const;
        if (hasTrouble) this.#turn([], { ...refused, isOurs: this.#roll(2) === 0 });
        else if (!this.scheduler.stages.has(keyOf({ run, stage }))) {
          this.#turn([{ kind: 'stage-added', at: { run, stage } }]);
        }
        return;
      }
      case 'Verify': {
        const { deployment, verification, run, stage, commit } = effect;
        const isBad = parseInt(commit, 16) % this.plan.badOneIn === 1;
        const answer = hasTrouble
          ? ({ kind: 'unavailable', message: 'no agent' } as const)
          : isBad
            ? ({ kind: 'bad', reason: 'it answers 500' } as const)
            : ({ kind: 'good' } as const);
        if (answer.kind !== 'unavailable') this.checks.justify({ run, stage });
        this.#turn([], { kind: 'VerifyAnswered', ...nameOf(effect), deployment, verification, answer });
        return;
      }
      case 'Tell':
        this.#turn([], { kind: 'DeliveryChoreDone', ...nameOf(effect), chore: effect.chore });
        return;
    }
  }

  #replay(): void {
    this.deliveries = emptyDeliveries();
    this.scheduler = new FakeScheduler();
    for (const item of this.#journal) {
      if (item.kind === 'fact') this.scheduler.apply(item.fact);
      else applyDelivery(this.deliveries, item.event, item.at);
    }
    this.#presence = emptyDeliveryPresence();
  }

  /** Effects that were not performed are lost, or have been performed without anybody knowing. */
  #crash(replayed: 0 | 1): void {
    if (!this.plan.crashes) return;
    this.#effects = [];
    this.#monotonicMs += 77_000;
    if (replayed === 0) this.#replay();
    this.#turn([]);
  }
}

const nameOf = ({ project, environment }: EnvironmentRef): EnvironmentRef => ({ project, environment });
