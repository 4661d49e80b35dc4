/**
 * A step's log file while it grows. Tells the step's own bytes from the end marker behind them (see supervisor.ts):
 * bytes that may be the beginning of a marker are held back until it is known what they are.
 *
 *   0 ───────────── safe ──── size
 *   the step's own   │  held: a possible beginning of the marker, or not yet looked at
 *
 * The descriptor was opened before the step began, so a file swapped afterwards changes nothing.
 */
import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { sleep } from '../../shared/async/sleep.js';
import type { StepLog } from './executor.js';

/** One read of the page cache; larger gained nothing in measurements, smaller costs a thread switch each. */
const scanBytes = 256 * 1024;
const changedMs = 50;

export interface LogEnd {
  /** Length of the step's own output. */
  readonly bytes: number;
  readonly exitCode: number;
}

export type MarkerSearch =
  /** No marker begins before `safe`. */
  | { readonly kind: 'none'; readonly safe: number }
  | { readonly kind: 'found'; readonly at: number; readonly exitCode: number };

/**
 * Looks for `<marker> <code>\n`. A marker that is followed by anything else was printed by the step (which then read
 * it out of its supervisor): output like any other.
 */
export function findMarker(chunk: Buffer, marker: Buffer): MarkerSearch {
  let from = 0;
  for (;;) {
    const at = chunk.indexOf(marker, from);
    if (at < 0) return { kind: 'none', safe: chunk.length - heldBytes(chunk.subarray(from), marker) };
    const tail = chunk.subarray(at + marker.length, at + marker.length + 5).toString('latin1');
    const code = /^ (\d{1,3})\n/.exec(tail)?.[1];
    if (code !== undefined && Number(code) <= 255) return { kind: 'found', at, exitCode: Number(code) };
    if (/^(?: \d{0,3})?$/.test(tail)) return { kind: 'none', safe: at };
    from = at + 1;
  }
}

/** Length of the longest end of `chunk` that is a beginning of `marker`. */
function heldBytes(chunk: Buffer, marker: Buffer): number {
  for (let length = Math.min(marker.length - 1, chunk.length); length > 0; length -= 1) {
    if (chunk.subarray(chunk.length - length).equals(marker.subarray(0, length))) return length;
  }
  return 0;
}

export class FollowedLog implements StepLog {
  readonly #handle: FileHandle;
  readonly #marker: Buffer;
  readonly #limitBytes: number;
  #buffer: Buffer | undefined;
  #safe = 0;
  #end: LogEnd | undefined;
  #closed = false;
  #cut = false;
  #scanning: Promise<number> | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(options: {
    readonly handle: FileHandle;
    readonly marker: string;
    readonly limitBytes: number;
  }) {
    this.#handle = options.handle;
    this.#marker = Buffer.from(options.marker, 'latin1');
    this.#limitBytes = options.limitBytes;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** Set once the marker was seen, or by `settle`. */
  get end(): LogEnd | undefined {
    return this.#end;
  }

  get overLimit(): boolean {
    return this.#safe > this.#limitBytes;
  }

  get safeBytes(): number {
    return Math.min(this.#safe, this.#limitBytes);
  }

  /** Looks at everything that was written since; the number of bytes looked at. Calls at once share one scan. */
  scan(): Promise<number> {
    this.#scanning ??= this.#scanOn().finally(() => {
      this.#scanning = undefined;
    });
    return this.#scanning;
  }

  async #scanOn(): Promise<number> {
    let total = 0;
    if (this.#end !== undefined) return 0;
    const buffer = (this.#buffer ??= Buffer.allocUnsafe(scanBytes));
    while (this.#end === undefined && !this.overLimit && !this.#closed) {
      const bytesRead = await this.#readNext(buffer, total === 0);
      const found = findMarker(buffer.subarray(0, bytesRead), this.#marker);
      const before = this.#safe;
      if (found.kind === 'found') {
        this.#safe += found.at;
        this.#end = { bytes: Math.min(this.#safe, this.#limitBytes), exitCode: found.exitCode };
      } else {
        this.#safe += found.safe;
      }
      total += this.#safe - before;
      if (this.#safe > before || this.#end !== undefined) this.#wake();
      if (bytesRead < buffer.length) break;
    }
    // Ended logs stay open until they are shipped and archived; they need no scan any more.
    if (this.#end !== undefined || this.overLimit) this.#buffer = undefined;
    return total;
  }

  /** The first look is mostly the only one, and small: at once. What is more goes through the thread pool, so that others get their turn. */
  async #readNext(buffer: Buffer, atOnce: boolean): Promise<number> {
    if (atOnce) return readSync(this.#handle.fd, buffer, 0, buffer.length, this.#safe);
    return (await this.#handle.read(buffer, 0, buffer.length, this.#safe)).bytesRead;
  }

  /** Whether the step cut its own log: bytes that were there are gone. */
  get cut(): boolean {
    return this.#cut;
  }

  /** No marker will come: all that is in the file is taken as the step's. Returns its length. */
  async settle(exitCode: number): Promise<LogEnd> {
    await this.scan();
    if (this.#end === undefined) {
      const size = this.#closed ? this.#safe : (await this.#handle.stat()).size;
      if (size < this.#safe) {
        // Readers went by what was there: its length stays, and what is gone becomes NUL bytes.
        this.#cut = true;
        await this.#handle.truncate(this.#safe);
      }
      this.#safe = Math.max(this.#safe, size);
      this.#end = { bytes: this.safeBytes, exitCode };
      this.#wake();
    }
    return this.#end;
  }

  async available(): Promise<number> {
    await this.scan();
    return this.safeBytes;
  }

  async read(offset: number, buffer: Uint8Array): Promise<number> {
    if (offset >= this.safeBytes) await this.scan();
    const length = Math.min(buffer.length, this.safeBytes - offset);
    if (length <= 0 || this.#closed) return 0;
    const { bytesRead } = await this.#handle.read(buffer, 0, length, offset);
    if (bytesRead > 0) return bytesRead;
    // Cut by the step after it was seen; a reader that waits for these bytes would wait for ever.
    buffer.fill(0, 0, length);
    return length;
  }

  async changed(signal: AbortSignal): Promise<void> {
    if (this.#end !== undefined || this.overLimit) {
      // Nothing will change any more; without this pause a caller's loop would spin until it looked at `finished`.
      await sleep(changedMs, signal).catch(() => undefined);
      return;
    }
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    this.#waiting.add(wake);
    // Both the wake-up and the caller's abort end the sleep early; neither is an error here.
    await sleep(changedMs, AbortSignal.any([woken.signal, signal])).catch(() => undefined);
    this.#waiting.delete(wake);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#scanning;
    await this.#handle.close();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
