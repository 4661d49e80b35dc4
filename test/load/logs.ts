/** 100 MB of log from a step to somebody who follows it, and how long one line takes. */
import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { cleanEnv, gantryMain } from '../support/installation.js';
import { docker, outputOf } from './baseline.js';
import { cpuBetween, cpuTimes } from './cpu.js';
import { untilEnd, type Fleet } from './fleet.js';
import { median, ms, quantile, Samples, times, type Report } from './measure.js';

const lines = 1_000_000;
const line = 'x'.repeat(99);
const bytes = lines * (line.length + 1);
// `yes` ends by a broken pipe, which a step's shell counts as a failure.
const flood = `yes ${line} | head -n ${lines} || true`;
const moments = 'for i in $(seq 40); do echo $EPOCHREALTIME; sleep 0.25; done';

interface Options {
  readonly fleet: Fleet;
  /** With bash, whose clock has microseconds. */
  readonly image: string;
  readonly rounds: number;
  readonly report: Report;
}

export async function measureFlood({ fleet, image, rounds, report }: Options): Promise<void> {
  const expected = createHash('sha256');
  for (let n = 0; n < lines; n += 1) expected.update(`${line}\n`);
  const sha256 = expected.digest('hex');
  const samples = new Samples();
  let exact = 0;
  const before = await cpuTimes(await fleet.up.daemons());
  for (let round = 0; round < rounds; round += 1) {
    // The start of a container is not the log's: it is measured beside it and taken off.
    await samples.time('start', () => docker('run', '--rm', image, 'true'));
    await samples.time('bare', () =>
      outputOf('sh', ['-c', `docker run --rm ${image} sh -c '${flood}' | cat`]),
    );
    const { run } = await fleet.submit(`image: ${image}\nstages:\n  only:\n    steps: ['${flood}']\n`);
    const [watched, { events, endedAt }] = await Promise.all([
      outputOf(
        process.execPath,
        [gantryMain, 'logs', run, 'only', '1', '--raw', '--follow'],
        cleanEnv(fleet.up.env),
      ).then((drained) => ({ ...drained, at: performance.now() })),
      untilEnd(fleet.api, run),
    ]);
    const stepAt = events.find(({ what, status }) => what === 'step' && status === 'running')?.at ?? NaN;
    if (watched.bytes === bytes && watched.sha256 === sha256) exact += 1;
    samples.add('watched', watched.at - stepAt);
    samples.add('ended', endedAt - stepAt);
  }
  const after = await cpuTimes(await fleet.up.daemons());
  const bare = samples.p50('bare') - samples.p50('start');
  const rate = (time: number): string => `${(bytes / 1e3 / time).toFixed(0)} MB/s`;
  const row = (what: string, name: string): void =>
    report.add({
      what,
      measured: rate(samples.p50(name)),
      baseline: `docker run \\| cat less its start ${rate(bare)}`,
      ratio: `${times(samples.p50(name) / bare)} its time`,
      target: '≤ 1.5×, lossless',
    });
  row(
    `100 MB in 1,000,000 lines, step begun → all at \`logs --raw --follow\` (${exact} of ${rounds} byte-exact)`,
    'watched',
  );
  row('… step begun → run ended (all bytes durable)', 'ended');
  report.add({
    what: '… CPU time of each daemon for it, the whole run included',
    measured: cpuBetween(before, after, rounds),
    baseline: '',
    ratio: '',
    target: '',
  });
}

export async function measureLine({ fleet, image, report }: Omit<Options, 'rounds'>): Promise<void> {
  const { run } = await fleet.submit(
    `image: ${image}\nstages:\n  only:\n    steps:\n      - run: ${JSON.stringify(moments)}\n`,
  );
  const request = {
    run: { run },
    stage: 'only',
    cell: {},
    step: '1',
    follow: true,
    attempt: 0,
    tailBytes: 0,
  };
  const ours: number[] = [];
  for await (const piece of fleet.api.logs(request)) collect(ours, Buffer.from(piece.bytes ?? []));
  const bare: number[] = [];
  const child = spawn('docker', ['run', '--rm', image, 'bash', '-c', moments], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) collect(bare, chunk);
  report.add({
    what: 'one line, written in the step → at a watcher, p50 / p99',
    measured: ms(median(ours), quantile(ours, 0.99)),
    baseline: `docker run ${ms(median(bare), quantile(bare, 0.99))}`,
    ratio: times(median(ours) / median(bare)),
    target: 'p50 ≤ 30 ms',
  });
}

/** Each line is the time at which it was written, in seconds; the same clock, as containers have the machine's. */
function collect(delays: number[], chunk: Buffer): void {
  const now = performance.timeOrigin + performance.now();
  for (const text of chunk.toString().split('\n')) if (text !== '') delays.push(now - Number(text) * 1000);
}
