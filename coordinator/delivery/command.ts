/** What comes in from outside, what is answered, and what the loop is told to do. All of it is data. */
import type { DeploymentRecord, DeploymentSource, Force, KeyedHash } from '../../shared/model/deployment.js';
import type {
  Binding,
  CommitOrder,
  DeliveryEvent,
  EnvironmentRef,
  EnvironmentSettings,
  OfDeployment,
} from '../../shared/model/environment.js';
import type { Failure } from '../../shared/model/failure.js';
import type { CommitId, ProjectId, RunId, Token } from '../../shared/model/ids.js';
import type { Chore } from './state.js';

export interface StageRef {
  readonly run: RunId;
  readonly stage: number;
}

/** How the attempt that started ended, by its agent's own report. */
export interface AttemptEnd {
  readonly status: 'succeeded' | 'failed' | 'canceled';
  readonly failure?: Failure;
  /** Any `StepStarted` came before it: reports are numbered, so none is missing. */
  readonly hasBegunSteps: boolean;
  /** What the stage's `verify` said, where the agent ran it behind the steps. */
  readonly verify?: VerifyOutcome;
}

/**
 * What the scheduler knows of a deployment's stage. The attempt that started comes first, whatever became of the stage: it alone
 * says whether the environment may have been touched.
 */
export type StageSight =
  /** No attempt has started; one may be leased. `canceledBy`: somebody asked for its end. */
  | { readonly kind: 'waiting'; readonly canceledBy?: string }
  | { readonly kind: 'started'; readonly attempt: number; readonly token: Token }
  /** It started, and its agent is given up. `message` is a sentence. */
  | { readonly kind: 'lost'; readonly attempt: number; readonly token: Token; readonly message: string }
  /** It started, and its agent reported the end. */
  | { readonly kind: 'finished'; readonly attempt: number; readonly token: Token; readonly end: AttemptEnd }
  /** The stage has ended, and no attempt ever started. */
  | {
      readonly kind: 'ended';
      readonly status: 'succeeded' | 'failed' | 'canceled' | 'skipped';
      readonly failure?: Failure;
    };

export type VerifyOutcome = { readonly kind: 'good' } | { readonly kind: 'bad'; readonly reason: string };

export type VerifyAnswer =
  | VerifyOutcome
  /** Ours: no agent, no storage. Tried again. */
  | { readonly kind: 'unavailable'; readonly message: string };

export type DeliveryCommand =
  | (EnvironmentRef & {
      readonly kind: 'SetEnvironment';
      readonly settings: EnvironmentSettings;
      readonly by: string;
    })
  | (EnvironmentRef & { readonly kind: 'RemoveEnvironment'; readonly by: string })
  | (EnvironmentRef & { readonly kind: 'HoldEnvironment'; readonly by: string; readonly reason?: string })
  | (EnvironmentRef & { readonly kind: 'ResumeEnvironment'; readonly by: string })
  /** The needs of a stage with an `environment` have ended well. The same stage again is the same deployment. */
  | (EnvironmentRef &
      StageRef & {
        readonly kind: 'RequestDeployment';
        readonly source: DeploymentSource;
        readonly record: DeploymentRecord;
        readonly title: string;
        /** Who submitted or landed it. */
        readonly by: string;
        readonly force?: Force;
      })
  /** The hashes of its variables and secrets as they are now. */
  | (OfDeployment & {
      readonly kind: 'AmendDeployment';
      readonly env: readonly KeyedHash[];
      readonly secrets: readonly KeyedHash[];
    })
  /** `binding`: what the approver saw, as in the view. */
  | (OfDeployment & {
      readonly kind: 'Approve';
      readonly by: string;
      readonly binding: Binding;
      /**
       * Users who may not, where authors may not: whoever landed it, and who owns the mail of an author of a commit that is new
       * `since` what is there (null: nothing is).
       */
      readonly authors: { readonly since: CommitId | null; readonly users: readonly string[] };
    })
  | (OfDeployment & { readonly kind: 'Reject'; readonly by: string; readonly reason: string })
  /** `run`: id for the rollback's run; the same again is the same request. */
  | (EnvironmentRef & { readonly kind: 'Rollback'; readonly run: RunId; readonly by: string })
  /** A person says how an *unknown* deployment, or one whose verify never answers, came out. */
  | (OfDeployment & {
      readonly kind: 'Settle';
      readonly outcome: 'good' | 'bad';
      readonly by: string;
      readonly reason?: string;
    })
  /** Outcome of `CompareCommits`. A commit that is not to be had any more is `diverged` from all others. */
  | (EnvironmentRef & {
      readonly kind: 'CommitsCompared';
      readonly one: CommitId;
      readonly other: CommitId;
      readonly answer:
        | { readonly kind: 'compared'; readonly order: CommitOrder }
        | { readonly kind: 'unavailable'; readonly message: string };
    })
  /** Outcome of `Verify`; `verification` as in the effect. */
  | (OfDeployment & {
      readonly kind: 'VerifyAnswered';
      readonly verification: number;
      readonly answer: VerifyAnswer;
    })
  /** The run of a rollback cannot be made. `isOurs`: it is tried again. */
  | (OfDeployment & { readonly kind: 'RollbackRefused'; readonly message: string; readonly isOurs: boolean })
  /** An agent reports the end of an attempt whose stage has ended already, so that the scheduler cannot take it. */
  | (StageRef & { readonly kind: 'AgentReturned'; readonly token: Token; readonly end: AttemptEnd })
  /** Outcome of `Tell`. `message`: it cannot be done, and was given up. */
  | (EnvironmentRef & {
      readonly kind: 'DeliveryChoreDone';
      readonly chore: number;
      readonly message?: string;
    });

export type DeliveryAnswer =
  | { readonly kind: 'done' }
  /** `again`: the very same was asked for before. */
  | { readonly kind: 'deployment'; readonly deployment: number; readonly again: boolean }
  /** What was looked at is not what is there now: look again, and ask again. */
  | { readonly kind: 'stale'; readonly message: string }
  | { readonly kind: 'not-found'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

export interface DeliveryHandled {
  readonly events: readonly DeliveryEvent[];
  readonly answer: DeliveryAnswer;
}

/** Performed after the events that justify them are durable; performing one twice is harmless. Each is answered. */
export type DeliveryEffect =
  | (EnvironmentRef & { readonly kind: 'CompareCommits'; readonly one: CommitId; readonly other: CommitId })
  /** Make sure that the rollback's run exists: the stage `ofStage` of `ofRun` as it was, with its artifacts. */
  | (OfDeployment &
      StageRef & {
        readonly kind: 'StartRollback';
        readonly ofRun: RunId;
        readonly ofStage: number;
        readonly by: string;
      })
  /**
   * Run the `verify` of the deployment's stage and of the settings, at its commit, on any agent. `failures`: how often this
   * verification was unavailable; with it, it is another try, and without a new number the same one.
   */
  | (OfDeployment &
      StageRef & {
        readonly kind: 'Verify';
        readonly verification: number;
        readonly failures: number;
        readonly commit: CommitId;
        readonly commands: readonly string[];
      })
  /** Confirm with `DeliveryChoreDone`. `chore` with the environment names it for good. */
  | (EnvironmentRef & { readonly kind: 'Tell'; readonly chore: number; readonly what: Chore });

export interface DeliveryDecision {
  readonly events: readonly DeliveryEvent[];
  readonly effects: readonly DeliveryEffect[];
  /** When to ask again though nothing came in; monotonic ms as given in `now`. */
  readonly wakeAtMs?: number;
}

/** What delivery reads of the world beside its own state. */
export interface DeliveryContext {
  readonly now: { readonly wallMs: number; readonly monotonicMs: number };
  /** Undefined: the scheduler does not know it (any more, or yet). */
  readonly stage: (at: StageRef) => StageSight | undefined;
  /** Whether patterns as in `on.branches` name the branch. */
  readonly matches: (patterns: readonly string[], branch: string) => boolean;
  /** Undefined: nobody has seen which it is. */
  readonly defaultBranch: (project: ProjectId) => string | undefined;
  /** A run id that follows from the state's seed and this text, so that a replay comes to the same. */
  readonly freshRun: (text: string) => RunId;
  readonly hasProject: (project: ProjectId) => boolean;
}
