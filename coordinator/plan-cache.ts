/** Plans of recent runs in memory before the store: a submitted run is dispatched without reading its plan back. */
import { Recent } from '../shared/async/recent.js';
import type { RunId } from '../shared/model/ids.js';
import type { Logger } from '../shared/log.js';
import type { Plan } from '../shared/model/pipeline.js';
import type { Coordinator } from './coordinator.js';
import type { PlanStore } from './journal/plans.js';

const cached = 256;

export class PlanCache implements PlanStore {
  readonly #store: PlanStore;
  readonly #plans = new Recent<RunId, Plan>(cached);

  constructor(store: PlanStore) {
    this.#store = store;
  }

  async put(plan: Plan): Promise<void> {
    await this.#store.put(plan);
    this.#plans.set(plan.run, plan);
  }

  async get(run: RunId): Promise<Plan | undefined> {
    const plan = this.#plans.get(run) ?? (await this.#store.get(run));
    if (plan !== undefined) this.#plans.set(plan.run, plan);
    return plan;
  }

  async delete(run: RunId): Promise<void> {
    this.#plans.delete(run);
    await this.#store.delete(run);
  }

  list(): Promise<readonly RunId[]> {
    return this.#store.list();
  }
}

/** Deletes plans that no run needs: of refused submits, and of crashes between a run's record and its plan's end. */
export async function sweepPlans(plans: PlanStore, coordinator: Coordinator, log: Logger): Promise<void> {
  const stored = await plans.list();
  const needed = await coordinator.read(({ state }) => new Set(state.runs.keys()));
  const orphans = stored.filter((run) => !needed.has(run));
  for (const run of orphans) await plans.delete(run);
  if (orphans.length > 0) log.info({ plans: orphans.length }, 'plans without a run deleted');
}
