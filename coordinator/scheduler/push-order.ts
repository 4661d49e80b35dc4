/**
 * Which of two pushes to a branch is the older one. Runs are accepted in the order in which their commits were read, which
 * is another one: pushes are read side by side, and a webhook may tell of them in any order.
 */
import type { CommitId } from '../../shared/model/ids.js';
import type { ReportedMove } from '../../shared/model/project.js';
import type { BranchState, ProjectState } from './project-state.js';
import type { RunState } from './state.js';

/** Whether the run is of an older push than the one that its branch was last judged by. */
export function isOfOlderPush(
  known: ProjectState,
  { facts, order }: Pick<RunState, 'facts' | 'order'>,
  last: Pick<BranchState, 'commit' | 'order'>,
): boolean {
  const moves = known.refs.get(`refs/heads/${facts.branch ?? ''}`)?.moves ?? [];
  return isOlder(moves, facts.commit, last.commit) ?? order < last.order;
}

/** Undefined: the same commit, or one that the last moves do not tell of. */
function isOlder(moves: readonly ReportedMove[], one: CommitId, other: CommitId): boolean | undefined {
  if (one === other) return undefined;
  // Moves that follow each other say it whatever the order they were told in, where the branch came to each commit once.
  const isBefore = leadsTo(moves, one, other);
  if (isBefore !== leadsTo(moves, other, one)) return isBefore;
  const [place, otherPlace] = [one, other].map((commit) =>
    moves.findLastIndex(({ new: now }) => now === commit),
  );
  if (place === undefined || otherPlace === undefined || place < 0 || otherPlace < 0) return undefined;
  return place < otherPlace;
}

function leadsTo(moves: readonly ReportedMove[], from: CommitId, to: CommitId): boolean {
  const reached = new Set([from]);
  for (const commit of reached) {
    if (commit === to) return true;
    for (const { old, new: now } of moves) if (old === commit && now !== undefined) reached.add(now);
  }
  return false;
}
