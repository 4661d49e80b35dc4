/**
 * The integration gate's words: what a project sets, what an entry of a queue is, and everything that can happen to
 * it. One gate is one target branch of one project. The rules are in `coordinator/gate`.
 */
import type { Ejection } from './ejection.js';
import type { Failure } from './failure.js';
import type { Brand, CommitId, ProjectId, RunId } from './ids.js';
import type { Source } from './pipeline.js';

/** 16 base32 characters: random for `land`, of the push's identity for a pushed proposal, so that one push is one entry. */
export type GateEntryId = Brand<string, 'GateEntryId'>;

const base32Id = /^[a-z2-7]{16}$/;

// The `as` stands directly behind the check that proves it.
export const parseGateEntryId = (text: string): GateEntryId | undefined =>
  base32Id.test(text) ? (text as GateEntryId) : undefined;

/** `merge`: a merge commit with both parents; `squash`: one commit on the target with the change's content. */
export type MergeMethod = 'merge' | 'squash';

/** The project's, never the change's. */
export interface GateSettings {
  /**
   * Stages that must be there and succeed, by name (all cells of a matrix) or by title (one cell). Whatever is named
   * here, the run as a whole must succeed too.
   */
  readonly require: readonly string[];
  readonly method: MergeMethod;
  /** How many entries are built and tested at once, each onto the result of the one before it. At least 1. */
  readonly depth: number;
  /** How long a run of the gate may take. One that still runs then is given up as the change's failure. */
  readonly hangLimitMs: number;
  /** How often a run that failed by our fault is repeated before the gate pauses. */
  readonly retries: number;
  /** Whether runs of the gate get the secrets that their stages name, though what they run has not landed. */
  readonly seesSecrets: boolean;
  /** Branches that are watched for pushes past the gate from the start; others are from their first entry on. */
  readonly targets: readonly string[];
}

export const defaultGateSettings: GateSettings = {
  require: [],
  method: 'merge',
  depth: 1,
  hangLimitMs: 2 * 60 * 60 * 1000,
  retries: 2,
  seesSecrets: false,
  targets: [],
};

/** Where an entry came from. The entry is its commit: the ref only says when it is to leave. */
export interface GateSource {
  /** `proposal`: pushed to `refs/for/<target>/<name>`; the gate deletes that ref when the entry ends. */
  readonly kind: 'branch' | 'proposal';
  /** Whole: `refs/heads/login`, `refs/for/main/login`. */
  readonly ref: string;
}

/** What people typed: `login`, `refs/for/main/login`. */
export const sourceName = ({ ref }: GateSource): string => ref.replace(/^refs\/heads\//, '');

/** A merged result, made on the coordinator's machine and not pushed before it lands. */
export interface Candidate {
  readonly commit: CommitId;
  /** What it was merged onto: the target's tip, or the candidate of an entry ahead. */
  readonly base: CommitId;
  /** The run that tests it first, named by its trailer `Gantry-Run`. */
  readonly run: RunId;
  /** How its code reaches the agents, in storage. */
  readonly bundle: Omit<Extract<Source, { readonly kind: 'bundle' }>, 'kind' | 'commit'>;
}

/** What the end of a run means for the entry. */
export type RunVerdict =
  | { readonly kind: 'green' }
  /** By the change's fault, or the run is not what the project requires; `reason` is a sentence. */
  | { readonly kind: 'red'; readonly reason: string; readonly failure?: Failure }
  /** A person canceled the run. */
  | { readonly kind: 'canceled'; readonly by: string }
  /** By our fault; `next` is the run that tries the same candidate again. */
  | { readonly kind: 'ours'; readonly reason: string; readonly next: RunId };

/** Why a gate stands still. Its queue is kept, and grows. */
export type GatePause =
  | { readonly kind: 'asked'; readonly by: string; readonly reason?: string }
  | { readonly kind: 'ours'; readonly entry: GateEntryId; readonly run: RunId; readonly reason: string }
  /** The target no longer contains what it contained. */
  | { readonly kind: 'rewound'; readonly from: CommitId; readonly to: CommitId }
  /** The target is gone, or was never there. */
  | { readonly kind: 'deleted'; readonly was?: CommitId }
  /** Credentials or a protection keep the gate out; `message` is the server's. */
  | { readonly kind: 'refused'; readonly doing: 'fetch' | 'push'; readonly message: string };

export function describePause(pause: GatePause): string {
  switch (pause.kind) {
    case 'asked':
      return `paused by ${pause.by}${pause.reason === undefined ? '' : `: ${pause.reason}`}`;
    case 'ours':
      return `run ${pause.run} failed by Gantry's fault, again and again: ${pause.reason}`;
    case 'rewound':
      return `the target was rewound from ${pause.from} to ${pause.to}: resume to go on from there`;
    case 'deleted':
      return pause.was === undefined
        ? 'the target does not exist: create it and resume'
        : `the target was deleted (it was at ${pause.was}): the gate never creates it; do so and resume`;
    case 'refused':
      return `the server refuses the gate's ${pause.doing}: ${pause.message}`;
  }
}

/** Why a candidate was thrown away. */
export type RebuildReason =
  /** Somebody pushed to the target past the gate. */
  | 'target-moved'
  /** One ahead of it left the queue, or was itself built again. */
  | 'ahead-changed'
  /** Its commits are not on this machine any more. */
  | 'candidate-lost';

/** Which gate an event is about. */
interface GateRef {
  readonly project: ProjectId;
  /** The branch's short name: `main`. */
  readonly target: string;
}

type OfEntry = GateRef & { readonly entry: GateEntryId };

export type GateEvent =
  | (OfEntry & {
      readonly kind: 'GateQueued';
      readonly commit: CommitId;
      readonly source: GateSource;
      readonly method: MergeMethod;
      /** First line of the commit's message. */
      readonly title: string;
      readonly author?: string;
      /** Who landed or pushed it, and is told when it is ejected. */
      readonly by: string;
    })
  /** The target is here, and nobody is to blame: first look, or what a person resumed after a rewind. */
  | (GateRef & { readonly kind: 'GateTargetSeen'; readonly tip: CommitId })
  | (OfEntry & { readonly kind: 'GateMerged'; readonly candidate: Candidate })
  | (OfEntry & {
      readonly kind: 'GateConflicted';
      readonly base: CommitId;
      readonly files: readonly string[];
    })
  /** Its commit is in the base already, or its merge changes nothing. */
  | (OfEntry & { readonly kind: 'GateContained'; readonly base: CommitId })
  /** The run that tests the candidate is accepted. */
  | (OfEntry & { readonly kind: 'GateRunStarted'; readonly run: RunId })
  | (OfEntry & {
      readonly kind: 'GateRunEnded';
      readonly run: RunId;
      readonly verdict: RunVerdict;
      /** The run had not ended: the gate gave it up, and has it canceled. */
      readonly isGivenUp: boolean;
    })
  | (OfEntry & { readonly kind: 'GateRebuilt'; readonly reason: RebuildReason })
  /** From here on the candidate may be on the target. */
  | (OfEntry & { readonly kind: 'GatePushBegan'; readonly commit: CommitId; readonly expected: CommitId })
  /** It is certain that the candidate is not on the target. */
  | (OfEntry & { readonly kind: 'GatePushFailed'; readonly commit: CommitId })
  /** It must leave while its push is under way: it does when the push turns out not to have landed. */
  | (OfEntry & { readonly kind: 'GateLeaving'; readonly ejection: Ejection })
  | (OfEntry & {
      readonly kind: 'GateLanded';
      readonly commit: CommitId;
      readonly from: CommitId;
      /** The green run: the push run takes over its stages. */
      readonly run: RunId;
    })
  | (OfEntry & { readonly kind: 'GateEjected'; readonly ejection: Ejection })
  | (OfEntry & { readonly kind: 'GateAlreadyLanded' })
  /** Pushed past the gate; `by` are the committers, as far as they can be told. */
  | (GateRef & {
      readonly kind: 'GateBypassed';
      readonly from: CommitId;
      readonly to: CommitId;
      readonly by: readonly string[];
    })
  | (GateRef & { readonly kind: 'GatePaused'; readonly pause: GatePause })
  | (GateRef & { readonly kind: 'GateResumed'; readonly by: string })
  /** `message`: why it was given up. */
  | (GateRef & { readonly kind: 'GateChoreDone'; readonly chore: number; readonly message?: string });
