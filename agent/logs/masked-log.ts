/**
 * A step's log as it may leave the agent. Reads of the spool go through a mask stream; a read that does not go on where the
 * one before ended (the link broke, or another process had read the first part) begins a new stream so far before its
 * offset that it gives the same bytes.
 *
 *   spool   ────────────────────────────────▌ available
 *   masked  ──────▌ from ═══ certain ═══▌     held back until more is known, or the step has ended
 */
import type { LogSource } from './log-source.js';
import type { Masker, MaskStream } from './mask.js';

const pieceBytes = 64 * 1024;
/** Masked ahead of the reader: what the shipper reads at once. */
const aheadBytes = 8 * pieceBytes;

export class MaskedLog implements LogSource {
  readonly #spool: LogSource;
  readonly #masker: Masker;
  #stream: MaskStream;
  /** Offset of the next byte to be read of the spool. */
  #spoolAt = 0;
  /** Masked bytes that wait to be read, the first at `#readyFrom`. */
  #ready: Buffer[] = [];
  #readyFrom = 0;
  #readyTo = 0;
  /** What is ready before it may lack a star: the stream began in the middle. */
  #sureFrom = 0;
  #end: number | undefined;
  #flushed = false;

  constructor(spool: LogSource, masker: Masker) {
    this.#spool = spool;
    this.#masker = masker;
    this.#stream = masker.stream();
  }

  /** The step has ended, and its log has exactly `bytes`: nothing need be held back. */
  ended(bytes: number): void {
    this.#end = bytes;
  }

  async available(from: number): Promise<number> {
    this.#goTo(from);
    while (this.#readyTo - from < aheadBytes && (await this.#pull())) {
      // As far as there is something.
    }
    return this.#readyTo;
  }

  async read(offset: number, buffer: Uint8Array): Promise<number> {
    this.#goTo(offset);
    while (this.#readyTo <= offset && (await this.#pull())) {
      // Until the first byte that counts is there.
    }
    let done = 0;
    for (let first = this.#ready[0]; first !== undefined && done < buffer.length; first = this.#ready[0]) {
      const skipped = Math.max(0, offset + done - this.#readyFrom);
      const piece = first.subarray(skipped, skipped + buffer.length - done);
      buffer.set(piece, done);
      done += piece.length;
      if (skipped + piece.length < first.length) break;
      this.#ready.shift();
      this.#readyFrom += first.length;
    }
    return done;
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#spool.changed(signal);
  }

  /** Begins anew unless the byte at `offset` is here or comes next. */
  #goTo(offset: number): void {
    if (offset >= Math.max(this.#readyFrom, this.#sureFrom) && offset <= this.#readyTo) return;
    this.#stream = this.#masker.stream();
    this.#spoolAt = Math.max(0, offset - this.#masker.lookBehind);
    this.#ready = [];
    this.#readyFrom = this.#spoolAt;
    this.#readyTo = this.#spoolAt;
    this.#sureFrom = offset;
    this.#flushed = false;
  }

  /** False when there is nothing more for now. */
  async #pull(): Promise<boolean> {
    const end = this.#end ?? Infinity;
    const available = Math.min(await this.#spool.available(this.#spoolAt), end);
    const want = Math.min(pieceBytes, available - this.#spoolAt);
    if (want > 0) {
      const piece = Buffer.allocUnsafeSlow(want);
      const got = await this.#spool.read(this.#spoolAt, piece);
      this.#spoolAt += got;
      this.#take(this.#stream.push(piece.subarray(0, got)));
      return got > 0;
    }
    if (this.#spoolAt < end || this.#flushed) return false;
    this.#flushed = true;
    this.#take(this.#stream.flush());
    return true;
  }

  #take(masked: Buffer): void {
    if (masked.length === 0) return;
    this.#ready.push(masked);
    this.#readyTo += masked.length;
  }
}
