/**
 * One agent process for one data directory. The lock is a file that names its holder: process id and start time, since
 * ids are used again. It is made by `link`, which is atomic; a lock whose holder is gone is taken over.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export class DirectoryInUse extends Error {
  override readonly name = 'DirectoryInUse';

  constructor(
    readonly directory: string,
    readonly pid: number,
  ) {
    super(
      `another agent uses the data directory ${directory} (process ${pid}): stop it, or give this one another directory with --data`,
    );
  }
}

interface Holder {
  readonly pid: number;
  /** From `/proc/<pid>/stat`: clock ticks since boot. */
  readonly started: string;
}

export interface InstanceLock {
  release(): Promise<void>;
}

/** Throws `DirectoryInUse`. */
export async function lockDirectory(directory: string): Promise<InstanceLock> {
  const path = join(directory, 'lock');
  const own: Holder = { pid: process.pid, started: (await startTime(process.pid)) ?? '' };
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, JSON.stringify(own), { mode: 0o600 });
  try {
    for (;;) {
      try {
        await link(draft, path);
        return { release: () => rm(path, { force: true }) };
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
      const text = await readFile(path, 'utf8').catch(() => undefined); // Released this moment: try again.
      if (text === undefined) continue;
      const holder = parseHolder(text);
      if (holder !== undefined && (await startTime(holder.pid)) === holder.started) {
        throw new DirectoryInUse(directory, holder.pid);
      }
      await takeAway(path, text);
    }
  } finally {
    await rm(draft, { force: true });
  }
}

/** Moves the stale lock aside; two that find the same one at once must not take away each other's new lock. */
async function takeAway(path: string, staleText: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    // The other one was faster.
    return;
  }
  if ((await readFile(aside, 'utf8')) !== staleText) {
    // It was a new lock already: back with it, unless a third one has locked meanwhile (then that one goes on alone).
    await link(aside, path).catch(() => undefined);
  }
  await rm(aside, { force: true });
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value)) return undefined;
    const { pid, started } = value;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : undefined;
  } catch {
    // A torn file of a crash: nobody holds it.
    return undefined;
  }
}

/** Field 22 of `/proc/<pid>/stat`; undefined when there is no such process. The name in field 2 may hold anything. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
