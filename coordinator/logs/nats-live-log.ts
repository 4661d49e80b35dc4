/** Logs of running attempts in the stream LOGS: raw bytes, with step and offset in the headers. */
import { attemptKey } from '../../shared/model/ids.js';
import { askAgain, errorCode, notFound } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher, isFull, type PublishOutcome } from '../../shared/nats/nats-publisher.js';
import { readStream, type StreamMessage } from '../../shared/nats/nats-stream-reader.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { LogRefused, type LiveLog, type StoredChunk } from './live-log.js';
import { LogOrder } from './log-order.js';

const stepHeader = 'Gantry-Step';
const offsetHeader = 'Gantry-Offset';
const atHeader = 'Gantry-At';

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

  return {
    async append(chunk) {
      const { step, offset, bytes, at } = chunk;
      const piece = { log: `${attemptKey(chunk)}/${step}`, offset, end: offset + bytes.length };
      const store = async (): Promise<string | undefined> => {
        const outcome = await publisher.publish(names.logsSubject(chunk), bytes, {
          [stepHeader]: String(step),
          [offsetHeader]: String(offset),
          [atHeader]: String(at),
        });
        return outcome.kind === 'stored' ? undefined : describe(outcome);
      };
      const problem = await order.append(piece, store, () => performance.now());
      if (problem !== undefined) throw new LogRefused(problem);
    },
    async *read(ref, { follow, signal }) {
      const subject = names.logsSubject(ref);
      try {
        const until = follow ? undefined : await lastSequence(subject, signal);
        if (until === 0) return;
        const batches = readStream({
          link,
          stream: names.logsStream,
          subject,
          from: 1,
          ...(until === undefined ? {} : { until }),
          // 64 messages of at most 64 KiB: 4 MB of a slow reader's chunks are in memory.
          window: 64,
          signal,
        });
        for await (const batch of batches)
          for (const message of batch) {
            const chunk = chunkOf(message);
            if (chunk !== undefined) yield chunk;
          }
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
