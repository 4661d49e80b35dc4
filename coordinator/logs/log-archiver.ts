/** Puts into storage what LOGS has of an attempt whose agent did not do it: it was lost, or is gone. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { logKey } from '../../shared/blob/layout.js';
import type { LogDigest } from '../../shared/model/event.js';
import { parseSha256, type AttemptRef } from '../../shared/model/ids.js';
import { liveLog, type StepCursor } from './attempt-log.js';
import type { LiveLog } from './live-log.js';

export class LogArchiver {
  readonly #live: LiveLog;
  readonly #blobs: BlobStore;

  constructor(options: { readonly live: LiveLog; readonly blobs: BlobStore }) {
    this.#live = options.live;
    this.#blobs = options.blobs;
  }

  /**
   * Each step's log as far as LOGS knows it, stored, unless storage has as much already: its agent may have stored
   * more than LOGS ever took. Safe to repeat until LOGS is purged. Throws BlobError.
   */
  async archive(ref: AttemptRef, signal: AbortSignal): Promise<readonly LogDigest[]> {
    // A put needs its length first, so the chunks are read twice and never held.
    const hashes = new Map<number, { bytes: number; readonly hash: ReturnType<typeof createHash> }>();
    for await (const { step, bytes } of this.#pieces(ref, signal)) {
      const known = hashes.get(step) ?? { bytes: 0, hash: createHash('sha256') };
      known.bytes += bytes.length;
      known.hash.update(bytes);
      hashes.set(step, known);
    }
    const digests: LogDigest[] = [];
    for (const [step, { bytes, hash }] of hashes) {
      const sha256 = parseSha256(hash.digest('hex'));
      if (sha256 !== undefined) digests.push({ step, bytes, sha256 });
      const stored = await this.#blobs.head(logKey(ref, step), { signal });
      if (stored !== undefined && stored.bytes >= bytes) continue;
      const stream = Readable.from(this.#bytesOf(ref, step, bytes, signal), { objectMode: false });
      await this.#blobs.put(logKey(ref, step), { stream, bytes }, { signal });
    }
    return digests;
  }

  async *#pieces(ref: AttemptRef, signal: AbortSignal): AsyncGenerator<{ step: number; bytes: Uint8Array }> {
    const cursors = new Map<number, StepCursor>();
    for await (const piece of liveLog(this.#live, ref, cursors, { follow: false, signal })) {
      if (!('gap' in piece)) yield piece;
    }
  }

  /** Exactly `bytes` of one step: a late chunk must not make the body longer than was said. */
  async *#bytesOf(
    ref: AttemptRef,
    step: number,
    bytes: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let left = bytes;
    for await (const piece of this.#pieces(ref, signal)) {
      if (piece.step !== step || left === 0) continue;
      const wanted = piece.bytes.subarray(0, left);
      left -= wanted.length;
      yield wanted;
    }
  }
}
