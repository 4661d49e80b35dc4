/** Lists of runs: the live ones first, then the finished ones, in pages by an opaque cursor. */
import { projectOf } from '../../shared/git/repository-url.js';
import type { RunSummary } from '../../shared/model/run.js';
import { BadCursor } from '../history/run-table.js';
import type { Reach } from '../access/reach.js';
import { runSummary } from '../scheduler/views.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface ListQuery {
  readonly projectName: string;
  readonly branch: string;
  readonly status: string;
  readonly limit: number;
  readonly cursor: string;
}

const maxPage = 100;

/** Of the projects that the caller reaches. */
export async function listRuns(
  services: Services,
  query: ListQuery,
  reach: Reach,
): Promise<{ readonly runs: readonly RunSummary[]; readonly cursor: string }> {
  const limit = query.limit === 0 ? maxPage : Math.min(query.limit, maxPage);
  const project = query.projectName === '' ? undefined : projectOf(query.projectName).id;
  const wanted = (run: RunSummary): boolean =>
    (query.branch === '' || run.branch === query.branch) &&
    (query.status === '' || run.status === query.status);
  const livePage = liveCursor.exec(query.cursor);
  // A cursor of another form is a place among the finished ones: the live ones were given before it.
  const below = query.cursor === '' ? Infinity : Number(livePage?.[1] ?? 0);
  const { live, liveIds } = await services.coordinator.read(({ state }) => ({
    live: [...state.runs.values()]
      .filter((run) => run.order < below && (project === undefined || run.facts.project === project))
      .filter((run) => reach.has(run.facts.project))
      .sort((a, b) => b.order - a.order)
      .map((run) => ({ order: run.order, summary: runSummary(run) }))
      .filter(({ summary }) => wanted(summary)),
    liveIds: new Set(state.runs.keys()),
  }));
  const rest = limit - live.length;
  if (rest <= 0) {
    const page = live.slice(0, limit);
    return { runs: page.map(({ summary }) => summary), cursor: `live.${page.at(-1)?.order ?? 0}` };
  }
  const page = await finished(services, {
    limit: rest,
    // A run that was recorded but has not left the state is listed once.
    filter: (run) => reach.has(run.projectId) && wanted(run) && !liveIds.has(run.run),
    ...(project === undefined ? {} : { project }),
    ...(query.cursor === '' || livePage !== null ? {} : { before: query.cursor }),
  });
  return { runs: [...live.map(({ summary }) => summary), ...page.runs], cursor: page.cursor ?? '' };
}

/** The number of the last run of a page that was full of live ones. */
const liveCursor = /^live\.(\d+)$/;

type Finished = Services['history']['index'];

async function finished(
  services: Services,
  query: Parameters<Finished['list']>[0],
): ReturnType<Finished['list']> {
  try {
    return await services.history.index.list(query);
  } catch (error) {
    if (error instanceof BadCursor)
      throw new ApiError('invalid', `cursor: ${error.message}`, { cause: error });
    throw error;
  }
}
