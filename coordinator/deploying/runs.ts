/** Runs as deployments need them, live or ended: what was planned, and what the stages left. */
import { BlobError } from '../../shared/blob/blob-error.js';
import type { Failure } from '../../shared/model/failure.js';
import type { RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import type { Coordinator } from '../coordinator.js';
import type { History } from '../history/history.js';
import { attemptResults, type AttemptResult, type RunEvent, type RunRecord } from '../history/record.js';
import type { RunEvents } from '../history/run-events.js';
import type { PlanStore } from '../journal/plans.js';
import type { RunState } from '../scheduler/state.js';

export interface KnownRun {
  readonly plan: Plan;
  readonly results: readonly AttemptResult[];
  readonly events: readonly RunEvent[];
  /** Undefined while it goes on. */
  readonly end: RunEnd | undefined;
}

export interface RunEnd {
  readonly status: 'succeeded' | 'failed' | 'canceled';
  /** Of the run, then of its stages. */
  readonly failures: readonly Failure[];
}

export interface KnownRuns {
  /** Undefined: there is no such run (any more). Rejects when it cannot be read now. */
  find(run: RunId): Promise<KnownRun | undefined>;
}

export interface KnownRunsParts {
  readonly coordinator: () => Pick<Coordinator, 'read'>;
  readonly plans: Pick<PlanStore, 'get'>;
  readonly history: Pick<History, 'index' | 'record'>;
  readonly events: Pick<RunEvents, 'of'>;
}

export function knownRuns({ coordinator, plans, history, events }: KnownRunsParts): KnownRuns {
  const live = async (run: RunId): Promise<KnownRun | undefined> => {
    // Before the state is asked: it is deleted when the run has left that.
    const plan = await plans.get(run);
    if (plan === undefined) return undefined;
    return coordinator().read(({ state }) => {
      const found = state.runs.get(run);
      if (found === undefined) return undefined;
      return { plan, results: attemptResults(found), events: [...events.of(run)], end: endOf(found) };
    });
  };
  const recorded = async (run: RunId): Promise<KnownRun | undefined> => {
    if ((await history.index.get(run)) === undefined) return undefined;
    try {
      const { plan, results, events: seen, view } = await history.record(run);
      return { plan, results, events: seen, end: endOfView(view) };
    } catch (error) {
      if (error instanceof BlobError && error.failure.kind === 'blob-not-found') return undefined;
      throw error;
    }
  };
  return { find: async (run) => (await live(run)) ?? (await recorded(run)) };
}

function endOf({ ended, failure, stages }: RunState): RunEnd | undefined {
  if (ended === undefined) return undefined;
  const ofStages = stages.flatMap(({ phase }) =>
    phase.kind === 'ended' && phase.failure !== undefined ? [phase.failure] : [],
  );
  return { status: ended.status, failures: [...(failure === undefined ? [] : [failure]), ...ofStages] };
}

function endOfView({ status, failure, stages }: RunRecord['view']): RunEnd {
  return {
    status: status === 'succeeded' || status === 'canceled' ? status : 'failed',
    failures: [failure, ...stages.map((stage) => stage.failure)].filter((one) => one !== null),
  };
}
