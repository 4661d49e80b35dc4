/** Runs that have ended, as feedback reads them: from the state or the record, logs from LOGS or storage. */
import type { EndedRuns } from '../feedback/ended-runs.js';
import { ApiError } from './api-error.js';
import { readLogs } from './read-logs.js';
import { findRun, planOf } from './run-lookup.js';
import type { Services } from './services.js';

export function endedRuns(services: () => Services): EndedRuns {
  return {
    async find(run) {
      try {
        const found = await findRun(services(), run);
        const { facts, notify } = await planOf(services(), found);
        return { view: found.view, facts, ...(notify === undefined ? {} : { notify }) };
      } catch (error) {
        if (error instanceof ApiError && error.kind === 'not-found') return undefined;
        throw error;
      }
    },
    async logEnd({ run, stage, step, maxBytes }, signal) {
      const query = {
        run,
        stage: String(stage),
        cell: {},
        step: String(step),
        follow: false,
        attempt: 0,
        tailBytes: maxBytes,
      };
      let bytes = Buffer.alloc(0);
      let end = 0;
      let missing: string | undefined;
      for await (const piece of readLogs(services(), query, signal)) {
        if (piece.missing !== undefined) {
          missing = piece.missing;
          continue;
        }
        end = piece.offset + piece.bytes.length;
        // A log whose length is not known comes from its start: no more than the end of it is kept.
        bytes = Buffer.concat([bytes, piece.bytes]).subarray(-maxBytes);
      }
      return { bytes, offset: end - bytes.length, ...(missing === undefined ? {} : { missing }) };
    },
  };
}
