/** CPU time of processes: what other work on the machine hardly changes, unlike all that is read from a clock. */
import { readFile } from 'node:fs/promises';
import type { Daemon } from '../support/installation.js';

/** `getconf CLK_TCK` on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Seconds by daemon's name, of the daemon itself and of the children it waited for. */
export async function cpuSeconds(daemons: readonly Daemon[]): Promise<ReadonlyMap<string, number>> {
  const used = new Map<string, number>();
  for (const { name, pid } of daemons) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    // The program's name stands in parentheses and may hold spaces; utime is the 12th field after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    used.set(name, ticks / ticksPerSecond);
  }
  return used;
}

/** `coordinator 320 ms, agent-1 94 ms …`: for each of the `count` times that something was done between. */
export function cpuBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  count: number,
): string {
  return [...after]
    .map(
      ([name, seconds]) => `${name} ${((1000 * (seconds - (before.get(name) ?? 0))) / count).toFixed(0)} ms`,
    )
    .join(', ');
}
