/** Finding the run, stage and step that somebody means, live or ended. */
import { parseRunId, type RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import type { RunView, StageView, StepView } from '../../shared/model/run.js';
import { attemptResults, type RunEvent, type RunRecord, type AttemptResult } from '../history/record.js';
import { runView } from '../scheduler/views.js';
import { projectOf } from '../../shared/git/repository-url.js';
import type { Reach } from '../access/reach.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface Selector {
  /** Id or unique prefix; empty: the latest of the project. */
  readonly run: string;
  readonly projectName: string;
}

/** A run as it is now: from the state while it is there, from its record afterwards. */
export interface FoundRun {
  readonly view: RunView;
  readonly results: readonly AttemptResult[];
  /** Journal sequence that the view includes; 0 for a recorded run. */
  readonly sequence: number;
  readonly record?: RunRecord;
}

const prefixPattern = /^[a-z2-7]{1,16}$/;

/** Among the runs that the caller reaches; the others do not exist for them. Throws not-found or invalid. */
export async function resolveRun(services: Services, selector: Selector, reach: Reach): Promise<RunId> {
  if (selector.run === '') return latestRun(services, selector.projectName, reach);
  if (!prefixPattern.test(selector.run)) {
    throw new ApiError(
      'invalid',
      `${JSON.stringify(selector.run)} is not a run: expected an id or its first characters (letters a-z, digits 2-7)`,
    );
  }
  const whole = parseRunId(selector.run);
  if (whole !== undefined) {
    if (reach.isLimited) await checkReached(services, whole, reach);
    return whole;
  }
  const live = await services.coordinator.read(({ state }) =>
    [...state.runs.values()]
      .filter(({ run, facts }) => run.startsWith(selector.run) && reach.has(facts.project))
      .map(({ run }) => run),
  );
  const ended = await services.history.index.find(selector.run, 10, (row) => reach.has(row.projectId));
  const found = [...new Set([...live, ...ended.map((row) => row.run)])];
  const [only, ...others] = found;
  if (only === undefined)
    throw new ApiError('not-found', `no run begins with ${selector.run}: \`gantry runs\` lists them`);
  if (others.length > 0) {
    throw new ApiError(
      'invalid',
      `${selector.run} is the beginning of several runs: ${found.sort().join(', ')}`,
    );
  }
  return only;
}

async function checkReached(services: Services, run: RunId, reach: Reach): Promise<void> {
  const live = await services.coordinator.read(({ state }) => state.runs.get(run)?.facts.project);
  const project = live ?? (await services.history.index.get(run))?.projectId;
  if (project === undefined || !reach.has(project)) throw noSuchRun(run);
}

const noSuchRun = (run: RunId): ApiError => new ApiError('not-found', `there is no run ${run}`);

async function latestRun(services: Services, projectName: string, reach: Reach): Promise<RunId> {
  const project = projectName === '' ? undefined : projectOf(projectName).id;
  const live = await services.coordinator.read(({ state }) => {
    let latest: { readonly run: RunId; readonly at: number; readonly order: number } | undefined;
    for (const run of state.runs.values()) {
      if (project !== undefined && run.facts.project !== project) continue;
      if (!reach.has(run.facts.project)) continue;
      if (latest === undefined || run.order > latest.order) {
        latest = { run: run.run, at: run.acceptedAt, order: run.order };
      }
    }
    return latest;
  });
  const page = await services.history.index.list({
    limit: 1,
    filter: (run) => reach.has(run.projectId),
    ...(project === undefined ? {} : { project }),
  });
  const ended = page.runs[0];
  if (ended !== undefined && (live === undefined || Date.parse(ended.submittedAt) > live.at))
    return ended.run;
  if (live !== undefined) return live.run;
  throw new ApiError(
    'not-found',
    projectName === ''
      ? 'there is no run yet'
      : `project ${projectName} has no run yet: start one with gantry submit`,
  );
}

/** Looks a run up. Throws not-found, or unavailable while its record cannot be read. */
export async function findRun(services: Services, run: RunId): Promise<FoundRun> {
  const live = await services.coordinator.read(({ state, presence, sequence, now }): FoundRun | undefined => {
    const found = state.runs.get(run);
    if (found === undefined) return undefined;
    return { view: runView(state, presence, found, now), results: attemptResults(found), sequence };
  });
  if (live !== undefined) return live;
  if ((await services.history.index.get(run)) === undefined) {
    throw noSuchRun(run);
  }
  const record = await services.history.record(run);
  return { view: record.view, results: record.results, sequence: 0, record };
}

export async function planOf(services: Services, found: FoundRun): Promise<Plan> {
  if (found.record !== undefined) return found.record.plan;
  const plan = await services.plans.get(found.view.run);
  if (plan === undefined) {
    throw new ApiError(
      'unavailable',
      `the plan of run ${found.view.run} is not in the plan store: try again`,
    );
  }
  return plan;
}

export function eventsOf(services: Services, found: FoundRun): readonly RunEvent[] {
  return found.record?.events ?? services.events.of(found.view.run);
}

/** `what`: a number or a name, narrowed by cell values; empty: all. Throws not-found naming what there is. */
export function selectStages(
  view: RunView,
  what: string,
  cell: Readonly<Record<string, string>> = {},
): readonly StageView[] {
  if (what === '') return view.stages;
  const chosen = view.stages.filter(
    (stage) =>
      (/^\d+$/.test(what) ? stage.number === Number(what) : stage.name === what || stage.title === what) &&
      Object.entries(cell).every(([key, value]) => stage.cell[key] === value),
  );
  if (chosen.length === 0) {
    const cells = Object.entries(cell).map(([key, value]) => ` ${key}=${value}`);
    throw new ApiError(
      'not-found',
      `run ${view.run} has no stage ${what}${cells.join('')}; it has ${view.stages.map((stage) => stage.title).join(', ')}`,
    );
  }
  return chosen;
}

/** `what`: a number or a name; empty: all. */
export function selectSteps(stage: StageView, what: string): readonly StepView[] {
  if (what === '') return stage.steps;
  const chosen = stage.steps.filter((step) =>
    /^\d+$/.test(what) ? step.number === Number(what) : step.name === what,
  );
  if (chosen.length === 0) {
    throw new ApiError(
      'not-found',
      `stage ${stage.title} has no step ${what}; it has ${stage.steps.map((step) => `${step.number} (${step.name})`).join(', ')}`,
    );
  }
  return chosen;
}
