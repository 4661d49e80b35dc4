import type { GitCredential } from '../../shared/git/credential.js';
import type { GitProgress } from '../../shared/git/git-progress.js';
import type { CommitId, ProjectId } from '../../shared/model/ids.js';

export interface CommitRequest {
  /** Normalized, without credentials. */
  readonly url: string;
  readonly commit: CommitId;
  /** Branch or tag the commit was found on, as a full name (`refs/heads/main`): fetched first. */
  readonly ref?: string;
  /** Asked only when something must be fetched; undefined: what the repository gives to everybody. */
  readonly credential?: () => Promise<GitCredential | undefined>;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: GitProgress) => void;
}

/** A bare repository on this machine that has the commit with all its history. */
export interface MirroredCommit {
  readonly directory: string;
}

/**
 * Copies of the projects' repositories on the agent's disk, so that a commit travels over the network once.
 *
 * - Calls may run at once. Those for one project take turns fetching and look again before they do, so that
 *   many stages of one commit cause one fetch; reading goes on side by side.
 * - What a mirror once had of a wanted commit it keeps, also when the branch was rewritten since.
 * - A mirror is never mounted anywhere: no step can change it.
 * - Throws `CheckoutError`, or the signal's reason.
 */
export interface Mirror {
  /**
   * Fetches the commit if it is not there yet, and lends the repository to `use`: until that has ended nothing removes
   * or repacks it. When `use` throws an error of git that says that the repository is damaged, it is made anew once
   * and `use` called again.
   */
  withCommit<T>(request: CommitRequest, use: (mirrored: MirroredCommit) => Promise<T>): Promise<T>;
  /** Projects it has, the most recently used first: for the heartbeat. */
  projects(): readonly ProjectId[];
  /** Removes the mirror that was not used for the longest time, unless one is in use; tells whether it did. */
  evictOldest(): Promise<boolean>;
}
