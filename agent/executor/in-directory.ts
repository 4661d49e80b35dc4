/**
 * Where the scripts of boxes lie on the host. They carry the environment of steps, secrets included, so they are kept
 * in memory (a tmpfs) where the machine has one, and never on a disk that outlives the box.
 */
import { lstat, mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentId, AttemptRef } from '../../shared/model/ids.js';

const tmpfsMagic = 0x01021994;
const candidates = ['/dev/shm', '/run'];

export const attemptDirectory = (ref: AttemptRef): string => `${ref.run}-${ref.stage}-${ref.attempt}`;

/** The agent's directory on a tmpfs, made 0700; undefined where there is none that it may write to. */
export async function findMemoryDirectory(agent: AgentId): Promise<string | undefined> {
  for (const candidate of candidates) {
    try {
      if ((await statfs(candidate)).type !== tmpfsMagic) continue;
      const directory = join(candidate, `gantry-${agent}`);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      // Anybody may make a directory there, also under this name.
      const { uid, mode } = await lstat(directory);
      if (uid === process.getuid?.() && (mode & 0o077) === 0) return directory;
    } catch {
      // Missing or not ours to write: the next one, or the slot's own directory.
    }
  }
  return undefined;
}

/** Whether what lies there is on no disk (but where the machine swaps). */
export async function isInMemory(directory: string): Promise<boolean> {
  return (await statfs(directory)).type === tmpfsMagic;
}

/** Removes what no attempt in `keep` (by `attemptDirectory`) uses, and the directory itself once it is empty. */
export async function sweepMemoryDirectory(directory: string, keep: ReadonlySet<string>): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (!keep.has(name)) await rm(join(directory, name), { recursive: true, force: true });
  }
}
