/** Which of two commits contains the other, asked of a copy whose history may be cut. */
import { GitError, gitAnswers, gitText } from '../../shared/git/git-program.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { CommitOrder } from '../../shared/model/environment.js';
import type { LocalGit } from './commit-summary.js';

/**
 * What `one` is to `other`; a commit that is not in the copy is `diverged` from all others. That one contains the other is
 * certain however much history is there. That neither does is so only where nothing is cut off: `whole` gets the rest, and
 * keeps it there for a look.
 */
export async function commitOrder(
  git: LocalGit,
  { one, other }: { readonly one: CommitId; readonly other: CommitId },
  whole: (look: () => Promise<CommitOrder>) => Promise<CommitOrder>,
): Promise<CommitOrder> {
  // The copy's remote is not to be asked for commits one by one.
  const local = { ...git, environment: { ...git.environment, GIT_NO_LAZY_FETCH: '1' } };
  if (!(await has(local, one)) || !(await has(local, other))) return 'diverged';
  const order = await orderHere(local, one, other);
  if (order !== 'diverged' || !(await isCut(local))) return order;
  return whole(() => orderHere(local, one, other));
}

async function orderHere(git: LocalGit, one: CommitId, other: CommitId): Promise<CommitOrder> {
  if (await isAncestor(git, one, other)) return 'older';
  return (await isAncestor(git, other, one)) ? 'newer' : 'diverged';
}

const isAncestor = (git: LocalGit, one: CommitId, other: CommitId): Promise<boolean> =>
  gitAnswers({ ...git, args: ['merge-base', '--is-ancestor', one, other] });

async function isCut(git: LocalGit): Promise<boolean> {
  return (await gitText({ ...git, args: ['rev-parse', '--is-shallow-repository'] })) === 'true';
}

async function has(git: LocalGit, commit: CommitId): Promise<boolean> {
  try {
    return await gitAnswers({
      ...git,
      args: ['rev-parse', '--quiet', '--verify', '--end-of-options', `${commit}^{commit}`],
    });
  } catch (error) {
    if (error instanceof GitError && error.failure.kind === 'exit') return false;
    throw error;
  }
}
