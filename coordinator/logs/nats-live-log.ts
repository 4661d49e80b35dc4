/** Logs of running attempts in the stream LOGS: raw bytes, with step and offset in the headers. */
import { attemptKey } from '../../shared/model/ids.js';
import { askAgain, errorCode, notFound } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher, isFull, type PublishOutcome } from '../../shared/nats/nats-publisher.js';
import { readStream, type StreamMessage } from '../../shared/nats/nats-stream-reader.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { LogRefused, type LiveLog, type StoredChunk } from './live-log.js';
import { LiveTails, type LiveTail, type TailChunk } from './live-tail.js';
import { LogOrder } from './log-order.js';

const stepHeader = 'Gantry-Step';
const offsetHeader = 'Gantry-Offset';
const atHeader = 'Gantry-At';
/**
 * A follower that heard nothing for so long asks NATS again: the attempt's chunks may come to another coordinator now.
 */
const tailSilentMs = 2_000;

export interface NatsLiveLog extends LiveLog {
  close(): void;
}

/**
 * Appends are pipelined: call again without waiting, and bound what is in flight yourself. `mayPurge`: false where the
 * server would lose more than what is purged (see `nats-streams.ts`).
 */
export function natsLiveLog(options: {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly mayPurge: boolean;
}): NatsLiveLog {
  const { link, names } = options;
  const publisher = createPublisher({ link, timeoutMs: 10_000 });
  const order = new LogOrder();
  const tails = new LiveTails();

  const lastSequence = async (subject: string, signal: AbortSignal): Promise<number> => {
    const manager = await link.nc.jetstreamManager({ checkAPI: false });
    try {
      const ask = { last_by_subj: subject };
      return (await askAgain(link, () => manager.streams.getMessage(names.logsStream, ask), signal)).seq;
    } catch (error) {
      if (errorCode(error) === notFound.message) return 0;
      throw error;
    }
  };

  /** Out of NATS. */
  async function* stored(
    subject: string,
    range: { readonly from: number; readonly until?: number },
    signal: AbortSignal,
  ): AsyncGenerator<TailChunk> {
    // 64 messages of at most 64 KiB: 4 MB of a slow reader's chunks are in memory.
    const batches = readStream({ link, stream: names.logsStream, subject, ...range, window: 64, signal });
    for await (const batch of batches)
      for (const message of batch) {
        const chunk = chunkOf(message);
        if (chunk !== undefined) yield { sequence: message.sequence, chunk };
      }
  }

  /**
   * From NATS up to what this process has just stored itself, then that, for as long as it is all. Whenever it is not,
   * from NATS again: a reader that fell behind, an attempt whose agent sends to another coordinator.
   */
  async function* followed(subject: string, signal: AbortSignal): AsyncGenerator<StoredChunk> {
    const tail = tails.open(subject);
    const reader = new TailReader(tail);
    try {
      for (;;) {
        for await (const next of stored(subject, { from: reader.seen + 1 }, signal)) {
          reader.take(next);
          yield next.chunk;
          if (tail.after(reader.seen) !== undefined) break;
        }
        yield* reader.read(signal);
        signal.throwIfAborted();
      }
    } finally {
      tails.close(subject);
    }
  }

  return {
    async append(chunk) {
      const { step, offset, bytes, at } = chunk;
      const piece = { log: `${attemptKey(chunk)}/${step}`, offset, end: offset + bytes.length };
      const store = async (): Promise<string | undefined> => {
        const subject = names.logsSubject(chunk);
        const outcome = await publisher.publish(subject, bytes, {
          [stepHeader]: String(step),
          [offsetHeader]: String(offset),
          [atHeader]: String(at),
        });
        if (outcome.kind === 'unknown') tails.get(subject)?.forget();
        if (outcome.kind !== 'stored') return describe(outcome);
        tails.get(subject)?.add(outcome.sequence, { step, offset, bytes, at });
        return undefined;
      };
      const problem = await order.append(piece, store, () => performance.now());
      if (problem !== undefined) throw new LogRefused(problem);
    },
    async *read(ref, { follow, signal }) {
      const subject = names.logsSubject(ref);
      try {
        if (follow) {
          yield* followed(subject, signal);
          return;
        }
        const until = await lastSequence(subject, signal);
        if (until === 0) return;
        for await (const { chunk } of stored(subject, { from: 1, until }, signal)) yield chunk;
      } catch (error) {
        // The reader has what it wanted.
        if (!signal.aborted) throw error;
      }
    },
    async purge(ref) {
      order.forget((log) => log.startsWith(`${attemptKey(ref)}/`));
      if (!options.mayPurge) return;
      const manager = await link.nc.jetstreamManager({ checkAPI: false });
      const subject = names.logsSubject(ref);
      await askAgain(link, () => manager.streams.purge(names.logsStream, { filter: subject }));
    },
    close: () => publisher.close(),
  };
}

/** One follower's place in an attempt's chunks. */
class TailReader {
  /** Sequence of the chunk that was given last. */
  seen = 0;
  readonly #tail: LiveTail;
  /** Where each step's log ends, as far as it was given. */
  readonly #ends = new Map<number, number>();

  constructor(tail: LiveTail) {
    this.#tail = tail;
  }

  take({ sequence, chunk: { step, offset, bytes } }: TailChunk): void {
    this.seen = sequence;
    const end = this.#ends.get(step) ?? 0;
    if (offset <= end) this.#ends.set(step, Math.max(end, offset + bytes.length));
  }

  /** Ends when the tail does not have all that follows, or has had nothing for a while. */
  async *read(signal: AbortSignal): AsyncGenerator<StoredChunk> {
    for (;;) {
      const more = this.#tail.after(this.seen);
      if (more === undefined) return;
      for (const next of more) {
        // Another coordinator stored what is between.
        if (next.chunk.offset > (this.#ends.get(next.chunk.step) ?? 0)) return;
        this.take(next);
        yield next.chunk;
      }
      if (more.length === 0 && !(await this.#tail.changed(tailSilentMs, signal))) return;
    }
  }
}

function describe(outcome: Exclude<PublishOutcome, { kind: 'stored' }>): string {
  if (outcome.kind === 'unknown') return `not acknowledged: ${outcome.message}`;
  return isFull(outcome.code) ? `the store for live logs is full (${outcome.message})` : outcome.message;
}

/** Undefined for a message without our headers: nobody but a coordinator may publish there, and none writes such. */
function chunkOf(message: StreamMessage): StoredChunk | undefined {
  const number = (header: string): number => {
    const text = message.headers?.get(header) ?? '';
    return text === '' ? NaN : Number(text);
  };
  const step = number(stepHeader);
  const offset = number(offsetHeader);
  const at = number(atHeader);
  if (!Number.isSafeInteger(step) || !Number.isSafeInteger(offset) || !Number.isFinite(at)) return undefined;
  return { step, offset, at, bytes: message.data };
}
