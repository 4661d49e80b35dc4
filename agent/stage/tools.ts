/**
 * What the recipe of an attempt works with: ports only, put together in `agent/main.ts`. A test gives scripted ones.
 */
import type { NeededArtifacts, PresignObject } from '../../shared/model/agent.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { Failure } from '../../shared/model/failure.js';
import type { PlannedArtifact, RunFacts, Source } from '../../shared/model/pipeline.js';
import type { AttemptRef, Sha256 } from '../../shared/model/ids.js';
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import type { Transfer } from '../../shared/blob/transfer.js';
import type { Logger } from '../../shared/log.js';
import type { Executor, SlotDirectories } from '../executor/executor.js';
import type { Session, UploadGrant } from '../session/session.js';

export interface StageTools {
  readonly executor: Executor;
  readonly session: Session;
  readonly workspaces: Workspaces;
  readonly artifacts: ArtifactMover;
  readonly transfer: Pick<Transfer, 'putBytes' | 'putFile'>;
  readonly settings: StageSettings;
  readonly log: Logger;
  /** Wall time in ms since 1970. */
  readonly now: () => number;
}

export interface StageSettings {
  /** For people: in messages and `GANTRY_AGENT`. */
  readonly agentName: string;
  /** Where the records of attempts are. */
  readonly attemptsDirectory: string;
  /** A stage's image is ignored and its steps run on the host. */
  readonly ignoreImage: boolean;
  readonly logLimitBytes: number;
  /** From TERM to KILL of a step that is canceled or out of time. */
  readonly graceMs: number;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export type OnProgress = (activity: string, fraction?: number) => void;

/** How an attempt asks for URLs; waits while the link is away, throws `SessionRefused`. */
export type Presign = (object: PresignObject, signal: AbortSignal) => Promise<PresignedUrl>;

export interface CheckoutRequest {
  readonly source: Source;
  readonly facts: RunFacts;
  readonly slot: SlotDirectories;
  readonly presign: Presign;
  /** For the fetch, if one is needed; undefined: none. */
  readonly credential: () => Promise<GitCredential | undefined>;
  readonly onProgress: OnProgress;
}

/** Slot directories and what fills them. Errors that are a failure of the attempt are `StageError`s. */
export interface Workspaces {
  /** Makes a slot with empty `workspace` and `out`; one that a killed process was preparing is thrown away. */
  create(ref: AttemptRef): Promise<SlotDirectories>;
  /** Where the slot of that attempt is. */
  at(ref: AttemptRef): SlotDirectories;
  /** Throws away the workspace alone; the logs beside it stay until they are archived. Idempotent. */
  discardWorkspace(ref: AttemptRef): Promise<void>;
  /** Moves the slot out of the way at once and deletes it in the background. Idempotent. */
  discard(ref: AttemptRef): Promise<void>;
  /** Fills the workspace with the commit. Hostile code has not run in it yet. */
  checkout(request: CheckoutRequest, signal: AbortSignal): Promise<void>;
  /** Gives all that is in the workspace to the user that the steps run as. */
  giveTo(slot: SlotDirectories, owner: Owner): Promise<void>;
}

export interface RestoreRequest {
  readonly needs: readonly NeededArtifacts[];
  readonly slot: SlotDirectories;
  readonly presign: Presign;
  readonly onProgress: OnProgress;
}

export interface StoreRequest {
  readonly artifacts: readonly PlannedArtifact[];
  readonly slot: SlotDirectories;
  readonly presign: Presign;
  readonly upload: (artifact: { readonly number: number; readonly bytes: number }) => UploadGrant;
  readonly onProgress: OnProgress;
}

export interface StoredArtifacts {
  /** Of `manifest.json`; absent when there was nothing to store. */
  readonly manifest?: { readonly sha256: Sha256; readonly bytes: number };
  /** What is wrong with the artifacts themselves (nothing matches, a path leaves the workspace); the others are stored. */
  readonly failure?: Failure;
}

export interface ArtifactMover {
  /** Puts the artifacts of the needed stages at their paths. */
  restore(request: RestoreRequest, signal: AbortSignal): Promise<void>;
  /** Finds, packs and uploads; safe to repeat. The workspace does not change meanwhile and is hostile. */
  store(request: StoreRequest, signal: AbortSignal): Promise<StoredArtifacts>;
}

/** An error that is the attempt's failure. */
export class StageError extends Error {
  override readonly name = 'StageError';

  constructor(
    readonly failure: Failure,
    options?: ErrorOptions,
  ) {
    super('message' in failure ? failure.message : failure.kind, options);
  }
}
