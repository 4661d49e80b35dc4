/**
 * What is durable of one attempt: a file of JSON lines, appended only, in `DATA/attempts/<run>-<stage>-<attempt>/`,
 * outside of all that a step can write to. A process that was killed leaves its lines to the next one.
 *
 * `append` hands a line to the kernel, which survives the death of this process; `sync` waits for the disk, which
 * survives a power failure. A report's number is synced before it is sent. The assignment is not (three syncs were 2 to
 * 14 ms of each stage's start): after a power failure its box is gone too, and an attempt that the agent no longer names in
 * its heartbeats is given up and runs again, which is what it would come to anyway. Lines appended at once are written
 * together, and so are syncs.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { open, mkdir, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttemptRef } from '../../shared/model/ids.js';
import { applyLine, foldRecord, type AttemptState, type RecordLine } from './attempt-state.js';

const recordName = 'record.jsonl';
/** A record that is being deleted: never loaded again. */
const goneSuffix = '.gone';

/** Directory and slot names: numbers and ids only. */
export const attemptName = (ref: AttemptRef): string => `${ref.run}-${ref.stage}-${ref.attempt}`;

export class AttemptRecord {
  /** Of the record and the log indexes. */
  readonly directory: string;
  readonly #file: Promise<FileHandle>;
  #state: AttemptState;
  /** Length of whole lines in the file. */
  #bytes: number;
  #waiting: RecordLine[] = [];
  #writing: Promise<void> | undefined;
  #syncing: Promise<void> | undefined;

  private constructor(directory: string, file: Promise<FileHandle>, state: AttemptState, bytes: number) {
    this.directory = directory;
    this.#file = file;
    file.catch(() => undefined); // Seen by whoever needs the file.
    this.#state = state;
    this.#bytes = bytes;
  }

  /** The record with its first line, in the kernel's hands. Throws what the disk throws; then nothing was accepted. */
  static async create(
    parent: string,
    first: Extract<RecordLine, { kind: 'accepted' }>,
  ): Promise<AttemptRecord> {
    const directory = join(parent, attemptName(first.assignment));
    const path = join(directory, recordName);
    try {
      const state = foldRecord([first]);
      if (state === undefined) throw new Error('a record begins with its assignment');
      const text = Buffer.from(`${JSON.stringify(first)}\n`);
      // At once, as a slot's directories: a container waits for it, and each turn of the thread pool is 0.3 ms.
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      writeFileSync(path, text, { mode: 0o600 });
      return new AttemptRecord(directory, open(path, 'r+'), state, text.length);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Undefined when there is no whole first line: the assignment was never accepted. Cuts a torn last line. */
  static async load(directory: string): Promise<AttemptRecord | undefined> {
    let content: Buffer;
    try {
      content = await readFile(join(directory, recordName));
    } catch {
      // Killed between making the directory and the file.
      return undefined;
    }
    const { lines, bytes } = parseLines(content);
    const state = foldRecord(lines);
    if (state === undefined) return undefined;
    const file = await open(join(directory, recordName), 'r+');
    await file.truncate(bytes);
    return new AttemptRecord(directory, Promise.resolve(file), state, bytes);
  }

  get state(): AttemptState {
    return this.#state;
  }

  indexPath(step: number): string {
    return join(this.directory, `${step}.idx`);
  }

  /** The state includes the line at once; the promise resolves when the kernel has it. */
  append(line: RecordLine): Promise<void> {
    this.#state = applyLine(this.#state, line);
    this.#waiting.push(line);
    this.#writing ??= this.#write();
    return this.#writing;
  }

  /** Resolves when every line appended before is on disk. */
  async sync(): Promise<void> {
    await this.#writing;
    // A sync under way may have begun before the last line was written; the one after it has not.
    if (this.#syncing !== undefined) await this.#syncing;
    this.#syncing ??= this.#file
      .then((file) => file.datasync())
      .finally(() => {
        this.#syncing = undefined;
      });
    await this.#syncing;
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#file.then(
      (file) => file.close(),
      () => undefined,
    );
  }

  /** The attempt is over for this agent: nothing of it is loaded again. */
  async delete(): Promise<void> {
    await this.close();
    await removeRecord(this.directory);
  }

  async #write(): Promise<void> {
    // One turn of the loop, so that what is appended together is written together.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) {
        const lines = this.#waiting;
        this.#waiting = [];
        const text = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
        try {
          await writeAll(await this.#file, text, this.#bytes);
        } catch (error) {
          // A line must not be missing among later ones: these come first when the next one is appended. What was
          // written of them is overwritten then, and cut by a load.
          this.#waiting = [...lines, ...this.#waiting];
          await this.#file.then((file) => file.truncate(this.#bytes)).catch(() => undefined);
          throw error;
        }
        this.#bytes += text.length;
      }
    } finally {
      this.#writing = undefined;
    }
  }
}

async function writeAll(file: FileHandle, text: Buffer, at: number): Promise<void> {
  for (let done = 0; done < text.length;) {
    const { bytesWritten } = await file.write(text, done, text.length - done, at + done);
    done += bytesWritten;
  }
}

/** All records below `parent`, oldest first; what was being made or deleted is cleared away. */
export async function loadRecords(parent: string): Promise<readonly AttemptRecord[]> {
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const records: AttemptRecord[] = [];
  for (const name of await readdir(parent)) {
    const directory = join(parent, name);
    const record = name.endsWith(goneSuffix) ? undefined : await AttemptRecord.load(directory);
    if (record === undefined) await rm(directory, { recursive: true, force: true });
    else records.push(record);
  }
  return records.sort((a, b) => a.state.acceptedAt - b.state.acceptedAt);
}

async function removeRecord(directory: string): Promise<void> {
  const gone = `${directory}${goneSuffix}`;
  await rename(directory, gone);
  await rm(gone, { recursive: true, force: true });
}

/** Whole, readable lines from the start; what comes after the first one that is not is a torn tail. */
function parseLines(content: Buffer): { readonly lines: readonly RecordLine[]; readonly bytes: number } {
  const lines: RecordLine[] = [];
  let bytes = 0;
  for (;;) {
    const end = content.indexOf(0x0a, bytes);
    if (end < 0) return { lines, bytes };
    try {
      // The agent's own file, 0700: each whole line is one that `append` wrote.
      lines.push(JSON.parse(content.toString('utf8', bytes, end)) as RecordLine);
    } catch {
      return { lines, bytes };
    }
    bytes = end + 1;
  }
}
