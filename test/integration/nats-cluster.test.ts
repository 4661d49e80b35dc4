/** Three servers, three copies: the stream's leader dies, and everything goes on by itself. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { natsRunIndex } from '../../coordinator/history/nats-run-index.js';
import { openNatsJournal } from '../../coordinator/journal/nats-journal.js';
import { natsPlanStore } from '../../coordinator/journal/nats-plans.js';
import { ensureStreams, mayPurge } from '../../coordinator/journal/nats-streams.js';
import { natsLiveLog } from '../../coordinator/logs/nats-live-log.js';
import type { Entry } from '../../shared/model/event.js';
import { connectNats, type NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { eventually } from '../support/eventually.js';
import { runId } from '../support/ids.js';
import { freePort, silent, startNats, testAuth, type NatsServer } from '../support/nats.js';

const names = natsNames('gantry');
const servers: NatsServer[] = [];
let link: NatsLink;
let stores: string;

beforeAll(async () => {
  stores = await mkdtemp(join(tmpdir(), 'gantry-cluster-'));
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ');
  servers.push(
    ...(await Promise.all(
      ports.map((route, index) =>
        startNats(
          ({ port }) => `server_name: n${index}
listen: 127.0.0.1:${port}
jetstream { store_dir: "${join(stores, String(index))}", max_file_store: 1GB }
cluster { name: c, listen: 127.0.0.1:${route}, routes: [${routes}] }
accounts { A { jetstream: enabled, users: [{ user: test, password: test }] }, $SYS { users: [{ user: sys, password: sys }] } }
`,
        ),
      ),
    )),
  );
  link = await connectNats({
    servers: servers.map(({ url }) => url),
    auth: testAuth,
    name: 'test',
    log: silent,
    patienceMs: 10_000,
  });
  await ensureStreams({ link, names, replicas: 3, log: silent });
});
afterAll(async () => {
  await link.close();
  await Promise.all(servers.map((server) => server.dispose()));
  await rm(stores, { recursive: true, force: true });
});

const entry = (n: number): Entry => ({
  v: 1,
  at: n,
  epoch: 1,
  events: [{ kind: 'RunRecorded', run: runId(n) }],
});

test('no acknowledged entry or piece of a log is lost, and appends go on within half a minute', async () => {
  const journal = openNatsJournal({ link, names });
  const live = natsLiveLog({ link, names, mayPurge: mayPurge(link, 3) });
  const ref = { run: runId(1), stage: 1, attempt: 1 };
  const acknowledged: number[] = [];
  let sent = 0;
  let last = 0;
  const append = async (): Promise<boolean> => {
    const result = await journal.append(entry(++sent), last);
    if (result.kind !== 'stored') {
      last = await journal.replay(0, () => undefined);
      return false;
    }
    acknowledged.push(sent);
    last = result.sequence;
    return true;
  };
  for (let n = 0; n < 100; n++) expect(await append()).toBe(true);
  await live.append({ ...ref, step: 1, offset: 0, bytes: Buffer.from('before '), at: 1 });

  const manager = await link.nc.jetstreamManager();
  const leader = (await manager.streams.info(names.journalStream)).cluster?.leader ?? '';
  await servers[Number(leader.slice(1))]?.stop();
  await eventually('appends go on', append, 30_000);
  for (let n = 0; n < 100; n++) await append();
  await eventually(
    'logs go on',
    () =>
      live.append({ ...ref, step: 1, offset: 7, bytes: Buffer.from('after'), at: 1 }).then(
        () => true,
        () => false,
      ),
    30_000,
  );

  const seen: number[] = [];
  await journal.replay(0, (_sequence, { at }) => void seen.push(at));
  expect(seen.filter((at) => acknowledged.includes(at))).toEqual(acknowledged);
  let text = '';
  for await (const chunk of live.read(ref, { follow: false, signal: AbortSignal.timeout(20_000) }))
    text = text.slice(0, chunk.offset) + Buffer.from(chunk.bytes).toString();
  expect(text).toBe('before after');

  // The rest of what a coordinator needs to start works on two of three servers.
  await ensureStreams({ link, names, replicas: 3, log: silent });
  const plans = await natsPlanStore({ link, names, replicas: 3 });
  expect(await plans.get(runId(1))).toBeUndefined();
  const index = await natsRunIndex({ link, names, log: silent });
  expect(await index.get(runId(1))).toBeUndefined();
  await index.close();
  journal.close();
  live.close();
}, 120_000);
