/**
 * Which submitted trees are in storage. What was seen there a moment ago still is, as nothing removes bundles within minutes
 * of their upload: a HEAD takes half of the time from a submit to its answer (5 of 10 ms), and the same tree is asked for
 * when it is prepared, when it is submitted, and when it is submitted again.
 */
import { bundleKey } from '../../shared/blob/layout.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { Recent } from '../../shared/async/recent.js';
import type { Sha256 } from '../../shared/model/ids.js';

const kept = 1_000;
const rememberedMs = 5 * 60_000;

export class StoredBundles {
  readonly #blobs: Pick<BlobStore, 'head'>;
  readonly #nowMs: () => number;
  readonly #seen = new Recent<Sha256, { readonly bytes: number; readonly atMs: number }>(kept);

  /** `nowMs`: any clock that does not go back. */
  constructor(blobs: Pick<BlobStore, 'head'>, nowMs: () => number = () => performance.now()) {
    this.#blobs = blobs;
    this.#nowMs = nowMs;
  }

  /** Whether the whole of it is there. Rejects with a BlobError while storage is away. */
  async has(
    bundle: { readonly digest: Sha256; readonly bytes: number },
    signal: AbortSignal,
  ): Promise<boolean> {
    const { digest, bytes } = bundle;
    const seen = this.#seen.get(digest);
    if (seen?.bytes === bytes && this.#nowMs() - seen.atMs < rememberedMs) return true;
    const stored = await this.#blobs.head(bundleKey(digest), { signal });
    if (stored === undefined) return false;
    this.#seen.set(digest, { bytes: stored.bytes, atMs: this.#nowMs() });
    return stored.bytes === bytes;
  }
}
