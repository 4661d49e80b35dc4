/** What comes in from outside, what is answered, and what the loop is told to do. All of it is data. */
import type { AssignAnswer, Heartbeat } from '../../shared/model/agent.js';
import type { AgentRegistration, Event, Report, StageOutline, TakenStage } from '../../shared/model/event.js';
import type { Failure } from '../../shared/model/failure.js';
import type {
  AgentId,
  AttemptRef,
  InstanceId,
  ProjectId,
  RunId,
  Sha256,
  Token,
} from '../../shared/model/ids.js';
import type { MoveSource, Project, ReportedMove } from '../../shared/model/project.js';
import type { RunFacts } from '../../shared/model/pipeline.js';
import type { DeliveryAnswer, DeliveryCommand, DeliveryEffect, StageRef } from '../delivery/command.js';
import type { GateAnswer, GateCommand, GateEffect } from '../gate/command.js';

export type Command =
  | {
      readonly kind: 'Submit';
      readonly run: RunId;
      readonly digest: Sha256;
      readonly facts: RunFacts;
      readonly stages: readonly StageOutline[];
      readonly retryOf?: RunId;
      /** See `RunAccepted`. */
      readonly failure?: Failure;
      readonly taken?: readonly TakenStage[];
    }
  | { readonly kind: 'Cancel'; readonly run: RunId; readonly stage?: number; readonly by: string }
  | ({ readonly kind: 'RegisterAgent' } & AgentRegistration)
  | { readonly kind: 'DrainAgent'; readonly agent: AgentId; readonly draining: boolean; readonly by: string }
  /** A numbered report of an attempt, from the agent that holds it. `at`: see `AttemptReported`. */
  | {
      readonly kind: 'Report';
      readonly agent: AgentId;
      readonly ref: AttemptRef;
      readonly token: Token;
      readonly n: number;
      readonly at: number;
      readonly report: Report;
    }
  /** Outcome of the effect `Assign`. `no-responder`: nobody listens now; `silent`: the request timed out. */
  | {
      readonly kind: 'AssignAnswered';
      readonly agent: AgentId;
      readonly ref: AttemptRef;
      readonly token: Token;
      readonly answer: AssignAnswer | { readonly kind: 'no-responder' } | { readonly kind: 'silent' };
    }
  | { readonly kind: 'HeartbeatSeen'; readonly heartbeat: Heartbeat }
  /** The agent's gRPC link at any coordinator came up or went down. */
  | {
      readonly kind: 'LinkChanged';
      readonly agent: AgentId;
      readonly instance: InstanceId;
      readonly up: boolean;
    }
  /** Outcome of the effect `Record`: the record is in S3 and RUNS. */
  | { readonly kind: 'RunStored'; readonly run: RunId }
  /** `isNew`: it must not exist yet; otherwise it must. */
  | { readonly kind: 'SetProject'; readonly project: Project; readonly isNew: boolean; readonly by: string }
  | { readonly kind: 'RemoveProject'; readonly project: ProjectId; readonly by: string }
  /** Refs that are not where they were known to be, by a poll (`head` with it) or as a webhook tells. */
  | {
      readonly kind: 'ReportMoves';
      readonly project: ProjectId;
      readonly source: MoveSource;
      readonly moves: readonly ReportedMove[];
      readonly head?: string;
    }
  /** Outcome of the effect `Trigger`, where it is no run. */
  | { readonly kind: 'SettleTrigger'; readonly run: RunId; readonly reason: string }
  /** Outcomes of the effect `Notify`: of each target, and when there is no target left. */
  | {
      readonly kind: 'NotificationSent';
      readonly run: RunId;
      readonly target: string;
      readonly outcome: 'delivered' | 'given-up';
      readonly message: string;
    }
  | { readonly kind: 'NotificationsSettled'; readonly run: RunId }
  /** For the integration gate. It is answered with a `gate`. */
  | { readonly kind: 'Gate'; readonly command: GateCommand }
  /** For environments. It is answered with a `delivery`. */
  | { readonly kind: 'Delivery'; readonly command: DeliveryCommand }
  /** Outcome of the effect `DescribeDeployment`, where the deployment cannot be asked for. `message`: a sentence. */
  | ({ readonly kind: 'DeploymentImpossible'; readonly message: string } & StageRef)
  /** Puts on record what was done outside of the state. */
  | ({ readonly kind: 'Audit' } & Omit<Extract<Event, { kind: 'Audited' }>, 'kind'>);

/** How a command ends. It is given to the caller only after the command's events are durable. */
export type Answer =
  | { readonly kind: 'done' }
  /** `again`: the same request was accepted before. */
  | { readonly kind: 'accepted'; readonly run: RunId; readonly again: boolean }
  /** Every report up to and with `n` is durable: the agent may forget them. */
  | { readonly kind: 'reported'; readonly n: number }
  /** Send the reports from `n` on (again). */
  | { readonly kind: 'report-wanted'; readonly n: number }
  /** The attempt is overtaken or unknown: stop it, forget it. */
  | { readonly kind: 'overtaken'; readonly reason: string }
  /** Which runs the moves ask for. */
  | { readonly kind: 'moved'; readonly runs: readonly RunId[] }
  | { readonly kind: 'gate'; readonly answer: GateAnswer }
  | { readonly kind: 'delivery'; readonly answer: DeliveryAnswer }
  | { readonly kind: 'not-found'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

export interface Handled {
  readonly events: readonly Event[];
  readonly answer: Answer;
}

/** Performed after the events that justify them are durable; performing one twice is harmless. */
export type Effect =
  | { readonly kind: 'Assign'; readonly agent: AgentId; readonly ref: AttemptRef; readonly token: Token }
  /** Tell the agent to end the attempt: canceled, or overtaken (then its results are refused anyway). */
  | {
      readonly kind: 'EndAttempt';
      readonly agent: AgentId;
      readonly ref: AttemptRef;
      readonly token: Token;
      readonly why: 'canceled' | 'overtaken';
      readonly by: string;
    }
  | { readonly kind: 'Drain'; readonly agent: AgentId; readonly draining: boolean }
  | { readonly kind: 'Record'; readonly run: RunId }
  /** Read the pipeline of a push and submit its run, or say why there is none. Whoever performs it does not give up. */
  | { readonly kind: 'Trigger'; readonly run: RunId }
  /** Tell people about a run that has ended. Whoever performs it does not give up before all targets are settled. */
  | { readonly kind: 'Notify'; readonly run: RunId }
  | { readonly kind: 'Gate'; readonly effect: GateEffect }
  | { readonly kind: 'Delivery'; readonly effect: DeliveryEffect }
  /**
   * A stage with an environment has all it needs: find out what it deploys and ask for its deployment (`RequestDeployment`), or
   * say why that cannot be (`DeploymentImpossible`). Whoever performs it does not give up before.
   */
  | ({ readonly kind: 'DescribeDeployment' } & StageRef);

export interface Decision {
  readonly events: readonly Event[];
  readonly effects: readonly Effect[];
  /** When `decide` wants to be asked again though nothing came in; monotonic ms as given in `now`. */
  readonly wakeAtMs?: number;
}

/** Time as an input. */
export interface Now {
  /** Wall time, ms since 1970, never less than the last entry's `at`. For display and schedules. */
  readonly wallMs: number;
  /** Monotonic ms of this process: for heartbeats, back-off and backstops. */
  readonly monotonicMs: number;
}
