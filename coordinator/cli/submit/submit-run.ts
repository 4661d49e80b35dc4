import { randomBytes } from 'node:crypto';
import { backoffMs } from '../../../shared/async/backoff.js';
import { sleep } from '../../../shared/async/sleep.js';
import { base32Of } from '../../../shared/model/ids.js';
import { UnreachableError } from '../cli-error.js';
import type { Output } from '../output.js';

/** A fresh run id: made here, so that asking again after an answer that got lost makes no second run. */
export const newRunId = (): string => base32Of(randomBytes(10));

/** How long a coordinator may be away in the middle of a request: restarts and failovers take seconds. */
const patienceMs = 30_000;

/**
 * Repeats `ask`, which must carry the same id each time, while the coordinator may have received it or cannot answer
 * now. One that was never there is said at once.
 */
export async function askAgain<T>(
  ask: () => Promise<T>,
  options: { readonly output: Pick<Output, 'note'>; readonly signal: AbortSignal },
): Promise<T> {
  const began = Date.now();
  for (let failures = 0; ; failures += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof UnreachableError) || Date.now() - began > patienceMs) throw error;
      if (failures === 0) {
        if (!error.reached) throw error;
        options.output.note(`${error.message}; asking again`);
      }
      await sleep(backoffMs({ firstMs: 200, maxMs: 3000 }, failures, Math.random()), options.signal);
    }
  }
}
