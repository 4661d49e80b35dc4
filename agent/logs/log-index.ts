/**
 * When which part of a log was written: one line `<offset> <ms>` for each chunk as it was first sent, kept beside the
 * attempt's record and archived as `<step>.idx`. It serves readers who want times; a lost line costs precision only.
 */
import { open, readFile, type FileHandle } from 'node:fs/promises';

/** Lines that wait in memory: a second of a fast log is about ten, a flood is bounded by this. */
const flushLines = 256;

export class LogIndex {
  readonly #path: string;
  #lines: string[] = [];
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** From `offset` on, bytes were written at `at` (ms since 1970). */
  add(offset: number, at: number): void {
    this.#lines.push(`${offset} ${at}\n`);
    if (this.#lines.length >= flushLines) void this.flush();
  }

  /** Never rejects: times are not worth failing an attempt for. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const text = this.#lines.join('');
      this.#lines = [];
      if (text === '') return;
      try {
        this.#file ??= await open(this.#path, 'a', 0o600);
        await this.#file.appendFile(text);
      } catch {
        // A full disk: the log itself says so; its index just has fewer lines.
      }
    });
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#file?.close();
    this.#file = undefined;
  }
}

/** The lines of an index, whole ones only; empty when there is none. */
export async function readLogIndex(path: string): Promise<Buffer> {
  let text: Buffer;
  try {
    text = await readFile(path);
  } catch {
    // A step that wrote nothing has no index.
    return Buffer.alloc(0);
  }
  return text.subarray(0, text.lastIndexOf(0x0a) + 1);
}
