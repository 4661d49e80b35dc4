import type { AttemptRef } from '../../shared/model/ids.js';
import type { LogChunk } from '../../shared/model/agent.js';

/** A piece as stored; pieces of one step may overlap where an agent sent again. */
export interface StoredChunk extends Omit<LogChunk, keyof AttemptRef> {
  readonly step: number;
}

/** Logs of attempts that are not archived yet. */
export interface LiveLog {
  /**
   * Resolves when the chunk is durable, and all before it in its step's log are. Call it again without waiting, and
   * bound what is in flight. Throws LogRefused when the store is full, did not answer, or lacks a piece before this one:
   * append the same again, or end the stream so that the agent sends everything that is not acknowledged.
   */
  append(chunk: LogChunk): Promise<void>;
  /**
   * Chunks of one attempt in the order stored: what is there, then, with `follow`, what comes, until the signal aborts.
   * Without `follow` ends with the last chunk as asked at the start.
   */
  read(
    ref: AttemptRef,
    options: { readonly follow: boolean; readonly signal: AbortSignal },
  ): AsyncIterable<StoredChunk>;
  /** Forgets an attempt's chunks, once they are in S3. */
  purge(ref: AttemptRef): Promise<void>;
}

export class LogRefused extends Error {
  override readonly name = 'LogRefused';
}
