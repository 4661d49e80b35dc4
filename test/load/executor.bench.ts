/**
 * What a box and its steps cost, beside bare `docker run`, `docker exec` and `docker run | cat` in the same run.
 * Prints a table of milliseconds and megabytes a second with ratios; asserts nothing. Compile and run: see the README
 * of this folder. Arguments: rounds (default 15).
 */
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { createDockerExecutor } from '../../agent/executor/docker-executor.js';
import type { Box, RunningStep, StepCommand } from '../../agent/executor/executor.js';
import { parseAgentId, parseRunId, parseToken } from '../../shared/model/ids.js';
import { ensureTestImage } from '../support/images.js';

const execute = promisify(execFile);
const rounds = Number(process.argv[2] ?? 15);
const lines = 1_000_000;
const line = 'x'.repeat(99);
/** 100 MB of 1,000,000 lines; busybox's `yes` writes them as fast as the container can. */
const flood = `yes ${line} | head -n ${lines}`;

const reference = await ensureTestImage('bash');
const dataDirectory = await mkdtemp(join(tmpdir(), 'gantry-bench-'));
const agentId = parseAgentId('benchbenchbench2');
const run = parseRunId('benchbenchbench2');
const token = parseToken(1);
if (agentId === undefined || run === undefined || token === undefined) throw new Error('not ids');
const executor = createDockerExecutor({
  agentId,
  dataDirectory,
  localImages: ['*'],
  limits: { pids: 1000 },
  log: pino({ level: 'silent' }),
});
const signal = new AbortController().signal;
const image = await executor.resolveImage(reference, {
  signal,
  registries: () => Promise.resolve({ credentials: [] }),
  onProgress: () => undefined,
});

async function timed(task: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await task();
  return performance.now() - began;
}

let slots = 0;
async function openBox(): Promise<Box> {
  slots += 1;
  const root = join(dataDirectory, String(slots));
  const slot = { root, workspace: join(root, 'workspace'), out: join(root, 'out') };
  await mkdir(slot.workspace, { recursive: true });
  await mkdir(slot.out);
  const ref = { run: run!, stage: slots, attempt: 1 };
  return executor.openBox(
    { ref, token: token!, slot, image, services: [], onProgress: () => undefined },
    signal,
  );
}

const command = (number: number, script: string): StepCommand => ({
  number,
  run: script,
  env: { CI: 'true', GANTRY_BRANCH: 'main' },
  logLimitBytes: 2 ** 40,
});

async function start(box: Box, number: number, script: string): Promise<RunningStep> {
  const step = command(number, script);
  return box.startStep(step, await box.prepareStep(step));
}

async function step(box: Box, number: number, script: string): Promise<void> {
  const running = await start(box, number, script);
  await running.finished;
  await running.log.close();
}

/** Reads a step's log while it is written, as the agent's shipper does. */
async function followed(box: Box, number: number): Promise<number> {
  const running = await start(box, number, flood);
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let ended: number | undefined;
  void running.finished.then(({ logBytes }) => (ended = logBytes));
  let at = 0;
  while (ended === undefined || at < ended) {
    const read = await running.log.read(at, buffer);
    if (read === 0) await running.log.changed(signal);
    at += read;
  }
  await running.log.close();
  return at;
}

const docker = (...args: readonly string[]): Promise<unknown> => execute('docker', [...args]);

const bare = (...args: readonly string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn('sh', [
      '-c',
      `docker run --rm ${args.join(' ')} ${reference} sh -c '${flood}' | cat >/dev/null`,
    ]);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}`))));
  });

const times = new Map<string, number[]>();
async function measure(name: string, task: () => Promise<unknown>): Promise<void> {
  const all = times.get(name) ?? [];
  all.push(await timed(task));
  times.set(name, all);
}

// Interleaved, so that other work on the machine falls on all alike.
await docker('run', '-d', '--rm', '--name', 'gantry-bench-exec', reference, 'sleep', '100000');
for (let round = 0; round < rounds; round += 1) {
  await measure('docker run --rm', () => docker('run', '--rm', reference, 'true'));
  await measure('docker run --rm --network none', () =>
    docker('run', '--rm', '--network', 'none', reference, 'true'),
  );
  await measure('docker exec', () => docker('exec', 'gantry-bench-exec', 'true'));
  let box: Box | undefined;
  await measure('openBox', async () => (box = await openBox()));
  if (box === undefined) throw new Error('no box');
  const opened = box;
  await measure('first step', () => step(opened, 1, 'true'));
  for (let number = 2; number <= 11; number += 1)
    await measure('further step', () => step(opened, number, 'true'));
  await measure('freeze', () => opened.freeze());
  await measure('remove', () => opened.remove());
  await measure('one-step stage', async () => {
    const own = await openBox();
    await step(own, 1, 'true');
    await own.remove();
  });
}
const box = await openBox();
for (let round = 1; round <= Math.max(3, Math.round(rounds / 3)); round += 1) {
  await measure('100 MB: box, followed', () => followed(box, round));
  await measure('100 MB: docker run | cat', () => bare());
  await measure('100 MB: docker run --log-driver none | cat', () => bare('--log-driver', 'none'));
}
await box.remove();
await docker('rm', '-f', 'gantry-bench-exec');
await executor.sweep(new Set());
await executor.close();
await executor.removeTree(dataDirectory);

const at = (values: readonly number[], quantile: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * quantile))] ?? NaN;
const p50 = (name: string): number => at(times.get(name) ?? [], 0.5);

const ratios: Readonly<Record<string, string>> = {
  openBox: 'docker run --rm',
  'one-step stage': 'docker run --rm',
  'first step': 'docker exec',
  'further step': 'docker exec',
};
console.log('what | p50 ms | p99 ms | p50 beside');
for (const [name, values] of times) {
  const base = ratios[name];
  const beside = base === undefined ? '' : `${(p50(name) / p50(base)).toFixed(2)} × ${base}`;
  console.log(`${name} | ${at(values, 0.5).toFixed(1)} | ${at(values, 0.99).toFixed(1)} | ${beside}`);
}
const megabytes = (lines * (line.length + 1)) / 1e6;
for (const name of [...times.keys()].filter((each) => each.startsWith('100 MB'))) {
  const time = p50(name);
  console.log(
    `${name}: ${((megabytes / time) * 1000).toFixed(0)} MB/s, ${(time / p50('100 MB: docker run | cat')).toFixed(2)} × docker run | cat`,
  );
}
