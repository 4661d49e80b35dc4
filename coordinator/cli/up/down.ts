/** Stopping what `up` started, also when the `up` process itself was killed. */
import { sleep } from '../../../shared/async/sleep.js';
import { readFileSync } from 'node:fs';
import { endProcess } from './daemon.js';
import type { DataDir } from './data-dir.js';
import { readOwner } from './lock.js';
import { isAlive, sendSignal } from './process-identity.js';
import { readUpFile, writeUpFile } from './up-file.js';

export interface Stopped {
  readonly daemons: readonly { readonly name: string; readonly pid: number }[];
}

/** The supervisor stops its daemons one after the other, agents with all their boxes first. */
const supervisorGraceMs = 120_000;

export async function runDown(data: DataDir, progress: (text: string) => void): Promise<Stopped> {
  const file = readUpFile(data.upFile);
  const running = (file?.daemons ?? []).filter(isAlive);
  // The lock knows an `up` that has recorded nothing yet.
  const supervisor = [file?.supervisor ?? undefined, readOwner(data.lockFile)].find(
    (one) => one !== undefined && isAlive(one),
  );
  if (supervisor !== undefined && sendSignal(supervisor, 'SIGTERM')) {
    progress(`stopping \`gantry up\` (pid ${supervisor.pid}) and its ${running.length} daemons`);
    const deadline = Date.now() + supervisorGraceMs;
    while (isAlive(supervisor) && Date.now() < deadline) await sleep(50);
    if (isAlive(supervisor)) sendSignal(supervisor, 'SIGKILL');
  }
  // What is left: all of it when `up` was killed, nothing otherwise.
  const left = running.filter(isAlive);
  const agents = left.filter((daemon) => daemon.name.startsWith('agent-'));
  const others = left.filter((daemon) => !daemon.name.startsWith('agent-')).reverse();
  if (left.length > 0) progress(`stopping ${left.map((daemon) => daemon.name).join(', ')}`);
  await Promise.all(agents.map((daemon) => endProcess(daemon, 2)));
  for (const daemon of others) await endProcess(daemon, 1);
  const now = readUpFile(data.upFile);
  if (now !== undefined) writeUpFile(data.upFile, { ...now, supervisor: null, daemons: [], ready: null });
  return { daemons: running.map(({ name, pid }) => ({ name, pid })) };
}

/** The end of a file, from a byte on: to show what a detached `up` says. */
export function readFrom(path: string, offset: number): { readonly text: string; readonly offset: number } {
  try {
    const bytes = readFileSync(path);
    return { text: bytes.subarray(offset).toString('utf8'), offset: bytes.length };
  } catch {
    return { text: '', offset }; // not there yet
  }
}
