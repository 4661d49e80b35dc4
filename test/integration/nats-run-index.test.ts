/** Finished runs: found again, listed in pages that do not shift, and never replaced by a late writer. */
import { afterEach, beforeEach, expect, test } from 'vitest';

import { natsRunIndex, type NatsRunIndex } from '../../coordinator/history/nats-run-index.js';
import { RunIndexConflict, type FinishedRun } from '../../coordinator/history/run-index.js';
import { BadCursor } from '../../coordinator/history/run-table.js';
import { ensureStreams } from '../../coordinator/journal/nats-streams.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { eventually } from '../support/eventually.js';
import { projectId, runId } from '../support/ids.js';
import { connectTest, silent, startOpenNats, type NatsServer } from '../support/nats.js';

const names = natsNames('gantry');
let server: NatsServer;
let link: NatsLink;
const opened: NatsRunIndex[] = [];

beforeEach(async () => {
  server = await startOpenNats();
  link = await connectTest(server);
  await ensureStreams({ link, names, replicas: 1, log: silent });
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((index) => index.close()));
  await link.close();
  await server.dispose();
});
async function open(): Promise<NatsRunIndex> {
  const index = await natsRunIndex({ link, names, log: silent });
  opened.push(index);
  return index;
}

const run = (n: number, changes: Partial<FinishedRun> = {}): FinishedRun => ({
  run: runId(n),
  status: n % 2 === 0 ? 'succeeded' : 'failed',
  project: 'https://example.org/app.git',
  projectId: projectId(n % 3),
  branch: 'main',
  commit: 'c'.repeat(40),
  title: `run ${n}`,
  author: null,
  by: 'ann',
  failure: null,
  failing: null,
  event: 'submit',
  retryOf: null,
  submittedAt: new Date(1_700_000_000_000 + n * 1_000).toISOString(),
  startedAt: null,
  finishedAt: null,
  digest: 'd'.repeat(64),
  ...changes,
});
const all = (): boolean => true;
const numbers = (runs: readonly FinishedRun[]): readonly number[] =>
  runs.map(({ title }) => Number(title.slice(4)));

test('a run is found by its id and by a prefix, at once and after a restart', async () => {
  const index = await open();
  await index.put(run(1));
  await index.put(run(2));
  for (const each of [index, await open()]) {
    expect(await each.get(runId(1))).toEqual(run(1));
    expect(await each.get(runId(3))).toBeUndefined();
    expect(await each.find(runId(2).slice(0, 8), 2)).toEqual([run(2)]);
    expect(await each.find('', 1)).toHaveLength(1);
  }
});

test('pages are newest first, filtered, and do not shift when a run is added', async () => {
  const index = await open();
  // Runs end in another order than they began in.
  for (const n of [5, 1, 9, 3, 7, 2, 8, 4, 6, 10]) await index.put(run(n));
  const first = await index.list({ limit: 4, filter: all });
  expect(numbers(first.runs)).toEqual([10, 9, 8, 7]);
  await index.put(run(11));
  const second = await index.list({
    limit: 4,
    filter: all,
    ...(first.cursor === undefined ? {} : { before: first.cursor }),
  });
  expect(numbers(second.runs)).toEqual([6, 5, 4, 3]);
  const third = await index.list({
    limit: 4,
    filter: all,
    ...(second.cursor === undefined ? {} : { before: second.cursor }),
  });
  expect(numbers(third.runs)).toEqual([2, 1]);
  expect(third.cursor).toBeUndefined();
  const failed = await index.list({ limit: 3, filter: ({ status }) => status === 'failed' });
  expect(numbers(failed.runs)).toEqual([11, 9, 7]);
  const ofProject = await index.list({ project: projectId(0), limit: 100, filter: all });
  expect(numbers(ofProject.runs)).toEqual([9, 6, 3]);
  await expect((async () => index.list({ limit: 1, filter: all, before: 'nonsense' }))()).rejects.toThrow(
    BadCursor,
  );
});

test('putting the same row again is harmless, also by a coordinator that had not seen it', async () => {
  const [a, b] = [await open(), await open()];
  await a.put(run(1));
  await a.put(run(1));
  await b.put(run(1));
  expect((await a.list({ limit: 10, filter: all })).runs).toEqual([run(1)]);
});

test('a late writer does not replace the row of another coordinator', async () => {
  const [a, late] = [await open(), await open()];
  await a.put(run(1));
  await expect(late.put(run(1, { status: 'canceled' }))).rejects.toThrow(RunIndexConflict);
  expect(await (await open()).get(runId(1))).toEqual(run(1));
});

test('one coordinator sees what another recorded, also after a restart of the server', async () => {
  const [a, b] = [await open(), await open()];
  await a.put(run(1));
  await eventually('b sees it', async () => (await b.get(runId(1))) !== undefined);
  await server.restart();
  await link.whenUp();
  await a.put(run(2));
  await eventually('b sees the second', async () => (await b.get(runId(2))) !== undefined, 20_000);
});

test('a message that is no row does not hinder the others', async () => {
  await link.nc.jetstream().publish(`gantry.runs.${projectId(1)}.${runId(5)}`, 'no JSON');
  await link.nc.jetstream().publish(`gantry.runs.x.y`, '{}');
  const index = await open();
  await index.put(run(1));
  expect((await index.list({ limit: 10, filter: all })).runs).toEqual([run(1)]);
});
