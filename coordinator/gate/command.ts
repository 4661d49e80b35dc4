/** What comes in from outside, what is answered, and what the loop is told to do. All of it is data. */
import type { Failure } from '../../shared/model/failure.js';
import type {
  Candidate,
  GateEntryId,
  GateEvent,
  GateSettings,
  GateSource,
  MergeMethod,
} from '../../shared/model/gate.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { Chore, EntryEnd, EntryFacts } from './state.js';

interface AtGate {
  readonly project: ProjectId;
  readonly target: string;
}

/** A stage of a run that ended, as far as the gate asks. */
export interface StageResult {
  readonly name: string;
  /** `test (python=3.12)` */
  readonly title: string;
  readonly status: 'succeeded' | 'failed' | 'canceled' | 'skipped';
  readonly allowFailure: boolean;
  readonly failure?: Failure;
}

export interface RunResult {
  readonly status: 'succeeded' | 'failed' | 'canceled';
  readonly stages: readonly StageResult[];
}

/** How a push ended, translated from git's words by the adapter. */
export type PushAnswer =
  | { readonly kind: 'landed' }
  /** The target was not at the expected commit. */
  | { readonly kind: 'moved' }
  /** A hook of the server looked at the content and refuses it. */
  | { readonly kind: 'refused-content'; readonly message: string }
  /** Credentials, or a protection of the branch. Where the server leaves it open, this one: it ejects nobody. */
  | { readonly kind: 'refused-credentials'; readonly message: string }
  /** The connection broke, nothing came back, or it was not wanted any more and not made: it may have landed. */
  | { readonly kind: 'unknown'; readonly message: string }
  /** The candidate's commits are not on this machine and cannot be had from its bundle. */
  | { readonly kind: 'candidate-lost' };

export type MergeAnswer =
  | { readonly kind: 'merged'; readonly candidate: Candidate }
  | { readonly kind: 'conflict'; readonly files: readonly string[] }
  /** The base contains the commit, or the merge leaves the base's tree as it is. */
  | { readonly kind: 'contained' }
  /** The entry's commit is not to be had from the remote. */
  | { readonly kind: 'commit-missing'; readonly message: string }
  /** The base is a candidate whose commits are not on this machine any more. */
  | { readonly kind: 'base-missing' }
  | { readonly kind: 'refused-credentials'; readonly message: string }
  /** Ours: no disk, no storage, the remote is away. Tried again. */
  | { readonly kind: 'unavailable'; readonly message: string };

export type FetchAnswer =
  | {
      readonly kind: 'fetched';
      readonly tip: CommitId;
      /** The tip contains what was `known`; true when nothing was. */
      readonly isForward: boolean;
      /** The tip contains the candidate that was asked about; false when none was. */
      readonly containsCandidate: boolean;
      /** Committers of what is new since `known` or, if contained, since the candidate; at most ten, without doubles. */
      readonly by: readonly string[];
    }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'refused-credentials'; readonly message: string }
  | { readonly kind: 'unavailable'; readonly message: string };

export type GateCommand =
  /** `gantry land`, or a push to `refs/for/<target>/<name>`. The same request again is the same entry. */
  | (AtGate & {
      readonly kind: 'Land';
      readonly entry: GateEntryId;
      readonly commit: CommitId;
      readonly source: GateSource;
      /** Absent: as the project says. */
      readonly method?: MergeMethod;
      readonly title: string;
      readonly author?: string;
      readonly by: string;
    })
  /** A ref that is no target moved or is gone, whoever noticed. `forward`: the new tip contains the old one. */
  | {
      readonly kind: 'RefChanged';
      readonly project: ProjectId;
      readonly ref: string;
      readonly change:
        { readonly kind: 'forward' | 'forced'; readonly to: CommitId } | { readonly kind: 'deleted' };
    }
  /** A poll or a hook saw the target there; null: it saw that the target is gone. */
  | (AtGate & { readonly kind: 'TargetSeen'; readonly tip: CommitId | null })
  | (AtGate & {
      readonly kind: 'Eject';
      readonly entry: GateEntryId;
      readonly by: string;
      readonly reason?: string;
    })
  | (AtGate & { readonly kind: 'Pause'; readonly by: string; readonly reason?: string })
  | (AtGate & { readonly kind: 'Resume'; readonly by: string })
  /** Outcome of `Merge`. */
  | (AtGate & {
      readonly kind: 'MergeAnswered';
      readonly entry: GateEntryId;
      readonly base: CommitId;
      readonly answer: MergeAnswer;
    })
  /** Outcomes of `StartRun`; `spare` is an id for the next run, should this one have failed by our fault. */
  | { readonly kind: 'RunStarted'; readonly run: RunId }
  | { readonly kind: 'RunRefused'; readonly run: RunId; readonly failure: Failure; readonly spare: RunId }
  | { readonly kind: 'RunEnded'; readonly run: RunId; readonly result: RunResult; readonly spare: RunId }
  /** Outcome of `Push`. */
  | (AtGate & {
      readonly kind: 'PushAnswered';
      readonly entry: GateEntryId;
      readonly commit: CommitId;
      readonly answer: PushAnswer;
    })
  /** Outcome of `FetchToVerify`; `doubt`, `known` and `candidate` as in the effect. */
  | (AtGate & {
      readonly kind: 'FetchAnswered';
      readonly doubt: number;
      readonly known?: CommitId;
      readonly candidate?: CommitId;
      readonly answer: FetchAnswer;
    })
  /** Outcome of `DoChore`. `message`: it cannot be done, and was given up. */
  | (AtGate & { readonly kind: 'ChoreDone'; readonly chore: number; readonly message?: string });

export type GateAnswer =
  | { readonly kind: 'done' }
  /** `place`: 1 is the head. `again`: the commit, or this very request, was queued before. */
  | {
      readonly kind: 'queued';
      readonly entry: GateEntryId;
      readonly place: number;
      readonly again: boolean;
      /** Why the gate stands still, if it does. */
      readonly paused?: string;
    }
  /** The same request was made before, and this came of it. */
  | { readonly kind: 'ended'; readonly entry: GateEntryId; readonly end: EntryEnd }
  /** Its push is under way: it leaves if the push does not land. */
  | { readonly kind: 'leaving'; readonly message: string }
  | { readonly kind: 'not-found'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

export interface GateHandled {
  readonly events: readonly GateEvent[];
  readonly answer: GateAnswer;
}

/** Performed after the events that justify them are durable; performing one twice is harmless. */
export type GateEffect =
  /** Make the candidate in the coordinator's repository, put its bundle into storage, choose its run's id. */
  | (AtGate & {
      readonly kind: 'Merge';
      readonly entry: GateEntryId;
      readonly base: CommitId;
      /** The entry's facts, for the merge commit's message; its commit is what is merged. */
      readonly of: EntryFacts;
    })
  /** Make sure that the run exists, and tell its end if it has ended. */
  | (AtGate & {
      readonly kind: 'StartRun';
      readonly entry: GateEntryId;
      readonly run: RunId;
      readonly candidate: Candidate;
      readonly of: EntryFacts;
      /** The run before it, which failed by our fault. */
      readonly retryOf?: RunId;
    })
  /**
   * Push `commit` to the target, if the target is at `expected`; never create it. `isPushWanted` is asked right before,
   * so that an effect that waited for its turn does not land what has been ejected since: the answer is `unknown` then.
   */
  | (AtGate & {
      readonly kind: 'Push';
      readonly entry: GateEntryId;
      readonly commit: CommitId;
      readonly expected: CommitId;
    })
  /** Fetch the target and say where it is, whether it contains `known`, and whether it contains `candidate`. */
  | (AtGate & {
      readonly kind: 'FetchToVerify';
      readonly doubt: number;
      readonly known?: CommitId;
      readonly candidate?: CommitId;
    })
  /** Confirm with `ChoreDone`. `chore` with project and target names it for good: two that are equal are one. */
  | (AtGate & { readonly kind: 'DoChore'; readonly chore: number; readonly what: Chore });

export interface GateDecision {
  readonly events: readonly GateEvent[];
  readonly effects: readonly GateEffect[];
  /** When to ask again though nothing came in; monotonic ms as given in `now`. */
  readonly wakeAtMs?: number;
}

/** What the gate reads of the world beside its own state: time, the project's settings, and how a run is doing. */
export interface GateContext {
  readonly now: { readonly wallMs: number; readonly monotonicMs: number };
  /** Undefined: there is no such project, or it has no gate. */
  readonly settings: (project: ProjectId) => GateSettings | undefined;
  /** `waiting`: no stage of it has an agent. Undefined: the scheduler does not know it (any more). */
  readonly runStatus: (run: RunId) => 'waiting' | 'running' | 'ended' | undefined;
}
