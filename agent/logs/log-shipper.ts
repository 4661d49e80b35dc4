/**
 * Sends one step's log to the coordinator: every byte, in order, until all are acknowledged.
 *
 * The spool file is the only buffer. Position and acknowledgement are two offsets into it; after a break of the link
 * the position goes back to the acknowledgement and the same bytes are read again, so nothing is kept in memory but
 * what the session has under way. The receiver trims overlaps.
 *
 *     silent ──bytes──► send at once ──► wait 100 ms or for 64 KiB ──► send … ──nothing new──► silent
 *                         ▲    │ window of 4 MB full, or the session's buffer: wait for acknowledgement or drain
 *                         └────┘
 */
import { createHash } from 'node:crypto';
import { abortError, sleep } from '../../shared/async/sleep.js';
import { deferred, type Deferred } from '../../shared/async/deferred.js';
import type { Sha256 } from '../../shared/model/ids.js';
import type { LogSource } from './log-source.js';

/** Larger chunks gain little and delay what queues behind them on the stream. */
export const chunkBytes = 64 * 1024;
/** 64 chunks on their way: enough for the throughput of one connection, and a bound for the session's memory. */
export const windowBytes = 64 * chunkBytes;
/** Read at once: each read is a turn through the thread pool, which costs more than the copy. */
const readBytes = 8 * chunkBytes;
/** How long output collects after a chunk was sent: a person does not see the difference. */
const collectMs = 100;
/** While collecting: how often to look whether a whole chunk is there. */
const pollMs = 10;

const waitedEnough = new Error('something else came first');

export interface LogSink {
  /** False: not taken, ask again after `drained`. */
  send(chunk: { readonly offset: number; readonly bytes: Uint8Array; readonly at: number }): boolean;
  drained(signal: AbortSignal): Promise<void>;
}

export interface ShipperOptions {
  readonly source: LogSource;
  readonly sink: LogSink;
  /** Bytes that were acknowledged before this process began. */
  readonly from: number;
  /** Called with each greater acknowledged offset. */
  readonly onAcknowledged: (offset: number) => void;
  /** Called once for each range of new bytes: the time at which `offset` was first sent. */
  readonly onFirstSent: (offset: number, at: number) => void;
  /** Wall time, ms. */
  readonly now: () => number;
}

export interface ShippedLog {
  readonly bytes: number;
  readonly sha256: Sha256;
}

/**
 * Buffers of a flood, used again: their bytes are nothing to V8's heap, which would collect it whole for every 32 MB of
 * new ones. The session may hold on to a chunk until its bytes are acknowledged.
 */
class ReadBuffers {
  readonly #free: Buffer[] = [];
  #lent: { readonly buffer: Buffer; readonly end: number }[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(readBytes);
  }

  /** The buffer holds bytes up to `end`. */
  lent(buffer: Buffer, end: number): void {
    this.#lent.push({ buffer, end });
  }

  acknowledged(offset: number): void {
    for (let first = this.#lent[0]; first !== undefined && first.end <= offset; first = this.#lent[0]) {
      this.#free.push(first.buffer);
      this.#lent.shift();
    }
  }

  /** A link that broke keeps what it had: nothing says when it lets go. */
  forget(): void {
    this.#lent = [];
  }
}

export class LogShipper {
  readonly #options: ShipperOptions;
  readonly #stop = new AbortController();
  readonly #hash = createHash('sha256');
  readonly #shipped: Deferred<ShippedLog> = deferred();
  /** Bytes that went through the hash. */
  #hashed = 0;
  #acknowledged: number;
  #position: number;
  /** Bytes that `onFirstSent` was told of. */
  #announced: number;
  /** The log's exact length, once its step has ended. */
  #end: number | undefined;
  readonly #buffers = new ReadBuffers();
  /** What was read last; a file of a log never changes where it was read. */
  #read: { readonly offset: number; readonly bytes: Buffer } = { offset: 0, bytes: Buffer.alloc(0) };
  /** Counts links: what was read for a former one is not sent on the next. */
  #link = 0;
  #lastSentAt = -Infinity;
  #wake: Deferred<void> = deferred();

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#acknowledged = options.from;
    this.#position = options.from;
    this.#announced = options.from;
    // Whoever never asks for completion (a hand-over) must not crash on the rejection.
    this.#shipped.promise.catch(() => undefined);
    this.#run().then(this.#shipped.resolve, this.#shipped.reject);
  }

  /** Resolves when every byte up to `bytes` is acknowledged; rejects when reading fails or `close` comes first. */
  complete(bytes: number): Promise<ShippedLog> {
    this.#end = bytes;
    this.#rouse();
    return this.#shipped.promise;
  }

  /** Every byte before `offset` is durable. Older or repeated offsets do nothing. */
  acknowledged(offset: number): void {
    if (offset <= this.#acknowledged) return;
    this.#acknowledged = offset;
    this.#position = Math.max(this.#position, offset);
    this.#buffers.acknowledged(offset);
    this.#options.onAcknowledged(offset);
    this.#rouse();
  }

  /** The link is new: what was sent and not acknowledged may be lost, and goes again. */
  linkUp(): void {
    this.#link += 1;
    this.#buffers.forget();
    this.#position = this.#acknowledged;
    this.#rouse();
  }

  get acknowledgedBytes(): number {
    return this.#acknowledged;
  }

  /** Stops sending; what is not acknowledged stays in the spool. */
  close(): void {
    this.#stop.abort(new Error('the log shipper was closed'));
    this.#rouse();
  }

  async #run(): Promise<ShippedLog> {
    const { signal } = this.#stop;
    for (;;) {
      if (signal.aborted) throw abortError(signal);
      const end = this.#end;
      if (end !== undefined && this.#acknowledged >= end) {
        await this.#hashUpTo(end);
        return { bytes: end, sha256: this.#digest() };
      }
      const wake = this.#wake.promise;
      if (this.#position - this.#acknowledged >= windowBytes) {
        await wake;
        continue;
      }
      const available = Math.min(await this.#options.source.available(this.#position), end ?? Infinity);
      if (this.#position >= available) {
        if (this.#position === end) await wake;
        else await this.#waitForMore(wake);
        continue;
      }
      if (available - this.#position < chunkBytes && end === undefined && (await this.#collects(wake)))
        continue;
      await this.#sendOne(available);
    }
  }

  /** True when it waited: what is there shall be looked at anew. */
  async #collects(wake: Promise<void>): Promise<boolean> {
    const restMs = this.#lastSentAt + collectMs - performance.now();
    if (restMs <= 0) return false;
    await this.#first([wake], (signal) => sleep(Math.min(restMs, pollMs), signal));
    return true;
  }

  async #waitForMore(wake: Promise<void>): Promise<void> {
    await this.#first([wake], (signal) => this.#options.source.changed(signal));
  }

  async #sendOne(available: number): Promise<void> {
    const { sink, now } = this.#options;
    const link = this.#link;
    const offset = this.#position;
    const bytes = this.#ahead(offset) ?? (await this.#readAhead(offset, available));
    if (bytes.length === 0) return;
    if (this.#hashed < offset) await this.#hashUpTo(offset);
    if (this.#hashed < offset + bytes.length) {
      this.#hash.update(bytes.subarray(this.#hashed - offset));
      this.#hashed = offset + bytes.length;
    }
    // A new link or an acknowledgement moved the position while the file was read: these bytes are not next any more.
    if (link !== this.#link || offset !== this.#position) return;
    const at = now();
    if (!sink.send({ offset, bytes, at })) {
      await this.#first([this.#wake.promise], (signal) => sink.drained(signal));
      return;
    }
    this.#position = offset + bytes.length;
    this.#lastSentAt = performance.now();
    if (this.#position > this.#announced) {
      this.#options.onFirstSent(this.#announced, at);
      this.#announced = this.#position;
    }
  }

  /** The chunk at `offset`, if it was read together with one before it. */
  #ahead(offset: number): Buffer | undefined {
    const start = offset - this.#read.offset;
    return start >= 0 && start < this.#read.bytes.length
      ? this.#read.bytes.subarray(start, start + chunkBytes)
      : undefined;
  }

  async #readAhead(offset: number, available: number): Promise<Buffer> {
    const want = Math.min(readBytes, available - offset);
    const buffer = want < readBytes ? Buffer.allocUnsafeSlow(want) : this.#buffers.take();
    const got = await this.#options.source.read(offset, buffer);
    if (want === readBytes) this.#buffers.lent(buffer, offset + got);
    this.#read = { offset, bytes: buffer.subarray(0, got) };
    return buffer.subarray(0, Math.min(got, chunkBytes));
  }

  /** Hashes what an earlier process sent, or what was acknowledged beyond the position. */
  async #hashUpTo(offset: number): Promise<void> {
    if (this.#hashed >= offset) return;
    const buffer = Buffer.allocUnsafeSlow(chunkBytes);
    while (this.#hashed < offset) {
      if (this.#stop.signal.aborted) throw abortError(this.#stop.signal);
      const got = await this.#options.source.read(
        this.#hashed,
        buffer.subarray(0, Math.min(chunkBytes, offset - this.#hashed)),
      );
      if (got === 0) throw new Error(`the spool ends at byte ${this.#hashed}, ${offset} were acknowledged`);
      this.#hash.update(buffer.subarray(0, got));
      this.#hashed += got;
    }
  }

  #digest(): Sha256 {
    // 64 lower-case hexadecimal characters by definition of the encoding.
    return this.#hash.digest('hex') as Sha256;
  }

  /** Waits for the first of the promises and the cancelable wait, and leaves no timer or watcher behind. */
  async #first(
    promises: readonly Promise<void>[],
    wait: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const over = new AbortController();
    const waiting = wait(over.signal);
    // It rejects when it is given up below.
    waiting.catch(() => undefined);
    try {
      await Promise.race([...promises, waiting]);
    } finally {
      // With a reason at hand: the default one is an exception with a stack, made anew thousands of times in a flood.
      over.abort(waitedEnough);
    }
  }

  #rouse(): void {
    this.#wake.resolve();
    this.#wake = deferred();
  }
}
