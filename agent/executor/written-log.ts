/** The log of a step that the agent writes itself. Memory holds what is being written and no more. */
import type { FileHandle } from 'node:fs/promises';
import type { StepLog } from './executor.js';

const changedMs = 50;

export class WrittenLog implements StepLog {
  readonly #handle: FileHandle;
  #bytes: number;
  #closed = false;
  #writing: Promise<unknown> = Promise.resolve();
  readonly #waiting = new Set<() => void>();

  readonly #limitBytes: number;

  /** `bytes`: what is in it already, of an earlier process. More than the limit is written, and not shown. */
  constructor(
    handle: FileHandle,
    { bytes, limitBytes }: { readonly bytes: number; readonly limitBytes: number },
  ) {
    this.#handle = handle;
    this.#bytes = bytes;
    this.#limitBytes = limitBytes;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  get bytes(): number {
    return Math.min(this.#bytes, this.#limitBytes);
  }

  get overLimit(): boolean {
    return this.#bytes > this.#limitBytes;
  }

  /** Resolves when it is written; calls at once are written in their order. */
  write(text: string): Promise<void> {
    const written = this.#writing.then(() => this.#append(Buffer.from(text)));
    // Whoever wrote it hears of it; the next one tries again.
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async #append(content: Buffer): Promise<void> {
    for (let done = 0; done < content.length;) {
      const { bytesWritten } = await this.#handle.write(content, done, content.length - done, this.#bytes);
      done += bytesWritten;
      this.#bytes += bytesWritten;
    }
    for (const wake of this.#waiting) wake();
  }

  available(): Promise<number> {
    return Promise.resolve(this.bytes);
  }

  async read(offset: number, buffer: Uint8Array): Promise<number> {
    const length = Math.min(buffer.length, this.bytes - offset);
    if (length <= 0 || this.#closed) return 0;
    const { bytesRead } = await this.#handle.read(buffer, 0, length, offset);
    if (bytesRead > 0) return bytesRead;
    // What an earlier step left running has cut it; a reader that waits for these bytes would wait for ever.
    buffer.fill(0, 0, length);
    return length;
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, changedMs);
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writing;
    await this.#handle.close();
  }
}
