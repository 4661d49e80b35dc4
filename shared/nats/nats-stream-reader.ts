/**
 * Reads a stream in order, without a gap, over breaks of the connection and restarts of the server. A short-lived pull
 * consumer without acknowledgements delivers; whatever goes wrong with it (a missing delivery, silence, gone after a
 * restart) is answered in one way: a new one from the last sequence seen. The client's own ordered consumer notices a
 * lost consumer by heartbeats of at least half a pull (15 s) and cannot be told where to end.
 */
import { AckPolicy, createInbox, DeliverPolicy, nanos, type Msg, type MsgHdrs } from 'nats';

import { backoffMs } from '../async/backoff.js';
import { deferred } from '../async/deferred.js';
import { sleep } from '../async/sleep.js';
import { beforeBreak, errorCode, notFound } from './nats-ask.js';
import type { NatsLink } from './nats-connection.js';

export interface StreamMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly headers: MsgHdrs | undefined;
  /** A view into the client's buffer: copy what is kept. */
  readonly data: Uint8Array;
}

export interface ReadOptions {
  readonly link: NatsLink;
  readonly stream: string;
  /** One exact subject: wider filters skip messages after a purge on servers below 2.9.12. Absent: all. */
  readonly subject?: string;
  /** First sequence wanted. */
  readonly from: number;
  /**
   * Ends with this sequence, or, when it was purged meanwhile, with the last message before it. Absent: follows for
   * ever.
   */
  readonly until?: number;
  /** Messages under way at most: bounds memory, and is the window of the delivery. */
  readonly window: number;
  readonly signal: AbortSignal;
}

/** The stream is gone, or the server did not answer for a minute. */
export class StreamReadError extends Error {
  override readonly name = 'StreamReadError';
}

const backoff = { firstMs: 50, maxMs: 2_000 };
const heartbeatMs = 2_000;
const silenceMs = 7_000;
const patienceMs = 60_000;

type Ended = 'complete' | 'broken';

/** Gives what arrived since the last turn, never an empty batch. Throws StreamReadError, or the signal's reason. */
export async function* readStream(
  options: ReadOptions,
): AsyncGenerator<readonly StreamMessage[], void, void> {
  let next = options.from;
  if (options.until !== undefined && next > options.until) return;
  let failures = 0;
  let troubleSince: number | undefined;
  for (;;) {
    const delivery = new Delivery(options, next);
    let ended: Ended = 'broken';
    try {
      await delivery.open();
      for (;;) {
        const batch = await delivery.take();
        if (batch.messages.length > 0) {
          failures = 0;
          troubleSince = undefined;
          next = (batch.messages.at(-1)?.sequence ?? next) + 1;
          yield batch.messages;
        }
        if (batch.ended !== undefined) {
          ended = batch.ended;
          break;
        }
      }
    } catch (error) {
      options.signal.throwIfAborted();
      if (errorCode(error) === notFound.stream)
        throw new StreamReadError(`stream ${options.stream} does not exist`, { cause: error });
      troubleSince ??= performance.now();
      if (performance.now() - troubleSince > patienceMs)
        throw new StreamReadError(`stream ${options.stream} cannot be read: ${String(error)}`, {
          cause: error,
        });
    } finally {
      delivery.close();
    }
    if (ended === 'complete') return;
    await options.link.whenUp(options.signal);
    if (failures > 0) await sleep(backoffMs(backoff, failures - 1, Math.random()), options.signal);
    failures++;
  }
}

/** One consumer's life: from its creation to the first thing that goes wrong, or the end. */
class Delivery {
  readonly #options: ReadOptions;
  readonly #from: number;
  readonly #inbox = createInbox();
  readonly #cleanup: (() => void)[] = [];
  #consumer = '';
  #messages: StreamMessage[] = [];
  #ended: Ended | undefined;
  #delivered = 0;
  #heardAt = performance.now();
  /** Messages the server may still send without being asked again. */
  #credit = 0;
  /** The same in all replies of one consumer; 0: no message yet. */
  #numbersAt = 0;
  #wake = deferred<undefined>();

  constructor(options: ReadOptions, from: number) {
    this.#options = options;
    this.#from = from;
  }

  async open(): Promise<void> {
    const { link, stream, subject, signal } = this.#options;
    const { disconnected } = link;
    disconnected.throwIfAborted();
    const manager = await link.nc.jetstreamManager({ checkAPI: false });
    const info = await beforeBreak(link, () =>
      manager.consumers.add(stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: this.#from,
        max_deliver: 1,
        mem_storage: true,
        num_replicas: 1,
        // A reader that stalls longer loses its consumer and gets a new one: nothing is left behind on the server.
        inactive_threshold: nanos(30_000),
        ...(subject === undefined ? {} : { filter_subject: subject }),
      }),
    );
    this.#consumer = info.name;
    this.#cleanup.push(() => {
      if (!disconnected.aborted) manager.consumers.delete(stream, info.name).catch(() => undefined); // it expires by itself
    });
    if (this.#options.until !== undefined && info.num_pending === 0) {
      this.#end('complete');
      return;
    }
    const subscription = link.nc.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error === null) this.#onMessage(message);
        else this.#end('broken');
      },
    });
    this.#cleanup.push(() => {
      if (!link.nc.isClosed()) subscription.unsubscribe();
    });
    const onBreak = (): void => this.#end('broken');
    disconnected.addEventListener('abort', onBreak, { once: true });
    signal.addEventListener('abort', onBreak, { once: true });
    const watchdog = setInterval(() => {
      if (this.#credit > 0 && performance.now() - this.#heardAt > silenceMs) this.#end('broken');
    }, 1_000);
    watchdog.unref();
    this.#cleanup.push(() => {
      disconnected.removeEventListener('abort', onBreak);
      signal.removeEventListener('abort', onBreak);
      clearInterval(watchdog);
    });
  }

  /** Waits until there is something; asks the server for more as what it sent is taken. */
  async take(): Promise<{ readonly messages: readonly StreamMessage[]; readonly ended: Ended | undefined }> {
    this.#options.signal.throwIfAborted();
    if (this.#messages.length === 0 && this.#ended === undefined) {
      this.#pull();
      await this.#wake.promise;
      this.#options.signal.throwIfAborted();
    } else this.#pull();
    const messages = this.#messages;
    this.#messages = [];
    this.#wake = deferred();
    return { messages, ended: this.#ended };
  }

  close(): void {
    for (const undo of this.#cleanup.reverse()) undo();
  }

  /** Grants the server as much as the window has room for, in requests of at least half a window. */
  #pull(): void {
    const room = this.#options.window - this.#credit - this.#messages.length;
    if (this.#ended !== undefined || room < this.#options.window / 2) return;
    this.#credit += room;
    this.#heardAt = performance.now();
    const bounded = this.#options.until !== undefined;
    const { nc } = this.#options.link;
    nc.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${this.#options.stream}.${this.#consumer}`,
      JSON.stringify({
        batch: room,
        // A bounded read waits only where what it was to end with has been purged meanwhile.
        expires: nanos(bounded ? 5_000 : 30_000),
        idle_heartbeat: nanos(heartbeatMs),
      }),
      { reply: this.#inbox },
    );
  }

  #onMessage(message: Msg): void {
    this.#heardAt = performance.now();
    const { reply } = message;
    if (reply?.startsWith('$JS.ACK.') !== true) {
      this.#onStatus(message);
      return;
    }
    this.#numbersAt ||= numbersAt(reply);
    const place = placeAt(reply, this.#numbersAt);
    if (this.#ended !== undefined) return;
    if (place.delivered !== this.#delivered + 1) {
      this.#end('broken');
      return;
    }
    this.#delivered++;
    this.#credit--;
    const { until } = this.#options;
    if (until === undefined || place.sequence <= until)
      this.#messages.push({
        sequence: place.sequence,
        subject: message.subject,
        headers: message.headers,
        data: message.data,
      });
    if (until !== undefined && (place.sequence >= until || place.pending === 0)) this.#end('complete');
    else this.#wake.resolve(undefined);
  }

  #onStatus(message: Msg): void {
    switch (message.headers?.code) {
      case 100: // heartbeat
        return;
      case 408: {
        // The request expired: what it had left is granted anew.
        const left = Number(message.headers.get('Nats-Pending-Messages'));
        this.#credit = Number.isSafeInteger(left) && left > 0 ? Math.max(0, this.#credit - left) : 0;
        if (this.#options.until !== undefined && this.#credit === 0) this.#end('complete');
        else this.#pull();
        return;
      }
      default:
        this.#end('broken');
    }
  }

  #end(how: Ended): void {
    this.#ended ??= how;
    this.#wake.resolve(undefined);
  }
}

interface Place {
  readonly sequence: number;
  readonly delivered: number;
  readonly pending: number;
}

/** Where the numbers begin in `$JS.ACK.[domain.account.]stream.consumer.tries.sequence.delivered.time.pending[.token]` */
function numbersAt(reply: string): number {
  const parts = reply.split('.');
  return parts.slice(0, parts.length >= 11 ? 6 : 4).join('.').length + 1;
}

/** Digit by digit: splitting and converting took a tenth of a replay's time. */
function placeAt(reply: string, start: number): Place {
  const numbers = [0, 0, 0, 0, 0];
  let field = 0;
  for (let index = start; index < reply.length && field < numbers.length; index++) {
    const digit = reply.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) field++;
    else numbers[field] = (numbers[field] ?? 0) * 10 + digit;
  }
  const [, sequence = 0, delivered = 0, , pending = 0] = numbers;
  return { sequence, delivered, pending };
}
