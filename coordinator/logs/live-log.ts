import type { AttemptRef } from '../../shared/model/ids.js';
import type { LogChunk } from '../../shared/model/agent.js';

/** A piece as stored; pieces of one step may overlap where an agent sent again. */
export interface StoredChunk extends Omit<LogChunk, keyof AttemptRef> {
  readonly step: number;
}

/** Logs of attempts that are not archived yet. */
export interface LiveLog {
  /** Resolves when the chunk is durable. Throws LogRefused when the store is full: the agent keeps it and tries again. */
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
