/** An artifact of 500 MB to storage, beside one put of as many bytes to the same server by curl. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Fleet } from './fleet.js';
import { Samples, times, type Report } from './measure.js';

const execute = promisify(execFile);
const bytes = 500_000_000;

export async function measureArtifacts(options: {
  readonly fleet: Fleet;
  readonly image: string;
  readonly rounds: number;
  readonly report: Report;
}): Promise<void> {
  const { fleet, image, rounds, report } = options;
  const samples = new Samples();
  const directory = await mkdtemp(join(tmpdir(), 'gantry-bench-'));
  const pipeline = `image: ${image}
stages:
  only:
    steps: ['head -c ${bytes} /dev/urandom > big.bin', 'sync']
    artifacts: { big: big.bin }
`;
  try {
    for (let round = 0; round < rounds; round += 1) {
      const { endedAt, events } = await fleet.run(pipeline);
      const last = events.filter(({ what, status }) => what === 'step' && status === 'succeeded').at(-1);
      if (last === undefined) throw new Error('no step of the run succeeded');
      samples.add('artifact', endedAt - last.at);
      await samples.time('put', await rawPut(fleet, join(directory, 'raw.bin')));
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const rate = (time: number): string => `${(bytes / 1e3 / time).toFixed(0)} MB/s`;
  report.add({
    what: 'artifact of 500 MB: last step ended → run ended',
    measured: rate(samples.p50('artifact')),
    baseline: `one put by curl ${rate(samples.p50('put'))}`,
    ratio: `${times(samples.p50('put') / samples.p50('artifact'))} its speed`,
    target: '≥ 0.8×',
  });
}

/** New bytes each time, so that neither side finds them stored already. Making them is not measured. */
async function rawPut(fleet: Fleet, file: string): Promise<() => Promise<unknown>> {
  const hash = createHash('sha256');
  const out = createWriteStream(file);
  for (let left = bytes; left > 0; left -= 1_000_000) {
    const block = randomBytes(Math.min(left, 1_000_000));
    hash.update(block);
    if (!out.write(block)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
  await execute('sync', [file]);
  const { put } = await fleet.api.prepareSource({ digest: hash.digest('hex'), bytes });
  return () => execute('curl', ['-sSf', '-T', file, put?.url ?? '']);
}
