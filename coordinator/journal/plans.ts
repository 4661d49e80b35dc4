import type { RunId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';

/** Compiled plans, one per run, at most 16 MB; put before the run's `Submit`, deleted when the run has left the state. */
export interface PlanStore {
  /** Safe to repeat: the same run's plan is overwritten by an equal one. */
  put(plan: Plan): Promise<void>;
  get(run: RunId): Promise<Plan | undefined>;
  delete(run: RunId): Promise<void>;
  /** Runs that have a plan: for sweeping what no run needs. */
  list(): Promise<readonly RunId[]>;
}
