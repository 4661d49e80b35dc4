/** What comes in from outside, what is answered, and what the loop is told to do. All of it is data. */
import type { AssignAnswer, Heartbeat } from '../../shared/model/agent.js';
import type { AgentRegistration, Event, Report, StageOutline } from '../../shared/model/event.js';
import type { AgentId, AttemptRef, InstanceId, RunId, Sha256, Token } from '../../shared/model/ids.js';
import type { RunFacts } from '../../shared/model/pipeline.js';

export type Command =
  | {
      readonly kind: 'Submit';
      readonly run: RunId;
      readonly digest: Sha256;
      readonly facts: RunFacts;
      readonly stages: readonly StageOutline[];
      readonly retryOf?: RunId;
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
  | { readonly kind: 'RunStored'; readonly run: RunId };

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
  | { readonly kind: 'Record'; readonly run: RunId };

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
