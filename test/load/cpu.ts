/** CPU time of processes: what other work on the machine hardly changes, unlike all that is read from a clock. */
import { readFile } from 'node:fs/promises';
import type { Daemon } from '../support/installation.js';

/** `getconf CLK_TCK` on every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Used {
  readonly ownMs: number;
  /** Of children that have ended: git, above all. */
  readonly childrenMs: number;
}

/** By the daemon's name. */
export type CpuTimes = ReadonlyMap<string, Used>;

export async function cpuTimes(daemons: readonly Daemon[]): Promise<CpuTimes> {
  const used = new Map<string, Used>();
  for (const { name, pid } of daemons) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    // The program's name stands in parentheses and may hold spaces; utime is the 12th field after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const sum = (from: number): number =>
      ((Number(fields[from]) + Number(fields[from + 1])) * 1000) / ticksPerSecond;
    used.set(name, { ownMs: sum(11), childrenMs: sum(13) });
  }
  return used;
}

/** `coordinator 14 ms, agents 61 + 46 ms …` for each of the `count` times that something was done; `+`: by children. */
export function cpuBetween(before: CpuTimes, after: CpuTimes, count: number): string {
  const sums = new Map<string, { own: number; children: number }>();
  for (const [name, { ownMs, childrenMs }] of after) {
    const key = name.startsWith('agent-') ? 'agents' : name;
    const sum = sums.get(key) ?? { own: 0, children: 0 };
    sum.own += (ownMs - (before.get(name)?.ownMs ?? 0)) / count;
    sum.children += (childrenMs - (before.get(name)?.childrenMs ?? 0)) / count;
    sums.set(key, sum);
  }
  return [...sums]
    .map(
      ([name, { own, children }]) => `${name} ${shown(own)}${children < 1 ? '' : ` + ${shown(children)}`} ms`,
    )
    .join(', ');
}

const shown = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
