/**
 * Everything that comes from the journal, and nothing else: two coordinators that applied the same entries have
 * equal states. `apply` alone changes it; everybody else reads.
 *
 *                     needs ended well            StageLeased            AttemptFinished / AttemptLost,
 *   stage:  pending ────────────────► waiting ───────────────► leased ──────────────────► settling
 *              │                         ▲  ▲                    │  ▲  with a verdict        │
 *              │                         │  └── LeaseReturned ───┤  │                        │ StageEnded
 *              │                         └── lost or ours: retry ┘  └─ a report revives      ▼
 *              └────────────────────────────── StageEnded ──────────── a lost attempt ───► ended
 */
import type { RunFacts } from '../../shared/model/pipeline.js';
import type { AgentRegistration, BuiltImage, LogDigest, StageOutline } from '../../shared/model/event.js';
import type { Failure } from '../../shared/model/failure.js';
import type { AgentId, AttemptRef, ProjectId, RunId, Sha256, Token } from '../../shared/model/ids.js';
import type { Failing } from '../../shared/model/project.js';
import { emptyDeliveries, type Deliveries } from '../delivery/state.js';
import { emptyGates, type Gates } from '../gate/state.js';
import type { OutboxState, ProjectState, TriggerState } from './project-state.js';

export interface StepState {
  readonly number: number;
  readonly shell: string;
  readonly startedAt: number;
  readonly finished?: {
    readonly at: number;
    readonly durationMs: number;
    readonly exitCode?: number;
    readonly failure?: Failure;
    readonly incomplete?: string;
  };
}

export interface Manifest {
  readonly sha256: Sha256;
  readonly bytes: number;
}

export type AttemptPhase =
  /** Given to the agent, which has not said that it began. */
  | { readonly kind: 'leased' }
  | { readonly kind: 'running' }
  /** Ended by its own report. Only this is ever a result. */
  | {
      readonly kind: 'finished';
      readonly at: number;
      readonly status: 'succeeded' | 'failed' | 'canceled';
      readonly failure?: Failure;
      readonly manifest?: Manifest;
      readonly logs: readonly LogDigest[];
      readonly archived: boolean;
    }
  /** Given up. Until it is overtaken a report of it revives it. */
  | { readonly kind: 'lost'; readonly at: number; readonly failure: Failure };

export interface AttemptState {
  readonly stage: StageState;
  readonly number: number;
  readonly agent: AgentId;
  /** The agent's name when it got the lease; the agent may be forgotten before the run is. */
  readonly agentName: string;
  readonly token: Token;
  readonly leasedAt: number;
  startedAt: number | undefined;
  executor: string | undefined;
  note: string | undefined;
  phase: AttemptPhase;
  /** Number of the last report taken. */
  reports: number;
  /** Steps that began, in the order they began. */
  readonly steps: StepState[];
  /** What it built, the last of a name. */
  images?: readonly BuiltImage[];
  /** It was made in another run, where all that it left is. */
  readonly from?: AttemptRef;
}

export type EndedStatus = 'succeeded' | 'failed' | 'canceled' | 'skipped';

export type StagePhase =
  /** Some need has not ended. */
  | { readonly kind: 'pending' }
  /** Ready, and no agent has it. `since`: wall time when it first waited after its needs or its last attempt. */
  | { readonly kind: 'waiting'; readonly since: number }
  /** An agent has it; whether it began is the attempt's to say. */
  | { readonly kind: 'leased'; readonly attempt: AttemptState; readonly since: number }
  /** Its attempt has ended, and not in a way that is tried again: `decide` ends the stage. */
  | { readonly kind: 'settling'; readonly attempt: AttemptState }
  | {
      readonly kind: 'ended';
      readonly status: EndedStatus;
      readonly at: number;
      readonly failure?: Failure;
      /** For `skipped`: the number of the need that did not succeed; absent: its condition did not hold. */
      readonly because?: number;
    };

export interface StageState {
  readonly run: RunState;
  readonly outline: StageOutline;
  readonly needs: readonly StageState[];
  readonly dependants: readonly StageState[];
  phase: StagePhase;
  /** In order; the last is the current one. A returned lease leaves none. */
  readonly attempts: AttemptState[];
  /**
   * Set once it has ended and with it all that it needs, itself or through others: a stage may be skipped before.
   * `hasFailure`: one of them has failed and was not allowed to.
   */
  settled: { readonly hasFailure: boolean } | undefined;
  /** Who asked to cancel this stage; a run's cancel is in every stage that had not ended. */
  canceledBy: string | undefined;
}

export interface RunState {
  readonly run: RunId;
  readonly digest: Sha256;
  readonly facts: RunFacts;
  readonly retryOf: RunId | undefined;
  /** Age: runs accepted earlier have lower numbers. */
  readonly order: number;
  readonly acceptedAt: number;
  /** By number. */
  readonly stages: readonly StageState[];
  /** Image reference -> digest or id: the first that resolved it pins it for the run. */
  readonly images: Map<string, string>;
  startedAt: number | undefined;
  canceledBy: string | undefined;
  /** Stages that have not ended. */
  open: number;
  /** Why it could not begin: it has no stages then. */
  readonly failure: Failure | undefined;
  ended:
    | {
        readonly status: 'succeeded' | 'failed' | 'canceled';
        readonly at: number;
        readonly failing?: Failing;
      }
    | undefined;
}

export interface AgentState extends AgentRegistration {
  readonly registeredAt: number;
  readonly draining: boolean;
  /** Attempts leased to it that have not ended; never more than its slots when they were leased. */
  readonly leases: Set<AttemptState>;
}

export interface State {
  epoch: number;
  seed: string;
  /** Wall time of the last entry. */
  lastAt: number;
  /** The fencing counter: the greatest token leased. */
  token: number;
  /** Runs ever accepted; gives the next its age. */
  accepted: number;
  readonly runs: Map<RunId, RunState>;
  readonly agents: Map<AgentId, AgentState>;
  /** Digests of runs that left the state, oldest first, kept for an hour: the same request gets the same answer. */
  readonly recorded: Map<RunId, { readonly digest: Sha256; readonly at: number }>;
  readonly projects: Map<ProjectId, ProjectState>;
  /** Pushes whose pipeline is still to be read, by the id of the run that may come of them. */
  readonly triggers: Map<RunId, TriggerState>;
  /** Ended runs that people must still be told about. */
  readonly outbox: Map<RunId, OutboxState>;
  /** The integration gates: see `../gate`. */
  readonly gates: Gates;
  /** Environments and what is deployed to them: see `../delivery`. */
  readonly deliveries: Deliveries;
  /** Index: stages in phase `waiting`; the order is the order in which they came, not quite that of `since`. */
  readonly waiting: Set<StageState>;
  /** Index: leases that have not ended, by project. */
  readonly shares: Map<ProjectId, number>;
  /**
   * What the last events changed and `decide` has not looked at: decisions cost what changed, not what exists. No
   * part of the truth: a fresh `Presence` makes `decide` look at everything once.
   */
  readonly touched: {
    readonly runs: Set<RunState>;
    readonly stages: Set<StageState>;
    readonly agents: Set<AgentId>;
    readonly triggers: Set<RunId>;
    readonly outbox: Set<RunId>;
  };
}

export function emptyState(): State {
  return {
    epoch: 0,
    seed: '',
    lastAt: 0,
    token: 0,
    accepted: 0,
    runs: new Map(),
    agents: new Map(),
    recorded: new Map(),
    projects: new Map(),
    triggers: new Map(),
    outbox: new Map(),
    gates: emptyGates(),
    deliveries: emptyDeliveries(),
    waiting: new Set(),
    shares: new Map(),
    touched: {
      runs: new Set(),
      stages: new Set(),
      agents: new Set(),
      triggers: new Set(),
      outbox: new Set(),
    },
  };
}

/** Stages are numbered from 1 in the plan; a plan cut down to some stages may leave numbers out. */
export function stageOf(run: RunState, number: number): StageState | undefined {
  const stage = run.stages[number - 1];
  return stage?.outline.number === number
    ? stage
    : run.stages.find((other) => other.outline.number === number);
}

export function findStage(state: State, run: RunId, stage: number): StageState | undefined {
  const found = state.runs.get(run);
  return found === undefined ? undefined : stageOf(found, stage);
}

export function findAttempt(
  state: State,
  ref: { readonly run: RunId; readonly stage: number; readonly attempt: number },
): AttemptState | undefined {
  return findStage(state, ref.run, ref.stage)?.attempts[ref.attempt - 1];
}

/**
 * The attempt whose end is the stage's result, once there is one: the last one, if it ended by its own report.
 * An earlier one is overtaken, a lost one has no result.
 */
export function acceptedAttempt(stage: StageState): AttemptState | undefined {
  const last = stage.attempts.at(-1);
  return stage.phase.kind === 'ended' && last?.phase.kind === 'finished' ? last : undefined;
}
