import { readdir } from 'node:fs/promises';
import { errorCode } from './errors.js';
import { entryOfName } from './key-path.js';
import type { TreeEntry } from './key-path.js';

/** Names kept in memory, about 150 bytes each. */
const maxCachedEntries = 400_000;

/**
 * Directories of the key tree in the order of their keys. A directory of 100,000 files takes a quarter of a second to read and sort, and a list goes over
 * it in a hundred pages, so it is remembered until a name in it comes or goes. That is sound because this process is the only one
 * that writes the tree. The least recently used are forgotten first.
 */
export class SortedDirectories {
  readonly #cache = new Map<string, Promise<readonly TreeEntry[]>>();
  readonly #sizes = new Map<string, number>();
  #entries = 0;

  async read(path: string): Promise<readonly TreeEntry[]> {
    const cached = this.#cache.get(path);
    if (cached !== undefined) {
      this.#cache.delete(path);
      this.#cache.set(path, cached);
      return cached;
    }
    const reading = readSorted(path);
    this.#cache.set(path, reading);
    try {
      const entries = await reading;
      // A change during the reading has already made this one void.
      if (this.#cache.get(path) === reading) this.#account(path, entries.length + 1);
      return entries;
    } catch (error) {
      if (this.#cache.get(path) === reading) this.#cache.delete(path);
      throw error;
    }
  }

  /** Call after a name in the directory came or went. */
  changed(path: string): void {
    this.#cache.delete(path);
    this.#entries -= this.#sizes.get(path) ?? 0;
    this.#sizes.delete(path);
  }

  #account(path: string, size: number): void {
    this.#sizes.set(path, size);
    this.#entries += size;
    for (const oldest of this.#cache.keys()) {
      if (this.#entries <= maxCachedEntries || oldest === path) break;
      this.changed(oldest);
    }
  }
}

async function readSorted(path: string): Promise<readonly TreeEntry[]> {
  let names: readonly string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const entries: TreeEntry[] = [];
  for (const name of names) {
    const entry = entryOfName(name);
    if (entry !== undefined) entries.push(entry);
  }
  return entries.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
}
