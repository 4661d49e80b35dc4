/**
 * Whole stages of one step and of fifty, beside `docker run` and `docker exec` of the same command, and beside a shell that starts
 * the shell of each step: what the command of a further step takes by itself.
 */
import type { Fleet } from './fleet.js';
import { docker } from './baseline.js';
import { cpuBetween, cpuTimes } from './cpu.js';
import { ms, Samples, timed, times, type Report } from './measure.js';

const steps = 50;

export async function measureStages(options: {
  readonly fleet: Fleet;
  readonly image: string;
  readonly rounds: number;
  readonly report: Report;
}): Promise<void> {
  const { fleet, image, rounds, report } = options;
  const samples = new Samples();
  const pipeline = (count: number): string =>
    `image: ${image}\nstages:\n  only:\n    steps: [${Array.from({ length: count }, () => "'true'").join(', ')}]\n`;
  const before = await cpuTimes(await fleet.up.daemons());
  const name = `gantry-bench-${process.pid}`;
  await docker('run', '-d', '--rm', '--name', name, image, 'sleep', '100000');
  try {
    for (let round = 0; round < rounds; round += 1) {
      const one = await fleet.run(pipeline(1));
      samples.add('one', one.endedAt - one.sentAt);
      await samples.time('run', () => docker('run', '--rm', image, 'true'));
      const many = await fleet.run(pipeline(steps));
      const further = (many.endedAt - many.sentAt - (one.endedAt - one.sentAt)) / (steps - 1);
      samples.add('further', further);
      const exec = await timed(() => docker('exec', name, 'true'));
      samples.add('exec', exec);
      const commands = `n=0; while [ $n -lt ${steps} ]; do bash -eo pipefail -c true; n=$((n + 1)); done`;
      const own = (await timed(() => docker('exec', name, 'sh', '-c', commands))) - exec;
      samples.add('beyond', further - own / steps);
    }
  } finally {
    await docker('rm', '-f', name);
  }
  report.add({
    what: 'whole stage of one step: submit sent → run ended',
    measured: ms(samples.p50('one'), samples.p99('one')),
    baseline: `docker run --rm ${ms(samples.p50('run'), samples.p99('run'))}`,
    ratio: times(samples.p50('one') / samples.p50('run')),
    target: '≤ 1.3×',
  });
  report.add({
    what: `each further step of a stage of ${steps}`,
    measured: ms(samples.p50('further'), samples.p99('further')),
    baseline: `docker exec ${ms(samples.p50('exec'), samples.p99('exec'))}`,
    ratio: times(samples.p50('further') / samples.p50('exec')),
    target: '',
  });
  report.add({
    what: '… of it beyond its command, which is a shell that runs `true`',
    measured: ms(samples.p50('beyond'), samples.p99('beyond')),
    baseline: `docker exec ${ms(samples.p50('exec'), samples.p99('exec'))}`,
    ratio: times(samples.p50('beyond') / samples.p50('exec')),
    target: '≤ 5 ms',
  });
  report.add({
    what: `… CPU time of each daemon for a stage of one step and one of ${steps}`,
    measured: cpuBetween(before, await cpuTimes(await fleet.up.daemons()), rounds),
    baseline: '',
    ratio: '',
    target: '',
  });
}
