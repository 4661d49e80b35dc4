import { backoffMs } from '../async/backoff.js';
import type { Backoff } from '../async/backoff.js';
import { sleep } from '../async/sleep.js';
import { BlobError } from './blob-error.js';

/** Something that may go better next time: the network, or a server that is busy. */
export class TransientFailure extends Error {
  override readonly name = 'TransientFailure';

  constructor(
    readonly reason: string,
    readonly where: string,
    cause?: unknown,
  ) {
    super(`${where}: ${reason}`, { cause });
  }
}

/** With six tries: about 20 s before a transfer is given up. */
const backoff: Backoff = { firstMs: 300, maxMs: 8_000 };
export const defaultAttempts = 6;

/** Counts failures in a row, waits after each, and ends with `storage-unavailable` after the last. */
export class Retries {
  readonly #attempts: number;
  readonly #signal: AbortSignal | undefined;
  #failures = 0;

  constructor(attempts: number, signal: AbortSignal | undefined) {
    this.#attempts = attempts;
    this.#signal = signal;
  }

  /** Something went well: the next failure is a first one again. */
  progressed(): void {
    this.#failures = 0;
  }

  /** Returns when it is time for another try; throws what was given unless it is a `TransientFailure`. */
  async afterFailure(error: unknown): Promise<void> {
    if (!(error instanceof TransientFailure)) throw error;
    this.#failures += 1;
    if (this.#failures >= this.#attempts) {
      throw new BlobError(
        {
          kind: 'storage-unavailable',
          endpoint: error.where,
          reason: `${error.reason} (${this.#failures} tries)`,
          remedy: 'Check that the storage runs and that this machine reaches it at this address.',
        },
        error,
      );
    }
    await sleep(backoffMs(backoff, this.#failures - 1, Math.random()), this.#signal);
  }
}

/** Runs `work` until it succeeds or fails for good. */
export async function retrying<T>(retries: Retries, work: (repeated: boolean) => Promise<T>): Promise<T> {
  for (let repeated = false; ; repeated = true) {
    try {
      return await work(repeated);
    } catch (error) {
      await retries.afterFailure(error);
    }
  }
}
