/** The journal on a server that dies, and on one that holds what is no entry. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { JournalError } from '../../coordinator/journal/journal.js';
import { openNatsJournal, type NatsJournal } from '../../coordinator/journal/nats-journal.js';
import { natsPlanStore } from '../../coordinator/journal/nats-plans.js';
import { ensureStreams, NatsUnsuitable } from '../../coordinator/journal/nats-streams.js';
import type { Entry } from '../../shared/model/event.js';
import type { Plan } from '../../shared/model/pipeline.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { eventually } from '../support/eventually.js';
import { commitId, projectId, runId } from '../support/ids.js';
import { connectTest, silent, startNats, startOpenNats, type NatsServer } from '../support/nats.js';

const names = natsNames('gantry');
const entry = (n: number): Entry => ({
  v: 1,
  at: n,
  epoch: 1,
  events: [{ kind: 'RunRecorded', run: runId(n) }],
});

const startLimited = (bytes: number): Promise<NatsServer> =>
  startNats(
    ({ port, storeDir }) =>
      `listen: 127.0.0.1:${port}\njetstream { store_dir: "${storeDir}", max_file_store: ${bytes} }\nauthorization { user: test, password: test }\n`,
  );
const startBare = (): Promise<NatsServer> =>
  startNats(({ port }) => `listen: 127.0.0.1:${port}\nauthorization { user: test, password: test }\n`);

let server: NatsServer;
let link: NatsLink;
let journal: NatsJournal;

beforeEach(async () => {
  server = await startOpenNats();
  link = await connectTest(server);
  await ensureStreams({ link, names, replicas: 1, log: silent });
  journal = openNatsJournal({ link, names });
});
afterEach(async () => {
  journal.close();
  await link.close();
  await server.dispose();
});

const replayed = async (): Promise<readonly number[]> => {
  const seen: number[] = [];
  await journal.replay(0, (_sequence, { at }) => void seen.push(at));
  return seen;
};

test('kill -9 of the server loses nothing that was acknowledged, and replay settles what was not', async () => {
  let sent = 0;
  let last = 0;
  const acknowledged: number[] = [];
  for (let round = 0; round < 4; round++) {
    const { disconnected } = journal;
    const kill =
      round === 3
        ? undefined
        : eventually('some appends', () => last > (round + 1) * 50).then(() => server.restart());
    for (;;) {
      const result = await journal.append(entry(++sent), last);
      if (result.kind === 'stored') {
        acknowledged.push(sent);
        last = result.sequence;
        if (round === 3 && last > 400) break;
        continue;
      }
      expect(result.kind).toBe('unknown');
      expect(disconnected.aborted).toBe(true);
      break;
    }
    await kill;
    await link.whenUp();
    expect(journal.disconnected.aborted).toBe(false);
    const seen = await replayed();
    // What is there: everything acknowledged, and of the rest at most the one append without an answer.
    expect(seen.filter((at) => !acknowledged.includes(at)).length).toBeLessThanOrEqual(round + 1);
    expect(seen.filter((at) => acknowledged.includes(at))).toEqual(acknowledged);
    for (const at of seen) if (!acknowledged.includes(at)) acknowledged.push(at);
    acknowledged.sort((a, b) => a - b);
    last = seen.length;
  }
});

test('an append while disconnected is unknown at once', async () => {
  await server.stop();
  await eventually('the break', () => journal.disconnected.aborted);
  const began = performance.now();
  expect((await journal.append(entry(1), 0)).kind).toBe('unknown');
  expect(performance.now() - began).toBeLessThan(100);
});

test('replay goes on over a restart of the server', async () => {
  for (let n = 0; n < 20_000; n += 500) {
    // Filled past the port, for speed: the expected sequence is not what this test is about.
    const js = link.nc.jetstream();
    await Promise.all(
      Array.from({ length: 500 }, (_none, i) =>
        js.publish(names.journalSubject, JSON.stringify(entry(n + i))),
      ),
    );
  }
  const seen: number[] = [];
  let restarting: Promise<void> | undefined;
  const last = await journal.replay(0, (sequence) => {
    seen.push(sequence);
    if (sequence === 3_000) restarting = server.restart();
  });
  await restarting;
  expect(last).toBe(20_000);
  expect(seen).toEqual(Array.from({ length: 20_000 }, (_none, index) => index + 1));
});

describe('what a replay does not accept', () => {
  test.each([
    ['no JSON', 'hello'],
    ['another shape', '{"v":1}'],
    ['an entry of a newer version', '{"v":2,"at":1,"epoch":1,"events":[]}'],
    ['an event of an unknown kind', '{"v":1,"at":1,"epoch":1,"events":[{"kind":"Teleported"}]}'],
  ])('%s', async (_what, text) => {
    await journal.append(entry(1), 0);
    await link.nc.jetstream().publish(names.journalSubject, text);
    const seen: number[] = [];
    await expect(journal.replay(0, (sequence) => void seen.push(sequence))).rejects.toThrow(
      /entry 2 of the journal/,
    );
    expect(seen).toEqual([1]);
  });

  test('a journal that begins after what is wanted', async () => {
    for (let n = 0; n < 5; n++) await journal.append(entry(n), n);
    const manager = await link.nc.jetstreamManager();
    await manager.streams.purge(names.journalStream, { seq: 3 });
    await expect(journal.replay(0, () => undefined)).rejects.toThrow(JournalError);
    expect(await journal.replay(2, () => undefined)).toBe(5);
  });
});

describe('streams', () => {
  test('are made once, and found by the next coordinator', async () => {
    await journal.append(entry(1), 0);
    await Promise.all([1, 2, 3].map(() => ensureStreams({ link, names, replicas: 1, log: silent })));
    expect(await replayed()).toEqual([1]);
  });

  test('LOGS gets at most half of what the server may store', async () => {
    const small = await startLimited(100 * 1024 * 1024);
    const other = await connectTest(small);
    try {
      await ensureStreams({ link: other, names, replicas: 1, log: silent });
      const manager = await other.nc.jetstreamManager();
      const { config } = await manager.streams.info(names.logsStream);
      expect(config.max_bytes).toBeGreaterThan(16 * 1024 * 1024);
      expect(config.max_bytes).toBeLessThanOrEqual(50 * 1024 * 1024);
    } finally {
      await other.close();
      await small.dispose();
    }
  });

  test('of somebody else are left alone, with a message', async () => {
    const manager = await link.nc.jetstreamManager();
    await manager.streams.add({ name: 'x_JOURNAL', subjects: ['orders.>'] });
    await expect(ensureStreams({ link, names: natsNames('x'), replicas: 1, log: silent })).rejects.toThrow(
      /another prefix/,
    );
  });
});

describe('plans', () => {
  const plan = (n: number, text: string): Plan => ({
    v: 1,
    run: runId(n),
    facts: {
      event: 'submit',
      trust: 'submit',
      project: projectId(1),
      projectName: 'p',
      commit: commitId(1),
      title: '',
      by: 'ann',
      inputs: {},
    },
    source: { kind: 'git', url: 'https://example.org/r.git', commit: commitId(1) },
    stages: [],
    pipelineText: text,
  });

  test('of more than a message may hold come back whole, may be put again, and go away without a trace', async () => {
    const plans = await natsPlanStore({ link, names, replicas: 1 });
    // Random, so that compression does not make it small.
    const large = plan(
      1,
      Array.from({ length: 300_000 }, () => Math.random().toString(36).slice(2)).join(' '),
    );
    expect(large.pipelineText.length).toBeGreaterThan(3_000_000);
    await plans.put(large);
    await plans.put(large);
    await plans.put(plan(2, 'small'));
    await plans.put(plan(2, 'small ü'));
    const store = await link.nc.jetstream().views.os(names.plansBucket);
    expect(await store.info(runId(2))).toMatchObject({ chunks: 1, deleted: false });
    expect(await plans.get(runId(1))).toEqual(large);
    expect(await plans.get(runId(2))).toEqual(plan(2, 'small ü'));
    expect(await plans.get(runId(3))).toBeUndefined();
    expect([...(await plans.list())].sort()).toEqual([runId(1), runId(2)].sort());
    await plans.delete(runId(1));
    await plans.delete(runId(1));
    await plans.delete(runId(2));
    expect(await plans.get(runId(1))).toBeUndefined();
    expect(await plans.list()).toEqual([]);
    const manager = await link.nc.jetstreamManager();
    expect((await manager.streams.info(`OBJ_${names.plansBucket}`)).state.messages).toBe(0);
  });

  test('are kept over a kill of the server', async () => {
    const plans = await natsPlanStore({ link, names, replicas: 1 });
    await plans.put(plan(1, 'text'));
    const restarting = server.restart();
    await eventually('the break', () => link.disconnected.aborted);
    expect(await plans.get(runId(1))).toEqual(plan(1, 'text'));
    await restarting;
  });
});

test('a server without JetStream is named as unsuitable', async () => {
  const bare = await startBare();
  const other = await connectTest(bare);
  try {
    await expect(ensureStreams({ link: other, names, replicas: 1, log: silent })).rejects.toThrow(
      NatsUnsuitable,
    );
  } finally {
    await other.close();
    await bare.dispose();
  }
});
