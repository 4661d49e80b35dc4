/** Stages that do nothing, as many a second as four agents bring to their end. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { docker, inParallel } from './baseline.js';
import { cpuBetween, cpuTimes } from './cpu.js';
import { startFleet } from './fleet.js';
import { timed, times, type Report } from './measure.js';

const execute = promisify(execFile);
const agents = 4;
const slots = 2;

export async function measureThroughput(options: {
  readonly executor: 'docker' | 'host';
  readonly image: string;
  readonly stages: number;
  readonly report: Report;
}): Promise<void> {
  const { executor, image, stages, report } = options;
  const fleet = await startFleet([
    ...['--agents', String(agents), '--slots', String(slots), '--executor', executor],
    ...(executor === 'host' ? ['--ignore-image'] : []),
  ]);
  try {
    const pipeline = (count: number): string =>
      `image: ${image}\nstages:\n${Array.from({ length: count }, (_, n) => `  s${n}: { steps: ['true'] }\n`).join('')}`;
    await fleet.run(pipeline(agents * slots));
    const before = await cpuTimes(await fleet.up.daemons());
    const { sentAt, endedAt } = await fleet.run(pipeline(stages));
    const after = await cpuTimes(await fleet.up.daemons());
    const ours = stages / ((endedAt - sentAt) / 1000);
    const bareTask = (): Promise<unknown> =>
      executor === 'docker' ? docker('run', '--rm', image, 'true') : execute('sh', ['-c', 'true']);
    const bare = stages / ((await timed(() => inParallel(stages, agents * slots, bareTask))) / 1000);
    report.add({
      what: `stages a second, ${agents} agents of ${slots} slots, executor ${executor} (${stages} stages of one step \`true\`)`,
      measured: `${ours.toFixed(1)} /s`,
      baseline: `${executor === 'docker' ? 'docker run --rm' : 'sh -c'}, ${agents * slots} at once ${bare.toFixed(1)} /s`,
      ratio: `${times(ours / bare)} its rate`,
      target: '',
    });
    report.add({
      what: '… CPU time of each daemon for one of these stages',
      measured: cpuBetween(before, after, stages),
      baseline: '',
      ratio: '',
      target: '',
    });
  } finally {
    await fleet.stop();
  }
}
