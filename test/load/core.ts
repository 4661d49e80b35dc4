/** The pure core, in a process of its own with a heap of its own: see scheduler.bench.ts. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Report } from './measure.js';

const execute = promisify(execFile);

export async function measureCore(options: {
  readonly agents: number;
  readonly waiting: number;
  readonly report: Report;
}): Promise<void> {
  const { agents, waiting, report } = options;
  const program = join(import.meta.dirname, 'scheduler.bench.js');
  const { stdout } = await execute(process.execPath, [
    '--expose-gc',
    '--max-old-space-size=4000',
    program,
    String(agents),
    String(waiting),
  ]);
  const values = stdout
    .trim()
    .split('\n')
    .map((line) => /^(.*?) {2,}(.*)$/.exec(line.padEnd(66)))
    .filter((found) => found !== null);
  for (const [, what = '', value = ''] of values) {
    const target = /^report;/.test(what)
      ? 'p99 ≤ 1 ms'
      : /^replay with parsing/.test(what)
        ? '≥ 200,000 /s'
        : /^resident/.test(what)
          ? '≤ 1.5 GiB'
          : '';
    const size = `${agents.toLocaleString('en')} agents, ${waiting.toLocaleString('en')} waiting stages`;
    report.add({ what: `core: ${what.trim()}`, measured: value.trim(), baseline: size, ratio: '', target });
  }
}
