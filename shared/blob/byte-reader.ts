import { BlobError } from './blob-error.js';

/** Exact numbers of bytes out of chunks that are cut anywhere. Throws `verification-failed` where there are fewer. */
export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  /** Bytes taken or skipped so far. */
  position = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async *take(bytes: number): AsyncGenerator<Buffer, void, undefined> {
    const end = this.position + bytes;
    while (this.position < end) {
      if (this.#chunk.length === 0) await this.#fill(end);
      const part = this.#chunk.subarray(0, end - this.position);
      this.#chunk = this.#chunk.subarray(part.length);
      this.position += part.length;
      yield part;
    }
  }

  /** To `position`, which lies ahead. */
  async skipTo(position: number): Promise<void> {
    const skipped = this.take(position - this.position);
    while ((await skipped.next()).done !== true);
  }

  /** To the end of the source. */
  async drain(): Promise<void> {
    this.#chunk = Buffer.alloc(0);
    while ((await this.#source.next()).done !== true);
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(wanted: number): Promise<void> {
    const next = await this.#source.next();
    if (next.done === true) {
      throw new BlobError({
        kind: 'verification-failed',
        what: 'an archive',
        expected: `at least ${wanted} bytes`,
        actual: `${this.position}`,
      });
    }
    this.#chunk = next.value;
  }
}
