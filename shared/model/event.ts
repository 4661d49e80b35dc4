/**
 * Everything that can happen. The journal is a sequence of entries of these events, and the state of the whole
 * system is the result of applying them in order. Core, API, page and tests read this one union.
 *
 * An event says what has happened, never what should happen. It carries what scheduling needs and no more: a run's
 * plan lives in the plan store, log bytes in the log store, files in S3.
 */
import type { Failure } from './failure.js';
import type { AgentId, AttemptRef, InstanceId, RunId, Sha256, Token } from './ids.js';
import type { Condition, RunFacts, StageInput, Trust } from './pipeline.js';
import type { DeliveryEvent } from './environment.js';
import type { GateEvent } from './gate.js';
import type { Failing, MoveSource, NewsKind, Project, RecordedMove } from './project.js';
import type { ProjectId } from './ids.js';

/** What scheduling needs of a stage; the rest is in the plan. */
export interface StageOutline {
  readonly number: number;
  readonly name: string;
  readonly cell: Readonly<Record<string, string>>;
  readonly needs: readonly number[];
  /** Labels an agent must offer, sorted. Includes `images` where the stage has an image. */
  readonly labels: readonly string[];
  readonly allowFailure: boolean;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
  /** Names of the steps, in order: number 1 is the first. */
  readonly steps: readonly string[];
  readonly image?: string;
  /** `if`, where it was not decided before the run. */
  readonly condition?: Condition;
  /** Where it deploys to. */
  readonly environment?: string;
  readonly inputs?: readonly StageInput[];
}

/** A stage that is not run again: an attempt of another run is its result, with all that this attempt left. Times are wall ms. */
export interface TakenStage {
  readonly stage: number;
  readonly from: AttemptRef;
  readonly agent: AgentId;
  readonly agentName: string;
  readonly token: Token;
  readonly leasedAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly steps: readonly {
    readonly number: number;
    readonly startedAt: number;
    readonly durationMs: number;
  }[];
  readonly manifest?: { readonly sha256: Sha256; readonly bytes: number };
  readonly logs: readonly LogDigest[];
  /** Images that it built: what their names mean in this run too. */
  readonly images?: readonly BuiltImage[];
}

/** A name that an attempt gave to an image, and the image by digest or id. */
export interface BuiltImage {
  readonly image: string;
  readonly digest: string;
}

/** An agent as it was registered: by whoever had its join token, or by itself with its key. */
export interface AgentRegistration {
  readonly agent: AgentId;
  readonly name: string;
  /** The newest registration owns the id; messages of other instances are refused. */
  readonly instance: InstanceId;
  /** Sorted. */
  readonly labels: readonly string[];
  readonly slots: number;
  /** Projects it may serve; empty: all. */
  readonly projects: readonly string[];
  readonly trust: readonly Trust[];
  /** SHA-256 of its agent key. */
  readonly keyHash: Sha256;
  readonly version: string;
  /** Identity and maker of the join token it came with, for the audit. */
  readonly joinedBy: string;
}

/** A log's exact length and digest, as the agent wrote it to LOGS or S3. */
export interface LogDigest {
  readonly step: number;
  readonly bytes: number;
  readonly sha256: Sha256;
}

/** What an agent reports of an attempt. Numbered per attempt from 1; the leader takes them in order. */
export type Report =
  /** The agent holds the assignment durably and begins. */
  | { readonly kind: 'AttemptStarted'; readonly executor: string; readonly note?: string }
  /** The image of the stage (or of a service) is this digest or id from now on, for the whole run. */
  | {
      readonly kind: 'ImageResolved';
      readonly image: string;
      readonly digest: string;
      /** The attempt built it: from here on the reference means this image, whatever it meant in the run before. */
      readonly built?: true;
    }
  | { readonly kind: 'StepStarted'; readonly step: number; readonly shell: string }
  | {
      readonly kind: 'StepFinished';
      readonly step: number;
      /** Absent when the step did not end by itself. 128 + n where a signal ended it. */
      readonly exitCode?: number;
      readonly durationMs: number;
      readonly failure?: Failure;
      /** What is missing of its log, in a sentence. */
      readonly incomplete?: string;
    }
  | {
      readonly kind: 'AttemptFinished';
      readonly status: 'succeeded' | 'failed' | 'canceled';
      readonly failure?: Failure;
      /** Of `manifest.json`, when the attempt made artifacts. */
      readonly manifest?: { readonly sha256: Sha256; readonly bytes: number };
      readonly logs: readonly LogDigest[];
    }
  /** The logs are in S3; LOGS may be purged. The only report after `AttemptFinished`. */
  | { readonly kind: 'LogsArchived' };

export type Event =
  /** First entry of a leader's epoch, alone in its entry. */
  | { readonly kind: 'EpochBegan'; readonly epoch: number; readonly seed: string }
  | {
      readonly kind: 'RunAccepted';
      readonly run: RunId;
      /** Digest of the request's content: the same id with another digest is refused. */
      readonly digest: Sha256;
      readonly facts: RunFacts;
      readonly stages: readonly StageOutline[];
      readonly retryOf?: RunId;
      /** The run could not begin (its pipeline is invalid): it has no stages and ends at once. */
      readonly failure?: Failure;
      /** Of `stages`, those that have succeeded before, in another run. What a stage of them needs is among them. */
      readonly taken?: readonly TakenStage[];
    }
  | {
      readonly kind: 'CancelRequested';
      readonly run: RunId;
      /** Absent: the whole run. */
      readonly stage?: number;
      readonly by: string;
    }
  | {
      readonly kind: 'StageLeased';
      readonly run: RunId;
      readonly stage: number;
      readonly attempt: number;
      readonly agent: AgentId;
      readonly token: Token;
    }
  /** The agent did not take it, or its answer said no; the attempt number is used again. */
  | {
      readonly kind: 'LeaseReturned';
      readonly run: RunId;
      readonly stage: number;
      readonly attempt: number;
      readonly token: Token;
      readonly reason: string;
    }
  | {
      readonly kind: 'AttemptReported';
      readonly run: RunId;
      readonly stage: number;
      readonly attempt: number;
      readonly token: Token;
      /** The report's number within the attempt. */
      readonly n: number;
      /** When it happened, in the coordinator's wall time (received minus the age the agent states). */
      readonly at: number;
      readonly report: Report;
    }
  | {
      readonly kind: 'AttemptLost';
      readonly run: RunId;
      readonly stage: number;
      readonly attempt: number;
      readonly token: Token;
      readonly failure: Failure;
    }
  /** All needs have ended, and the stage's condition holds: it waits for an agent from now on. */
  | { readonly kind: 'ConditionHeld'; readonly run: RunId; readonly stage: number }
  | {
      readonly kind: 'StageEnded';
      readonly run: RunId;
      readonly stage: number;
      readonly status: 'succeeded' | 'failed' | 'canceled' | 'skipped';
      readonly failure?: Failure;
      /** For `skipped`: the need that did not succeed; absent: its condition did not hold. */
      readonly because?: number;
    }
  | {
      readonly kind: 'RunEnded';
      readonly run: RunId;
      readonly status: 'succeeded' | 'failed' | 'canceled';
      /** Of a push that failed: since when its branch does. */
      readonly failing?: Failing;
      /** People are told: the run stands in the outbox until `NotificationsDone`. */
      readonly news?: NewsKind;
    }
  /** One target of the outbox has got the news about a run, or never will. */
  | {
      readonly kind: 'Notified';
      readonly run: RunId;
      /** `mail:<address>` or `webhook:<name>`. */
      readonly target: string;
      readonly outcome: 'delivered' | 'given-up';
      readonly message: string;
    }
  | { readonly kind: 'NotificationsDone'; readonly run: RunId }
  /** The record is in S3 and RUNS; the run leaves the state. */
  | { readonly kind: 'RunRecorded'; readonly run: RunId }
  | ({ readonly kind: 'AgentRegistered' } & AgentRegistration)
  | {
      readonly kind: 'AgentDraining';
      readonly agent: AgentId;
      readonly draining: boolean;
      readonly by: string;
    }
  /** Unseen for a day; it must register again. */
  | { readonly kind: 'AgentForgotten'; readonly agent: AgentId }
  /** Added, or changed as a whole. */
  | { readonly kind: 'ProjectSet'; readonly project: Project; readonly by: string }
  | { readonly kind: 'ProjectRemoved'; readonly project: ProjectId; readonly by: string }
  /** What became of a project's refs, as far as it was news. */
  | {
      readonly kind: 'RefsMoved';
      readonly project: ProjectId;
      readonly source: MoveSource;
      /** The run of one that asks is pending until `RunAccepted` or `TriggerSettled`. */
      readonly moves: readonly RecordedMove[];
      /** The branch that the remote's HEAD names, when it was seen. */
      readonly head?: string;
    }
  /** A push that gets no run. */
  | {
      readonly kind: 'TriggerSettled';
      readonly run: RunId;
      readonly project: ProjectId;
      readonly reason: string;
    }
  /** What happens at the integration gate: see `gate.ts`. */
  | GateEvent
  /** What happens in environments: see `environment.ts`. */
  | DeliveryEvent
  /** Done outside of the state, by a person: users, tokens, secrets, credentials. For the audit only. */
  | {
      readonly kind: 'Audited';
      readonly by: string;
      /** `user.add`, `token.revoke`, `secret.set` … */
      readonly action: string;
      readonly subject: string;
      readonly project?: ProjectId;
      readonly detail?: string;
    };

export type EventKind = Event['kind'];

/** One entry of the journal: atomic, at most 512 KiB as JSON. */
export interface Entry {
  readonly v: 1;
  /** Wall time of the append, ms since 1970; never less than the last entry's. */
  readonly at: number;
  readonly epoch: number;
  readonly events: readonly Event[];
}
