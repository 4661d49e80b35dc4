const MiB = 1024 * 1024;

/** Up to here an object travels by one put: more parts only cost requests. */
export const singlePutMaxBytes = 64 * MiB;
/** What S3 allows in one object. */
const maxParts = 10_000;
const partBytes = 16 * MiB;

export type PartPlan =
  | { readonly kind: 'single' }
  | { readonly kind: 'parts'; readonly partBytes: number; readonly count: number };

/**
 * How an object of `bytes` is uploaded. Both sides ask this function: the one that presigns and the one that sends.
 * Parts are 16 MiB: a retry repeats little, and a batch of URLs is used long before it expires.
 */
export function planParts(bytes: number): PartPlan {
  if (bytes <= singlePutMaxBytes) return { kind: 'single' };
  const size = Math.max(partBytes, Math.ceil(bytes / maxParts / MiB) * MiB);
  return { kind: 'parts', partBytes: size, count: Math.ceil(bytes / size) };
}

/** How many bytes the given part (from 1) has. */
export function bytesOfPart(plan: Extract<PartPlan, { kind: 'parts' }>, bytes: number, part: number): number {
  return Math.min(plan.partBytes, bytes - (part - 1) * plan.partBytes);
}
