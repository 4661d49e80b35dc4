/**
 * The append-only truth. One writer (the leader) with one append in flight; the expected last sequence is a complete
 * fence: the append of a writer that has been overtaken is refused.
 */
import type { Entry } from '../../shared/model/event.js';

export type AppendResult =
  | { readonly kind: 'stored'; readonly sequence: number }
  /** Somebody else wrote meanwhile: this writer has been overtaken. */
  | { readonly kind: 'refused'; readonly message: string }
  /** No answer, or the connection broke: it may be stored or not. Replay tells. */
  | { readonly kind: 'unknown'; readonly message: string };

export interface Journal {
  /**
   * Gives every entry after sequence `after` up to the last one as asked at the start, in order, without a gap.
   * Resolves with that last sequence (`after` when there is none). Throws JournalError on a gap, an entry that is no
   * entry, or when the server is away for good.
   */
  replay(after: number, onEntry: (sequence: number, entry: Entry) => void): Promise<number>;
  /**
   * Appends one entry, at most 512 KiB as JSON, provided that the last sequence is `expectedLast`.
   * Never call it again before it has settled. After `refused` and `unknown`: stop leading, replay.
   */
  append(entry: Entry, expectedLast: number): Promise<AppendResult>;
  /** Aborts when the connection broke: everything pending is unknown from then on. */
  readonly disconnected: AbortSignal;
}

export class JournalError extends Error {
  override readonly name = 'JournalError';
}

export const maxEntryBytes = 512 * 1024;
