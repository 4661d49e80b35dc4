import { open, rm, rmdir, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { renameInto, syncDirectory } from './durable.js';
import { errorCode, ignoringMissing } from './errors.js';
import { KeyLocks } from './key-locks.js';
import { pathOfKey } from './key-path.js';
import { readRecord } from './object-record.js';
import type { ObjectRecord } from './object-record.js';
import { SortedDirectories } from './sorted-directories.js';

/** An object that is open: its file stays readable though the object is overwritten or deleted. Close `file`. */
export interface OpenObject {
  readonly record: ObjectRecord;
  readonly file: FileHandle;
}

/**
 * The objects of one bucket, each a file in a tree of directories (`key-path.ts`). There is no index beside it: a start reads nothing, and
 * nothing has to be repaired after a crash.
 */
export class ObjectTree {
  readonly directories = new SortedDirectories();
  readonly #locks = new KeyLocks();
  readonly #onReleased: (upload: string) => Promise<void>;

  /** `onReleased` is told of the upload whose parts an object no longer needs, after that is durable. */
  constructor(
    readonly root: string,
    onReleased: (upload: string) => Promise<void>,
  ) {
    this.#onReleased = onReleased;
  }

  async open(key: string): Promise<OpenObject | undefined> {
    const file = await ignoringMissing(open(this.pathOf(key), 'r'));
    if (file === undefined) return undefined;
    try {
      return { record: await readRecord(file), file };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async head(key: string): Promise<ObjectRecord | undefined> {
    const found = await this.open(key);
    await found?.file.close();
    return found?.record;
  }

  /**
   * Puts a finished file in its place. `check` sees what is there and may throw; no other commit or delete of this key comes between.
   * The file is gone from `path` afterwards, whatever happened.
   */
  async commit(
    key: string,
    path: string,
    check: (current: ObjectRecord | undefined) => void = () => undefined,
  ): Promise<void> {
    await this.#locks.run(key, async () => {
      const target = this.pathOf(key);
      let current: ObjectRecord | undefined;
      try {
        current = await this.head(key);
        check(current);
        await renameInto(path, target);
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
      if (current === undefined) this.#namesChanged(dirname(target));
      if (current?.upload !== undefined) await this.#onReleased(current.upload);
    });
  }

  /** Of an absent key: nothing happens. `check` as with `commit`. */
  async delete(
    key: string,
    check: (current: ObjectRecord | undefined) => void = () => undefined,
  ): Promise<void> {
    await this.#locks.run(key, async () => {
      const current = await this.head(key);
      check(current);
      if (current === undefined) return;
      const target = this.pathOf(key);
      await unlink(target);
      this.directories.changed(dirname(target));
      await this.#removeEmptyDirectories(dirname(target));
      if (current.upload !== undefined) await this.#onReleased(current.upload);
    });
  }

  pathOf(key: string): string {
    return join(this.root, ...pathOfKey(key));
  }

  /** A directory may be new, and so may be those above it. */
  #namesChanged(path: string): void {
    for (let directory = path; directory.length >= this.root.length; directory = dirname(directory)) {
      this.directories.changed(directory);
    }
  }

  async #removeEmptyDirectories(path: string): Promise<void> {
    let directory = path;
    while (directory.length > this.root.length) {
      try {
        await rmdir(directory);
      } catch (error) {
        if (errorCode(error) === 'ENOTEMPTY') break;
        // Another delete was faster; above it there may still be something to do.
        if (errorCode(error) !== 'ENOENT') throw error;
      }
      this.directories.changed(directory);
      directory = dirname(directory);
      this.directories.changed(directory);
    }
    await ignoringMissing(syncDirectory(directory));
  }
}
