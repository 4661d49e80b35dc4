/**
 * A deployment's words: one run's stage for one environment, what it is made of, and every way in which it can end. The
 * rules are in `coordinator/delivery`.
 */
import { describeFailure, type Failure } from './failure.js';
import type { CommitId, RunId, Sha256 } from './ids.js';
import type { TriggerKind, Trust } from './pipeline.js';

export interface RecordedArtifact {
  /** `<stage title>/<artifact>`. */
  readonly name: string;
  readonly sha256: Sha256;
  /** Whose storage holds it: not to be deleted while an environment runs it or may roll back to it. */
  readonly run: RunId;
}

export interface RecordedImage {
  /** As the pipeline names it. */
  readonly name: string;
  /** `sha256:…` */
  readonly digest: string;
}

/** A name, and the hash of its value under the installation's key: equal values have equal hashes, and nothing else is said. */
export interface KeyedHash {
  readonly name: string;
  readonly hash: string;
}

/** All that a deployment puts into its environment. Lists are in the order of the pipeline. */
export interface DeploymentRecord {
  readonly commit: CommitId;
  readonly artifacts: readonly RecordedArtifact[];
  readonly images: readonly RecordedImage[];
  /** Of what each step runs. */
  readonly steps: readonly { readonly name: string; readonly sha256: Sha256 }[];
  readonly env: readonly KeyedHash[];
  readonly secrets: readonly KeyedHash[];
  /** Its stage has `verify`. */
  readonly verifies: boolean;
}

/** So many artifacts, images, steps and names at most: a record goes into the journal, and stays in the state for long. */
export const mostRecordItems = 1_000;
/** As JSON. Names are anybody's, and two lists of a record can change: its greatest must still fit an entry. */
export const mostRecordCharacters = 128 * 1024;

/** Where a deployment's code comes from, as the coordinator derived it. */
export interface DeploymentSource {
  readonly event: TriggerKind;
  readonly trust: Trust;
  readonly branch?: string;
}

/** A person vouches for artifacts that the environment before did not verify. */
export interface Force {
  readonly by: string;
  readonly reason: string;
}

export type DeploymentKind =
  | { readonly kind: 'stage'; readonly force?: Force }
  | {
      readonly kind: 'rollback';
      /** The deployment that is made again, never itself a rollback, and its run's stage. */
      readonly of: number;
      readonly ofRun: RunId;
      readonly ofStage: number;
      readonly cause: 'asked' | 'verify-failed';
    };

/** Why nobody can say how far a deployment came. */
export type UnknownCause =
  | { readonly kind: 'agent-lost'; readonly message: string }
  /** Its agent ended it before it was done: canceled, timed out, stopped, out of storage … */
  | { readonly kind: 'cut-off'; readonly failure?: Failure };

export type DeploymentEnd =
  /** Its steps and its `verify` succeeded, as far as it has one; `by`: a person said so. */
  | { readonly kind: 'verified'; readonly by?: string }
  /** A step of it failed by itself. `isUntouched`: it failed before its first step, so nothing has changed. */
  | { readonly kind: 'failed'; readonly failure?: Failure; readonly isUntouched: boolean }
  | { readonly kind: 'verify-failed'; readonly reason: string }
  | { readonly kind: 'settled-bad'; readonly by: string; readonly reason?: string }
  // The others have changed nothing.
  | { readonly kind: 'canceled'; readonly by: string }
  /** Its stage ended without an attempt that started, or its run could not be made; `reason` is a sentence. */
  | { readonly kind: 'not-started'; readonly reason: string; readonly failure?: Failure }
  | { readonly kind: 'rejected'; readonly by: string; readonly reason: string }
  /** By a newer deployment that came as far. */
  | { readonly kind: 'superseded'; readonly deployment: number }
  /** It waited for seven days. */
  | { readonly kind: 'expired' }
  /** It is older than what is there. */
  | { readonly kind: 'outdated'; readonly deployment: number; readonly commit: CommitId }
  /** What it would deploy is not on a branch of the remote. */
  | { readonly kind: 'not-landed'; readonly event: TriggerKind }
  /** `only`: the environment takes the default branch alone, which is this one; empty: nobody has seen which that is. */
  | { readonly kind: 'branch-refused'; readonly branch?: string; readonly only?: string }
  | { readonly kind: 'not-promoted'; readonly from: string };

export const approvalDays = 7;

/** One sentence for people, without a full stop. */
export function describeDeploymentEnd(end: DeploymentEnd): string {
  switch (end.kind) {
    case 'verified':
      return end.by === undefined ? 'it succeeded' : `${end.by} settled it as good`;
    case 'failed':
      return end.failure === undefined ? 'it failed' : describeFailure(end.failure);
    case 'verify-failed':
      return `its verify failed: ${end.reason}`;
    case 'settled-bad':
      return `${end.by} settled it as bad${end.reason === undefined ? '' : `: ${end.reason}`}`;
    case 'canceled':
      return `it was canceled by ${end.by}`;
    case 'not-started':
      return end.failure === undefined ? end.reason : `${end.reason}: ${describeFailure(end.failure)}`;
    case 'rejected':
      return `${end.by} rejected it: ${end.reason}`;
    case 'superseded':
      return `deployment ${end.deployment}, which is newer, takes its place`;
    case 'expired':
      return `it waited for more than ${approvalDays} days`;
    case 'outdated':
      return `outdated: deployment ${end.deployment} brought ${end.commit}, which is newer (only \`gantry rollback\` goes back)`;
    case 'not-landed':
      return `a run of kind ${end.event} deploys nothing: only what is on a branch of the remote is deployed`;
    case 'branch-refused':
      return `the environment takes deployments of ${takenBranches(end.only)} only, and the run is of ${end.branch === undefined ? 'none' : `branch ${end.branch}`} (\`gantry environments set --branches\`)`;
    case 'not-promoted':
      return `${end.from} has not verified this commit with these artifacts and images: deploy them there first, or vouch for them with \`gantry retry RUN --force REASON\``;
  }
}

function takenBranches(only: string | undefined): string {
  if (only === undefined) return 'certain branches';
  return only === '' ? 'the default branch, which is not known yet,' : `the default branch, ${only},`;
}

export function describeUnknown(cause: UnknownCause): string {
  switch (cause.kind) {
    case 'agent-lost':
      return `its agent was lost: ${cause.message}`;
    case 'cut-off':
      return `it was cut off${cause.failure === undefined ? '' : `: ${describeFailure(cause.failure)}`}`;
  }
}

/** Whether it is certain that a deployment which ended so has not changed its environment. */
export function isUntouched(end: DeploymentEnd): boolean {
  switch (end.kind) {
    case 'verified':
    case 'verify-failed':
    case 'settled-bad':
      return false;
    case 'failed':
      return end.isUntouched;
    case 'canceled':
    case 'not-started':
    case 'rejected':
    case 'superseded':
    case 'expired':
    case 'outdated':
    case 'not-landed':
    case 'branch-refused':
    case 'not-promoted':
      return true;
  }
}
