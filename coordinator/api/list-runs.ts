/** Lists of runs: the live ones first, then pages of finished ones by an opaque cursor. */
import { projectOf } from '../../shared/git/repository-url.js';
import type { RunSummary } from '../../shared/model/run.js';
import { runSummary } from '../scheduler/views.js';
import type { Services } from './services.js';

export interface ListQuery {
  readonly projectName: string;
  readonly branch: string;
  readonly status: string;
  readonly limit: number;
  readonly cursor: string;
}

const maxPage = 100;

export async function listRuns(
  services: Services,
  query: ListQuery,
): Promise<{ readonly runs: readonly RunSummary[]; readonly cursor: string }> {
  const limit = query.limit === 0 ? maxPage : Math.min(query.limit, maxPage);
  const project = query.projectName === '' ? undefined : projectOf(query.projectName).id;
  const wanted = (run: RunSummary): boolean =>
    (query.branch === '' || run.branch === query.branch) &&
    (query.status === '' || run.status === query.status);
  // Only the first page holds live runs; a later page's cursor is a place among the finished ones.
  const live =
    query.cursor === ''
      ? await services.coordinator.read(({ state }) =>
          [...state.runs.values()]
            .filter((run) => project === undefined || run.facts.project === project)
            .sort((a, b) => b.order - a.order)
            .map(runSummary)
            .filter(wanted),
        )
      : [];
  const liveIds = new Set(live.map((run) => run.run));
  const rest = limit - live.length;
  if (rest <= 0) return { runs: live.slice(0, limit), cursor: '' };
  const page = await services.history.index.list({
    limit: rest,
    // A run that was recorded but has not left the state is listed once.
    filter: (run) => wanted(run) && !liveIds.has(run.run),
    ...(project === undefined ? {} : { project }),
    ...(query.cursor === '' ? {} : { before: query.cursor }),
  });
  return { runs: [...live, ...page.runs], cursor: page.cursor ?? '' };
}
