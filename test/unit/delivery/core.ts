/** Delivery's core with a clock, a journal and a scheduler of its own, for tests. */
import { expect } from 'vitest';
import { applyDelivery } from '../../../coordinator/delivery/apply.js';
import type {
  AttemptEnd,
  DeliveryAnswer,
  DeliveryCommand,
  DeliveryContext,
  DeliveryEffect,
  StageRef,
  StageSight,
  VerifyAnswer,
} from '../../../coordinator/delivery/command.js';
import { decideDelivery } from '../../../coordinator/delivery/decide.js';
import { handleDelivery } from '../../../coordinator/delivery/handle.js';
import { emptyDeliveryPresence, type DeliveryPresence } from '../../../coordinator/delivery/presence.js';
import { stageOrder, type StageOrder } from '../../../coordinator/delivery/stage-order.js';
import {
  emptyDeliveries,
  findEnded,
  findEnvironment,
  findOpen,
  touchStage,
  type Deliveries,
  type EndedDeployment,
  type Environment,
} from '../../../coordinator/delivery/state.js';
import { environmentView } from '../../../coordinator/delivery/views.js';
import type { DeploymentRecord } from '../../../shared/model/deployment.js';
import {
  defaultEnvironmentSettings,
  type DeliveryEvent,
  type EnvironmentSettings,
} from '../../../shared/model/environment.js';
import type { EnvironmentView } from '../../../shared/model/environment-view.js';
import { parseCommitId, type CommitId, type RunId } from '../../../shared/model/ids.js';
import { projectId, runId, sha, token } from '../scheduler/ids.js';

export { runId, sha, token };

export const project = projectId(1);
export const staging = { project, environment: 'staging' } as const;
export const production = { project, environment: 'production' } as const;

/** Commits of one line: the greater number is the newer one. From 1000 on they are of another line. */
export const commitId = (n: number): CommitId => parseCommitId(n.toString(16).padStart(40, '0'))!;
const numberOf = (commit: CommitId): number => parseInt(commit, 16);

export const day = 24 * 60 * 60 * 1000;

/** What a run of commit `n` deploys, built by it. */
export const record = (n: number, changes: Partial<DeploymentRecord> = {}): DeploymentRecord => ({
  commit: commitId(n),
  artifacts: [{ name: 'package/wheel', sha256: sha(n), run: runId(n) }],
  images: [{ name: 'app', digest: `sha256:${sha(n + 50_000)}` }],
  steps: [{ name: './deploy.sh', sha256: sha(7) }],
  env: [{ name: 'LEVEL', hash: 'h1' }],
  secrets: [{ name: 'DB_PASSWORD', hash: 'h2' }],
  verifies: false,
  ...changes,
});

export const stageNumber = { staging: 3, production: 4 } as const;

type Request = Extract<DeliveryCommand, { kind: 'RequestDeployment' }>;

export function requestOf(
  n: number,
  where: typeof staging | typeof production,
  changes: Partial<Request> = {},
): Request {
  return {
    kind: 'RequestDeployment',
    ...where,
    run: runId(n),
    stage: stageNumber[where.environment],
    source: { event: 'push', trust: 'branch', branch: 'main' },
    record: record(n),
    title: `change ${n}`,
    by: 'ada',
    ...changes,
  };
}

export interface Turned {
  readonly answers: readonly DeliveryAnswer[];
  readonly events: readonly DeliveryEvent[];
  readonly effects: readonly DeliveryEffect[];
}

const keyOf = ({ run, stage }: StageRef): string => `${run}/${stage}`;

export class DeliveryCore {
  deliveries: Deliveries = emptyDeliveries();
  presence: DeliveryPresence = emptyDeliveryPresence();
  journal: { readonly at: number; readonly events: readonly DeliveryEvent[] }[] = [];
  wallMs = 1_700_000_000_000;
  monotonicMs = 1_000;
  wakeAtMs: number | undefined;
  /** What the scheduler would say. */
  readonly sights = new Map<string, StageSight>();
  /** Answers `CompareCommits` at once, as git would. */
  compares = true;
  /** The project's default branch. */
  usual: string | undefined = 'main';

  get context(): DeliveryContext {
    return {
      now: { wallMs: this.wallMs, monotonicMs: this.monotonicMs },
      stage: (at) => this.sights.get(keyOf(at)),
      matches: (patterns, branch) => patterns.includes(branch),
      freshRun: (text) => freshRun(text),
      hasProject: (id) => id === project,
      defaultBranch: () => this.usual,
    };
  }

  get events(): readonly DeliveryEvent[] {
    return this.journal.flatMap((entry) => entry.events);
  }

  environment(where: typeof staging | typeof production = staging): Environment {
    return findEnvironment(this.deliveries, where)!;
  }

  view(where: typeof staging | typeof production = staging): EnvironmentView {
    const { deliveries, presence, context } = this;
    return environmentView({ deliveries, presence, context }, this.environment(where));
  }

  phase(deployment: number, where: typeof staging | typeof production = staging): string | undefined {
    return findOpen(this.environment(where), deployment)?.phase.kind;
  }

  ended(
    deployment: number,
    where: typeof staging | typeof production = staging,
  ): EndedDeployment | undefined {
    return findEnded(this.environment(where), deployment);
  }

  /** How it ended, or its phase. */
  how(deployment: number, where: typeof staging | typeof production = staging): string | undefined {
    return this.ended(deployment, where)?.end.kind ?? this.phase(deployment, where);
  }

  order(n: number, where: typeof staging | typeof production = staging): StageOrder {
    return stageOrder(this.deliveries, { run: runId(n), stage: stageNumber[where.environment] });
  }

  waitingFor(deployment: number, where: typeof staging | typeof production = staging): string {
    const open = this.view(where).open.find((other) => other.deployment === deployment);
    return open?.waitingFor.join('; ') ?? '';
  }

  /** One turn of the loop, and those that follow at once. */
  turn(...commands: readonly DeliveryCommand[]): Turned {
    const { context } = this;
    const handled = commands.map((command) =>
      handleDelivery(this.deliveries, command, { presence: this.presence, context }),
    );
    const events = handled.flatMap((one) => one.events);
    const effects: DeliveryEffect[] = [];
    for (let turns = 0; ; turns += 1) {
      const decision = decideDelivery(this.deliveries, this.presence, context);
      events.push(...decision.events);
      effects.push(...decision.effects);
      this.wakeAtMs = decision.wakeAtMs;
      if (decision.wakeAtMs === undefined || decision.wakeAtMs > this.monotonicMs) break;
      if (turns > 100) throw new Error('delivery never comes to rest');
    }
    if (events.length > 0) this.journal.push({ at: this.wallMs, events });
    const turned = { answers: handled.map((one) => one.answer), events, effects };
    return this.compares ? this.#compare(turned) : turned;
  }

  #compare(turned: Turned): Turned {
    const asked = ofKind(turned.effects, 'CompareCommits');
    if (asked.length === 0) return turned;
    const more = this.turn(...asked.map(comparedOf));
    return {
      answers: turned.answers,
      events: [...turned.events, ...more.events],
      effects: [...turned.effects.filter(({ kind }) => kind !== 'CompareCommits'), ...more.effects],
    };
  }

  /** Turns at each time that delivery asks for, until so much time has passed. Whoever is to be told has been told. */
  pass(ms: number): Turned {
    for (const { project: of, environment, chores } of this.deliveries.all.values()) {
      for (const chore of chores.keys()) {
        this.turn({ kind: 'DeliveryChoreDone', project: of, environment, chore });
      }
    }
    const until = this.monotonicMs + ms;
    const events: DeliveryEvent[] = [];
    const effects: DeliveryEffect[] = [];
    for (let turns = 0; this.monotonicMs < until; turns += 1) {
      if (turns > 100_000) throw new Error('delivery wakes without end');
      const next = Math.min(until, Math.max(this.monotonicMs + 1, this.wakeAtMs ?? until));
      this.wallMs += next - this.monotonicMs;
      this.monotonicMs = next;
      const turned = this.turn();
      events.push(...turned.events);
      effects.push(...turned.effects);
    }
    return { answers: [], events, effects };
  }

  /** The process is replaced: everything but the journal is lost. The replayed state must be the one that was. */
  restart(): Turned {
    const live = plain(this.deliveries);
    this.replay();
    expect(plain(this.deliveries)).toEqual(live);
    return this.turn();
  }

  replay(): void {
    this.deliveries = emptyDeliveries();
    for (const { at, events } of this.journal)
      for (const event of events) applyDelivery(this.deliveries, event, at);
    this.presence = emptyDeliveryPresence();
    this.monotonicMs = 77_000;
  }

  // What a test says often.

  add(where: typeof staging | typeof production, settings: Partial<EnvironmentSettings> = {}): Turned {
    const complete = { ...defaultEnvironmentSettings, ...settings };
    return this.turn({ kind: 'SetEnvironment', ...where, settings: complete, by: 'grace' });
  }

  request(
    n: number,
    where: typeof staging | typeof production = staging,
    changes: Partial<Request> = {},
  ): Turned {
    const command = requestOf(n, where, changes);
    this.sights.set(keyOf(command), { kind: 'waiting' });
    return this.turn(command);
  }

  /** The scheduler knows this of the stage from now on. */
  see(at: StageRef, sight: StageSight | undefined): Turned {
    if (sight === undefined) this.sights.delete(keyOf(at));
    else this.sights.set(keyOf(at), sight);
    touchStage(this.deliveries, at);
    return this.turn();
  }

  start(n: number, where: typeof staging | typeof production = staging): Turned {
    return this.see(at(n, where), { kind: 'started', attempt: 1, token: token(n) });
  }

  lose(n: number, where: typeof staging | typeof production = staging): Turned {
    return this.see(at(n, where), { kind: 'lost', attempt: 1, token: token(n), message: 'no heartbeat' });
  }

  finish(
    n: number,
    end: Partial<AttemptEnd> = {},
    where: typeof staging | typeof production = staging,
  ): Turned {
    const whole = { status: 'succeeded', hasBegunSteps: true, ...end } as const;
    return this.see(at(n, where), { kind: 'finished', attempt: 1, token: token(n), end: whole });
  }

  /** From the request to a verified deployment. */
  deploy(n: number, where: typeof staging | typeof production = staging): void {
    this.request(n, where);
    this.start(n, where);
    this.finish(n, {}, where);
  }

  approve(
    deployment: number,
    changes: Partial<Extract<DeliveryCommand, { kind: 'Approve' }>> = {},
    where: typeof staging | typeof production = staging,
  ): Turned {
    return this.turn(this.approval(deployment, changes, where));
  }

  approval(
    deployment: number,
    changes: Partial<Extract<DeliveryCommand, { kind: 'Approve' }>> = {},
    where: typeof staging | typeof production = staging,
  ): Extract<DeliveryCommand, { kind: 'Approve' }> {
    const open = findOpen(this.environment(where), deployment);
    const binding = open?.phase.kind === 'approval' ? open.phase.binding : { record: 1, settings: 1 };
    const since = this.environment(where).there?.commit ?? null;
    return {
      kind: 'Approve',
      ...where,
      deployment,
      by: 'grace',
      binding,
      authors: { since, users: [] },
      ...changes,
    };
  }

  /** The answer to the verification that is awaited. */
  verified(
    deployment: number,
    answer: VerifyAnswer,
    where: typeof staging | typeof production = staging,
  ): Turned {
    const { verification } = findOpen(this.environment(where), deployment)!;
    return this.turn({ kind: 'VerifyAnswered', ...where, deployment, verification, answer });
  }

  settle(deployment: number, outcome: 'good' | 'bad'): Turned {
    return this.turn({ kind: 'Settle', ...staging, deployment, outcome, by: 'grace' });
  }

  rollback(n: number, where: typeof staging | typeof production = staging): Turned {
    return this.turn({ kind: 'Rollback', ...where, run: runId(n), by: 'grace' });
  }
}

export const at = (n: number, where: typeof staging | typeof production = staging): StageRef => ({
  run: runId(n),
  stage: stageNumber[where.environment],
});

export function comparedOf({
  one,
  other,
  project: of,
  environment,
}: Extract<DeliveryEffect, { kind: 'CompareCommits' }>): DeliveryCommand {
  const [a, b] = [numberOf(one), numberOf(other)];
  const isOneLine = a < 1_000 === b < 1_000;
  const order = !isOneLine ? 'diverged' : a > b ? 'newer' : 'older';
  return {
    kind: 'CommitsCompared',
    project: of,
    environment,
    one,
    other,
    answer: { kind: 'compared', order },
  };
}

/** FNV-1a of the text: as good as fresh for tests, and the same for the same text. */
function freshRun(text: string): RunId {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  return runId(1_000_000 + hash);
}

export const kinds = (events: readonly DeliveryEvent[]): readonly string[] => events.map(({ kind }) => kind);

export const ofKind = <K extends DeliveryEffect['kind']>(
  effects: readonly DeliveryEffect[],
  kind: K,
): readonly Extract<DeliveryEffect, { kind: K }>[] =>
  effects.filter((effect): effect is Extract<DeliveryEffect, { kind: K }> => effect.kind === kind);

export const told = (effects: readonly DeliveryEffect[]): readonly string[] =>
  ofKind(effects, 'Tell').map(({ what }) => what.notice.kind);

/** The state without what only says where to look. */
export const plain = ({ all, runs }: Deliveries): unknown => ({
  all: [...all].map(([key, environment]) => [
    key,
    { ...environment, chores: [...environment.chores], orders: [...environment.orders] },
  ]),
  runs: [...runs]
    .map(([run, places]) => [run, places.map(({ deployment, stage }) => [deployment, stage])])
    .toSorted(),
});
