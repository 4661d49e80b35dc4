import type { FileEntry } from '../model/artifact.js';

/** Room for a group that was nearly full, and one more small file. */
const initialBytes = 640 * 1024;

/** An entry whose member is not yet written. */
export interface Placed {
  /** Its place in the input. */
  readonly index: number;
  readonly entry: FileEntry;
  readonly dataOffset: number;
}

/** What is to become one gzip member. */
export interface Filled {
  readonly content: Buffer;
  readonly entries: readonly Placed[];
  /** Call once `content` is compressed: its memory is used again. */
  giveBack(): void;
}

/** Entries that are collected until they are worth a member. Its buffers go around: packing makes no garbage. */
export class Group {
  #buffer: Buffer = Buffer.alloc(0);
  #entries: Placed[] = [];
  readonly #free: Buffer[] = [];
  bytes = 0;

  constructor(readonly kind: 'shrinks' | 'stored') {}

  append(chunk: Buffer): void {
    const needed = this.bytes + chunk.length;
    if (needed > this.#buffer.length) this.#grow(needed);
    chunk.copy(this.#buffer, this.bytes);
    this.bytes = needed;
  }

  place(entry: Placed): void {
    this.#entries.push(entry);
  }

  /** Everything so far; the group is empty afterwards. */
  takeAll(): Filled {
    const buffer = this.#buffer;
    const filled = {
      content: buffer.subarray(0, this.bytes),
      entries: this.#entries,
      giveBack: () => void this.#free.push(buffer),
    };
    this.#buffer = this.#free.pop() ?? Buffer.alloc(0);
    this.#entries = [];
    this.bytes = 0;
    return filled;
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(initialBytes, needed + needed / 2));
    this.#buffer.copy(larger, 0, 0, this.bytes);
    this.#buffer = larger;
  }
}
