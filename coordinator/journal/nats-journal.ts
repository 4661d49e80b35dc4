/** The journal on JetStream: one stream, one subject, and the expected last sequence as the fence. */
import type { Entry } from '../../shared/model/event.js';
import { askAgain, errorCode, notFound } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher, isWrongLast } from '../../shared/nats/nats-publisher.js';
import { readStream, StreamReadError } from '../../shared/nats/nats-stream-reader.js';
import type { NatsNames } from '../../shared/nats/names.js';
import { parseEntry } from './entry.js';
import { JournalError, maxEntryBytes, type AppendResult, type Journal } from './journal.js';

export interface NatsJournalOptions {
  readonly link: NatsLink;
  readonly names: NatsNames;
}

export interface NatsJournal extends Journal {
  /** `disconnected` is the current connection's: a fresh signal after each reconnect. */
  readonly disconnected: AbortSignal;
  close(): void;
}

/** The stream must exist (`ensureStreams`). */
export function openNatsJournal({ link, names }: NatsJournalOptions): NatsJournal {
  const publisher = createPublisher({ link, timeoutMs: 5_000 });
  const forever = new AbortController().signal;

  const lastSequence = async (): Promise<number> => {
    try {
      const manager = await link.nc.jetstreamManager({ checkAPI: false });
      const { state } = await askAgain(link, () => manager.streams.info(names.journalStream));
      return state.last_seq;
    } catch (error) {
      const why = errorCode(error) === notFound.stream ? 'does not exist on this server' : 'does not answer';
      throw new JournalError(`the stream ${names.journalStream} ${why}`, { cause: error });
    }
  };

  return {
    get disconnected() {
      return link.disconnected;
    },
    async replay(after, onEntry) {
      const last = await lastSequence();
      if (last < after)
        throw new JournalError(
          `the journal ends at ${last}, but entry ${after} was known to be there: its tail is lost (a power failure, or another server's store)`,
        );
      let seen = after;
      try {
        const batches = readStream({
          link,
          stream: names.journalStream,
          from: after + 1,
          until: last,
          window: 5_000,
          signal: forever,
        });
        for await (const batch of batches)
          for (const message of batch) {
            if (message.sequence !== seen + 1) throw gap(seen + 1, message.sequence);
            onEntry(message.sequence, decode(message.sequence, message.data));
            seen = message.sequence;
          }
      } catch (error) {
        if (error instanceof StreamReadError) throw new JournalError(error.message, { cause: error });
        throw error;
      }
      if (seen !== last) throw gap(seen + 1, last);
      return last;
    },
    async append(entry, expectedLast): Promise<AppendResult> {
      const payload = Buffer.from(JSON.stringify(entry));
      if (payload.length > maxEntryBytes)
        throw new JournalError(
          `an entry of ${payload.length} bytes: at most ${maxEntryBytes} fit; split its events over several entries`,
        );
      const outcome = await publisher.publish(names.journalSubject, payload, {
        'Nats-Expected-Last-Sequence': String(expectedLast),
      });
      switch (outcome.kind) {
        case 'stored':
        case 'unknown':
          return outcome;
        case 'refused':
          return isWrongLast(outcome.code)
            ? { kind: 'refused', message: outcome.message }
            : { kind: 'unknown', message: `${outcome.message} (${outcome.code})` };
      }
    },
    close: () => publisher.close(),
  };
}

function decode(sequence: number, data: Uint8Array): Entry {
  try {
    const value: unknown = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
    return parseEntry(value);
  } catch (error) {
    throw new JournalError(
      `entry ${sequence} of the journal: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}

const gap = (wanted: number, found: number): JournalError =>
  new JournalError(`the journal has no entry ${wanted}; the next one there is ${found}`);
