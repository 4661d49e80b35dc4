import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from './errors.js';

/** Syncs that have not begun, by path: whoever comes before one begins is covered by it. */
const upcoming = new Map<string, Promise<void>>();
const running = new Map<string, Promise<void>>();

/**
 * A rename survives a power failure only once the directory is synced as well. Calls for one directory share syncs: of many puts at once
 * into it, each waits for at most two.
 */
export function syncDirectory(path: string): Promise<void> {
  const shared = upcoming.get(path);
  if (shared !== undefined) return shared;
  const before = running.get(path) ?? Promise.resolve();
  const mine = before
    .catch(() => undefined) // told to those who waited for it
    .then(() => {
      upcoming.delete(path);
      running.set(path, mine);
      return syncNow(path);
    })
    .finally(() => {
      if (running.get(path) === mine) running.delete(path);
    });
  upcoming.set(path, mine);
  return mine;
}

async function syncNow(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes a directory and those above it, and syncs what changed. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; ; made = dirname(made)) {
    await syncDirectory(dirname(made));
    if (made === first) return;
  }
}

/**
 * Renames `from` to `to`, durably, making the directories of `to`. A delete may remove an empty directory between its making and the
 * rename; then it is made again.
 */
export async function renameInto(from: string, to: string): Promise<void> {
  const directory = dirname(to);
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (attempt > 1) await makeDirectory(directory);
      await rename(from, to);
      break;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === 10) throw error;
    }
  }
  await syncDirectory(directory);
}
