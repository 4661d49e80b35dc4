/**
 * Reading a step's log exactly: every byte once, in order. Live pieces may overlap (an agent sent again) and end
 * where LOGS was purged; then reading goes on from storage. What cannot be had is said, never skipped in silence.
 */
import { BlobError } from '../../shared/blob/blob-error.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { logKey } from '../../shared/blob/layout.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import type { LiveLog } from './live-log.js';

export interface LogPiece {
  readonly step: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Wall ms; 0 when only storage knows the bytes. */
  readonly at: number;
  /** Set instead of bytes: what is missing here. */
  readonly missing?: string;
}

/** Puts pieces of one step in order: cuts what was given already; a gap is reported by the caller's rule. */
export class StepCursor {
  offset = 0;

  /** The part of the chunk that is new, or `gap` when bytes before it are missing. */
  next(chunk: { readonly offset: number; readonly bytes: Uint8Array }): Uint8Array | 'gap' | undefined {
    if (chunk.offset > this.offset) return 'gap';
    const fresh = chunk.bytes.subarray(this.offset - chunk.offset);
    if (fresh.length === 0) return undefined;
    this.offset += fresh.length;
    return fresh;
  }
}

export interface ArchivedStep {
  readonly ref: AttemptRef;
  readonly step: number;
  /** First byte wanted. */
  readonly from: number;
  /** Length of the whole log, as its agent said. */
  readonly bytes: number;
}

/** The whole of one step's log, or its rest from `from`, out of storage. */
export async function* archivedLog(
  blobs: BlobStore,
  { ref, step, from, bytes: length }: ArchivedStep,
  signal: AbortSignal,
): AsyncGenerator<LogPiece> {
  let offset = from;
  try {
    const head = await blobs.head(logKey(ref, step), { signal });
    if (head !== undefined && head.bytes > offset) {
      const range = offset === 0 ? {} : { range: { start: offset } };
      const content = await blobs.get(logKey(ref, step), { signal, ...range });
      for await (const chunk of content.body) {
        // A stream without an encoding gives Buffers.
        const bytes = chunk as Buffer;
        yield { step, offset, bytes, at: 0 };
        offset += bytes.length;
      }
    }
    if (offset < length) {
      yield missing(step, offset, `nobody has what follows byte ${offset} of ${length}: its agent was lost`);
    }
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    yield missing(step, offset, `from byte ${offset} on: ${error.message}`);
  }
}

const missing = (step: number, offset: number, what: string): LogPiece => ({
  step,
  offset,
  bytes: new Uint8Array(),
  at: 0,
  missing: what,
});

/** All live pieces of an attempt, in order and without overlaps, per step. Ends as `LiveLog.read` does. */
export async function* liveLog(
  live: LiveLog,
  ref: AttemptRef,
  cursors: Map<number, StepCursor>,
  options: { readonly follow: boolean; readonly signal: AbortSignal },
): AsyncGenerator<LogPiece | { readonly gap: number }> {
  for await (const chunk of live.read(ref, options)) {
    const cursor = cursors.get(chunk.step) ?? new StepCursor();
    cursors.set(chunk.step, cursor);
    const before = cursor.offset;
    const fresh = cursor.next(chunk);
    if (fresh === 'gap') yield { gap: chunk.step };
    else if (fresh !== undefined) yield { step: chunk.step, offset: before, bytes: fresh, at: chunk.at };
  }
}
