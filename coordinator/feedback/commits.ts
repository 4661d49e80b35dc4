import type { CommitId, ProjectId } from '../../shared/model/ids.js';

/** As its author wrote it: nothing in it is safe to show, and the address may be none. */
export interface CommitLine {
  readonly commit: CommitId;
  readonly title: string;
  readonly authorName: string;
  readonly authorMail: string;
}

/** Commits that one notification names at most. */
export const maxCommits = 100;

export interface Commits {
  /**
   * Commits that `to` has and `from` has not, newest first, at most `maxCommits`; without `from` only `to`. Rejects when
   * the repository cannot be read now, or does not have them any more.
   */
  since(
    range: { readonly project: ProjectId; readonly from?: CommitId; readonly to: CommitId },
    signal: AbortSignal,
  ): Promise<readonly CommitLine[]>;
}
