import { backoffMs } from '../shared/async/backoff.js';
import { sleep } from '../shared/async/sleep.js';
import { BlobError } from '../shared/blob/blob-error.js';
import type { BlobStore } from '../shared/blob/blob-store.js';
import type { Logger } from '../shared/log.js';

const backoff = { firstMs: 500, maxMs: 10_000 };

/**
 * Makes sure of the bucket when a coordinator starts. Throws when the storage answers that it will not have us: wrong
 * keys, or a bucket that is missing and may not be made. Storage that does not answer is no reason to stay away, as what runs
 * goes on without it: it is said, and asked again until `signal` aborts.
 */
export async function openBucket(options: {
  readonly blobs: Pick<BlobStore, 'ensureBucket'>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { blobs, log, signal } = options;
  try {
    await blobs.ensureBucket({ signal });
  } catch (error) {
    if (signal.aborted || hasAnswered(error)) throw error;
    log.warn({ err: error }, 'storage does not answer; artifacts and submitted trees wait for it');
    void keepAsking(options);
  }
}

async function keepAsking({ blobs, log, signal }: Parameters<typeof openBucket>[0]): Promise<void> {
  const isOver = (): boolean => signal.aborted;
  for (let failures = 0; !isOver(); failures += 1) {
    try {
      await sleep(backoffMs(backoff, failures, Math.random()), signal);
      await blobs.ensureBucket({ signal });
      log.info('storage answers');
      return;
    } catch (error) {
      if (!isOver()) log.warn({ err: error }, 'storage is not available yet; trying again');
    }
  }
}

/** A status below 500 is a word about our request; above, the server is not well; without one, nobody answered. */
function hasAnswered(error: unknown): boolean {
  if (!(error instanceof BlobError)) return true;
  const { cause } = error;
  const metadata: unknown = cause instanceof Error && '$metadata' in cause ? cause.$metadata : undefined;
  const status: unknown =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? metadata.httpStatusCode
      : undefined;
  return typeof status === 'number' && status < 500;
}
