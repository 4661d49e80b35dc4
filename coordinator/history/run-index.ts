import type { ProjectId, RunId } from '../../shared/model/ids.js';
import type { RunSummary } from '../../shared/model/run.js';

/** A finished run as RUNS holds it: what lists filter by. The whole record is `runs/<run>/record.json.gz` in S3. */
export interface FinishedRun extends RunSummary {
  readonly projectId: ProjectId;
  /** Digest of the request, so that the same submit gets the same answer after the run's end. */
  readonly digest: string;
}

/** Another row of this run is stored and differs: its writer knew more, or less, than this one. It is kept. */
export class RunIndexConflict extends Error {
  override readonly name = 'RunIndexConflict';
}

export interface RunIndex {
  /**
   * Safe to repeat; states the expected subject sequence, so that a late writer cannot replace a newer row. Throws
   * RunIndexConflict.
   */
  put(run: FinishedRun): Promise<void>;
  get(run: RunId): Promise<FinishedRun | undefined>;
  /** All runs that fit and whose id begins with the prefix, at most `limit`. */
  find(
    prefix: string,
    limit: number,
    filter?: (run: FinishedRun) => boolean,
  ): Promise<readonly FinishedRun[]>;
  /** Newest first. `before`: the cursor a former page gave. */
  list(options: {
    readonly project?: ProjectId;
    readonly limit: number;
    readonly before?: string;
    readonly filter: (run: FinishedRun) => boolean;
  }): Promise<{ readonly runs: readonly FinishedRun[]; readonly cursor?: string }>;
}
