/** Retries are data: how long to wait after the n-th failure (n from 0), doubled each time, with full jitter. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** `random` in [0, 1) comes from the caller, so that the pure core may use it with its own seed. */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  const ceiling = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures, 30));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
