/**
 * The processes of a box, found in the host's /proc. A box in a container is a process namespace of its own, so what
 * is in it can neither hide from this nor be confused with anything else; a box of the host executor is told by a
 * variable in its processes' environment and by their sessions.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { setImmediate as otherWork } from 'node:timers/promises';
import { stepVariable } from './supervisor.js';

export interface Process {
  /** As the host numbers it. */
  readonly pid: number;
  readonly session: number;
  /** The step it was started by: inherited, unless a process cleared its environment. */
  readonly stepId?: string;
}

export interface ProcessFacts {
  readonly session: number;
  /** In the kernel's ticks since the machine's start. A child's is never less than its parent's. */
  readonly startedAt: number;
}

/** From `/proc/<pid>/stat`; the program's name in it may hold spaces and parentheses. Undefined for a zombie. */
export function parseStat(stat: string): ProcessFacts | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ', 20);
  const session = Number(fields[3]);
  const startedAt = Number(fields[19]);
  if (fields[0] === 'Z' || !Number.isSafeInteger(session) || !Number.isSafeInteger(startedAt))
    return undefined;
  return { session, startedAt };
}

export function variableIn(environ: string, name: string): string | undefined {
  return environ
    .split('\0')
    .find((entry) => entry.startsWith(`${name}=`))
    ?.slice(name.length + 1);
}

async function pids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

// A process that ends while it is looked at, or belongs to someone else, is not one of the box: undefined for all.
const readProc = (pid: number, file: string): Promise<string | undefined> =>
  readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => undefined);
const namespaceOf = (pid: number): Promise<string | undefined> =>
  readlink(`/proc/${pid}/ns/pid`).catch(() => undefined);

/** Longer than any `stat` line. */
const statBuffer = Buffer.allocUnsafe(4096);

/**
 * Undefined for a process that has ended. At once: the kernel answers without waiting for anything, and a turn through the thread
 * pool costs ten times the read. Three calls of the kernel and no buffer of its own, because each stage on the host looks at all
 * processes of the machine: 1.2 ms for 96 of them, where `readFileSync` took 3.3.
 */
export function factsOf(pid: number): ProcessFacts | undefined {
  try {
    const file = openSync(`/proc/${pid}/stat`, 'r');
    try {
      return parseStat(statBuffer.toString('latin1', 0, readSync(file, statBuffer, 0, statBuffer.length, 0)));
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

function processOf(pid: number, session: number, environ: string): Process {
  const stepId = variableIn(environ, stepVariable);
  return stepId === undefined ? { pid, session } : { pid, session, stepId };
}

/** All living processes in the process namespace of `first`, without it and its session (the supervisor's own). */
export async function processesInNamespace(first: number): Promise<readonly Process[]> {
  const namespace = await namespaceOf(first);
  if (namespace === undefined) return [];
  const found = await Promise.all(
    (await pids()).map(async (pid) => {
      if (pid === first || (await namespaceOf(pid)) !== namespace) return undefined;
      const session = factsOf(pid)?.session;
      return session === undefined
        ? undefined
        : processOf(pid, session, (await readProc(pid, 'environ')) ?? '');
    }),
  );
  return found.filter((each) => each !== undefined).filter((each) => each.session !== first);
}

/** How many processes are looked at before other work gets its turn. */
const lookedAtOnce = 100;

/** All other processes that started then (in ticks) or later, with their facts. */
async function startedSince(since: number): Promise<readonly (ProcessFacts & { readonly pid: number })[]> {
  const found: (ProcessFacts & { readonly pid: number })[] = [];
  for (const [index, pid] of (await pids()).entries()) {
    if (index % lookedAtOnce === lookedAtOnce - 1) await otherWork();
    const facts = pid === process.pid ? undefined : factsOf(pid);
    if (facts !== undefined && facts.startedAt >= since) found.push({ pid, ...facts });
  }
  return found;
}

/**
 * All living processes whose environment has `name=value` for a value that `belongs`, and those in their sessions. None
 * that is asked for started before `since` (in ticks): of all others only `stat` is read.
 */
export async function processesWithVariable(
  name: string,
  belongs: (value: string) => boolean,
  since = 0,
): Promise<readonly Process[]> {
  const found = await Promise.all(
    (await startedSince(since)).map(async ({ pid, session }) => {
      const environ = await readProc(pid, 'environ');
      if (environ === undefined) return undefined;
      const value = variableIn(environ, name);
      return { process: processOf(pid, session, environ), own: value !== undefined && belongs(value) };
    }),
  );
  const all = found.filter((each) => each !== undefined);
  const sessions = new Set(all.filter((each) => each.own).map((each) => each.process.session));
  return all.filter((each) => each.own || sessions.has(each.process.session)).map((each) => each.process);
}

/** Those of a step: what carries its id, and what shares a session with such a process. */
export function processesOfStep(all: readonly Process[], stepId: string): readonly Process[] {
  const sessions = new Set(all.filter((each) => each.stepId === stepId).map((each) => each.session));
  return all.filter((each) => each.stepId === stepId || sessions.has(each.session));
}

/** Sends a signal to each; one that has ended meanwhile is what was wanted. */
export function signalAll(processes: readonly Process[], signal: 'SIGTERM' | 'SIGKILL'): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
    } catch {
      // Ended between being listed and being signalled.
    }
  }
}
