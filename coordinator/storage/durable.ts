import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from './errors.js';

/** A rename survives a power failure only once the directory is synced as well. */
export async function syncDirectory(path: string): Promise<void> {
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
      await rename(from, to);
      break;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === 10) throw error;
      await makeDirectory(directory);
    }
  }
  await syncDirectory(directory);
}
