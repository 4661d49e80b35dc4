/** What the end of a run means to people: whether its branch broke, is still broken, or is mended. */
import type { Failing, NewsKind } from '../../shared/model/project.js';
import { speaksForBranch } from './project-state.js';
import { isOfOlderPush } from './push-order.js';
import type { RunState, State } from './state.js';

export interface News {
  readonly failing?: Failing;
  readonly news?: NewsKind;
}

/**
 * Runs of pushes are compared with the last one of their branch; the end of a run whose push is older than that of one that
 * has ended already is no news, nor is that of a retry of what the branch has left, or of a run that did nothing. A run that somebody asked for by hand is told when
 * it failed. A canceled run says nothing, and what a run of the gate, or a verify, means is the gate's and delivery's to say.
 */
export function newsOf(state: State, run: RunState, status: 'succeeded' | 'failed' | 'canceled'): News {
  const { project, event, branch, commit, verifies } = run.facts;
  const known = state.projects.get(project);
  if (known === undefined || status === 'canceled' || event === 'gate') return {};
  if (verifies !== undefined) return {};
  if (event !== 'push' || branch === undefined) return status === 'failed' ? { news: 'failed' } : {};
  if (didNothing(run) || (run.retryOf !== undefined && !speaksForBranch(known, run))) return {};
  const before = known.branches.get(branch);
  if (before !== undefined && isOfOlderPush(known, run, before)) return {};
  if (status === 'succeeded') return before?.status === 'failing' ? { news: 'fixed' } : {};
  if (before?.status === 'failing' && before.failing !== undefined) {
    return { news: 'still-failing', failing: before.failing };
  }
  const since = { run: run.run, commit };
  return {
    news: 'failed',
    failing: { since, ...(before?.lastGreen === undefined ? {} : { lastGreen: before.lastGreen }) },
  };
}

/** Conditions left no stage of it: it is green, and has mended nothing. */
export const didNothing = ({ stages }: RunState): boolean =>
  stages.length > 0 && stages.every(({ phase }) => phase.kind === 'ended' && phase.status === 'skipped');
