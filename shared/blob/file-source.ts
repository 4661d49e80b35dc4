import { close, fstat, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { BlobError } from './blob-error.js';
import type { FileSource } from './transfer.js';

/** Big enough that a read costs little beside its bytes. */
const blockBytes = 256 * 1024;

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const readFile = promisify(read);

/** A `FileSource` whose length is known. Call `close` in the end. */
export class OpenSource {
  readonly bytes: number;
  /** For messages: the path, if there is one. */
  readonly name: string;
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #start: number;
  /** What the file was at the beginning, if all of it is wanted; part of a file that grows may well be read. */
  readonly #before: { readonly size: number; readonly mtimeMs: number } | undefined;

  private constructor(
    file: { readonly fd: number; readonly owned: boolean; readonly name: string },
    span: {
      readonly start: number;
      readonly bytes: number;
      readonly before: { readonly size: number; readonly mtimeMs: number } | undefined;
    },
  ) {
    this.name = file.name;
    this.#fd = file.fd;
    this.#owned = file.owned;
    this.#start = span.start;
    this.bytes = span.bytes;
    this.#before = span.before;
  }

  static async open(source: FileSource): Promise<OpenSource> {
    const owned = typeof source.file === 'string';
    const name = typeof source.file === 'string' ? source.file : 'the file';
    const fd = typeof source.file === 'string' ? await openFile(source.file, 'r') : source.file;
    try {
      const start = source.start ?? 0;
      const before = await statFile(fd);
      const bytes = source.bytes ?? Math.max(0, before.size - start);
      return new OpenSource(
        { fd, owned, name },
        { start, bytes, before: source.bytes === undefined ? before : undefined },
      );
    } catch (error) {
      if (owned) await closeFile(fd);
      throw error;
    }
  }

  /**
   * Bytes `from` to `from + bytes - 1` of the source. A block is overwritten when the second one after it is asked for, so its consumer must
   * be done with it by then.
   */
  async *blocks(from: number, bytes: number): AsyncGenerator<Buffer, void, undefined> {
    const size = Math.max(1, Math.min(blockBytes, bytes));
    const buffers = [Buffer.allocUnsafeSlow(size)];
    for (let done = 0, turn = 0; done < bytes; turn += 1) {
      const buffer = (buffers[turn % 3] ??= Buffer.allocUnsafeSlow(size));
      const want = Math.min(size, bytes - done);
      const { bytesRead } = await readFile(this.#fd, buffer, 0, want, this.#start + from + done);
      if (bytesRead === 0) {
        throw this.#changed(`it ends after ${from + done} of ${this.bytes} bytes`);
      }
      done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Throws `source-changed` if the file is not what it was when it was opened. */
  async checkUnchanged(): Promise<void> {
    if (this.#before === undefined) return;
    const now = await statFile(this.#fd);
    if (now.size !== this.#before.size || now.mtimeMs !== this.#before.mtimeMs) {
      throw this.#changed('something wrote to it');
    }
  }

  async close(): Promise<void> {
    if (this.#owned) await closeFile(this.#fd);
  }

  #changed(reason: string): BlobError {
    return new BlobError({ kind: 'source-changed', what: this.name, reason });
  }
}
