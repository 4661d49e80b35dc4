/** Finished runs: putting them on record, and reading them back. */
import { Recent } from '../../shared/async/recent.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import type { RunId } from '../../shared/model/ids.js';
import type { PlanStore } from '../journal/plans.js';
import { loadRecord, storeRecord, type RunRecord } from './record.js';
import type { FinishedRun, RunIndex } from './run-index.js';

export interface HistoryOptions {
  readonly blobs: BlobStore;
  readonly index: RunIndex;
  readonly plans: PlanStore;
}

/** How many records are kept in memory: a page of somebody's recent runs. */
const cachedRecords = 32;

export class History {
  readonly #options: HistoryOptions;
  readonly #cache = new Recent<RunId, Promise<RunRecord>>(cachedRecords);

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  get index(): RunIndex {
    return this.#options.index;
  }

  /** Safe to repeat. Afterwards the run may leave the state. */
  async store(record: RunRecord): Promise<void> {
    const { blobs, index } = this.#options;
    await storeRecord(blobs, record);
    const { stages: _stages, artifacts: _artifacts, ...summary } = record.view;
    const row: FinishedRun = { ...summary, projectId: record.projectId, digest: record.digest };
    await index.put(row);
  }

  /** The run left the state: its plan is in the record. */
  async forgetPlan(run: RunId): Promise<void> {
    await this.#options.plans.delete(run);
  }

  async record(run: RunId): Promise<RunRecord> {
    const cached = this.#cache.get(run);
    if (cached !== undefined) return cached;
    const loading = loadRecord(this.#options.blobs, run);
    this.#cache.set(run, loading);
    // A failed load must not be remembered: storage may be back for the next reader.
    loading.catch(() => {
      this.#cache.delete(run);
    });
    return loading;
  }
}
