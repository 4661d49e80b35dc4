/**
 * One agent process for one data directory, by `flock(2)`: the kernel releases it whatever ends the process. Node has no
 * call for it, so the program `flock` takes the lock on a descriptor that it inherits; the lock belongs to the open file
 * and stays when the program has ended. (Files that name a process cannot be taken over without a race.)
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

export class DirectoryInUse extends Error {
  override readonly name = 'DirectoryInUse';

  constructor(
    readonly directory: string,
    /** As the holder wrote it down; empty if it is only just starting. */
    readonly pid: string,
  ) {
    super(
      `another agent uses the data directory ${directory}${pid === '' ? '' : ` (process ${pid})`}: stop it, or give this one another directory with --data`,
    );
  }
}

export interface InstanceLock {
  release(): Promise<void>;
}

/** Throws `DirectoryInUse`. The file stays afterwards: removing it would let two lock two different files. */
export async function lockDirectory(directory: string): Promise<InstanceLock> {
  const file = await open(join(directory, 'lock'), 'a+', 0o600);
  try {
    if (!(await lockDescriptor(file.fd))) {
      throw new DirectoryInUse(directory, (await file.readFile('utf8')).trim());
    }
    await file.truncate();
    await file.write(`${process.pid}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { release: () => file.close() };
}

async function lockDescriptor(fd: number): Promise<boolean> {
  const child = spawn('flock', ['--exclusive', '--nonblock', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  let code: unknown;
  try {
    [code] = (await once(child, 'close')) as unknown[]; // An event's arguments.
  } catch (cause) {
    throw new Error('the program flock is missing: install util-linux', { cause });
  }
  if (code === 0) return true;
  if (code === 1) return false;
  throw new Error(`the data directory cannot be locked: flock ended with ${String(code)}`);
}
