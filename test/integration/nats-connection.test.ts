/** Connecting: what people are told when it fails, TLS, static users, breaks. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';

import { initNats, loadNatsKeys } from '../../coordinator/fleet/nats-credentials.js';
import { ensureStreams } from '../../coordinator/journal/nats-streams.js';
import type { Logger } from '../../shared/log.js';
import { connectNats, NatsUnavailable, type NatsLink } from '../../shared/nats/nats-connection.js';
import { createPublisher } from '../../shared/nats/nats-publisher.js';
import { natsNames } from '../../shared/nats/names.js';
import { eventually } from '../support/eventually.js';
import { agentId } from '../support/ids.js';
import {
  connectTest,
  freePort,
  silent,
  startNats,
  startOpenNats,
  testAuth,
  type NatsServer,
} from '../support/nats.js';

const names = natsNames('gantry');
const servers: NatsServer[] = [];
const links: NatsLink[] = [];
afterEach(async () => {
  await Promise.all(links.splice(0).map((link) => link.close()));
  await Promise.all(servers.splice(0).map((server) => server.dispose()));
});
const kept = async <T extends NatsServer | NatsLink>(made: Promise<T>): Promise<T> => {
  const it = await made;
  if ('nc' in it) links.push(it);
  else servers.push(it);
  return it;
};

/** A log that keeps its lines. */
function listening(): { log: Logger; lines: { level: number; msg: string }[] } {
  const lines: { level: number; msg: string }[] = [];
  const log = pino(
    { level: 'info' },
    { write: (line: string) => void lines.push(JSON.parse(line) as never) },
  );
  return { log, lines };
}

describe('a server that is not there', () => {
  test('is named with what to do, in the log while it is waited for', async () => {
    const { log, lines } = listening();
    const port = await freePort();
    const url = `nats://127.0.0.1:${port}`;
    const connecting = connectNats({ servers: [url], auth: testAuth, name: 'x', log });
    await eventually('a warning', () => lines.length > 0);
    expect(lines[0]?.msg).toContain(url);
    expect(lines[0]?.msg).toMatch(/cannot be reached.*gantry up.*trying again/);
    await kept(
      startNats(() => `listen: 127.0.0.1:${port}\nauthorization { user: test, password: test }\n`, port),
    );
    links.push(await connecting);
  });

  test('is an error once the patience is over', async () => {
    const began = performance.now();
    const options = {
      servers: [`127.0.0.1:${await freePort()}`],
      auth: testAuth,
      name: 'x',
      log: silent,
      patienceMs: 300,
    };
    await expect(connectNats(options)).rejects.toThrow(/cannot be reached/);
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test('can be given up', async () => {
    const signal = AbortSignal.timeout(200);
    const options = {
      servers: [`127.0.0.1:${await freePort()}`],
      auth: testAuth,
      name: 'x',
      log: silent,
      signal,
    };
    await expect(connectNats(options)).rejects.toThrow();
  });
});

test('a server that refuses is an error at once', async () => {
  const server = await kept(startOpenNats());
  const options = {
    servers: [server.url],
    auth: { kind: 'password', user: 'test', password: 'wrong' },
    name: 'x',
    log: silent,
  } as const;
  await expect(connectNats(options)).rejects.toMatchObject({ name: 'NatsUnavailable', reason: 'refused' });
});

test('a creds file that is none is named as such', async () => {
  const server = await kept(startOpenNats());
  const options = {
    servers: [server.url],
    auth: { kind: 'creds', text: 'hello' },
    name: 'x',
    log: silent,
  } as const;
  await expect(connectNats({ ...options, patienceMs: 0 })).rejects.toThrow(/gantry nats init/);
});

test('a break settles what is in flight at once, and each connection has a signal of its own', async () => {
  const server = await kept(startOpenNats());
  const link = await kept(connectTest(server));
  await ensureStreams({ link, names, replicas: 1, log: silent });
  const publisher = createPublisher({ link, timeoutMs: 60_000 });
  const { disconnected } = link;
  const flood = Promise.all(
    Array.from({ length: 2_000 }, () => publisher.publish(names.journalSubject, Buffer.alloc(5_000, 'x'))),
  );
  await server.stop();
  const outcomes = await flood;
  expect(outcomes.some(({ kind }) => kind === 'unknown')).toBe(true);
  expect(disconnected.aborted).toBe(true);
  expect(await publisher.publish(names.journalSubject, Buffer.from('x'))).toMatchObject({ kind: 'unknown' });
  await server.start();
  await link.whenUp(AbortSignal.timeout(10_000));
  expect(link.disconnected).not.toBe(disconnected);
  expect(link.disconnected.aborted).toBe(false);
  expect(await publisher.publish(names.journalSubject, Buffer.from('x'))).toMatchObject({ kind: 'stored' });
  publisher.close();
});

test('a server that stands still is noticed within seconds', async () => {
  const server = await kept(startOpenNats());
  const link = await kept(connectTest(server));
  process.kill(server.pid, 'SIGSTOP');
  try {
    await eventually('the break', () => link.disconnected.aborted, 12_000);
  } finally {
    process.kill(server.pid, 'SIGCONT');
  }
  await link.whenUp(AbortSignal.timeout(10_000));
});

test('a connection that is closed says so to whoever waits for it', async () => {
  const server = await kept(startOpenNats());
  const link = await connectTest(server);
  await server.stop();
  await eventually('the break', () => link.disconnected.aborted);
  const waiting = expect(link.whenUp()).rejects.toThrow(/closed/);
  await link.close();
  await waiting;
  expect(await link.closed).toBeUndefined();
});

describe('TLS', () => {
  const certify = async (directory: string): Promise<{ certFile: string; keyFile: string }> => {
    const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    const args = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
    ];
    await promisify(execFile)('openssl', [
      ...args,
      ...[
        '-subj',
        '/CN=gantry',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        keyFile,
        '-out',
        certFile,
      ],
    ]);
    return { certFile, keyFile };
  };

  test('by `gantry nats init`: with its authority it is trusted, without one refused with what to do', async () => {
    const server = await kept(
      startNats(async ({ port, storeDir, directory }) => ({
        file: (
          await initNats(directory, {
            listenHost: '127.0.0.1',
            port,
            storeDir,
            tls: await certify(directory),
          })
        ).configFile,
      })),
    );
    const { creds } = await loadNatsKeys(server.directory);
    const auth = { kind: 'creds', text: creds } as const;
    const ca = await readFile(join(server.directory, 'cert.pem'), 'utf8');
    const url = `tls://127.0.0.1:${server.port}`;
    const link = await kept(
      connectNats({ servers: [url], auth, ca, name: 'x', log: silent, patienceMs: 5_000 }),
    );
    await ensureStreams({ link, names, replicas: 1, log: silent });
    const without = connectNats({ servers: [url], auth, name: 'x', log: silent, patienceMs: 5_000 });
    await expect(without).rejects.toThrow(/certificate is not trusted/);
  });

  test('asked for where the server has none is refused, as somebody in between could have taken it away', async () => {
    const server = await kept(startOpenNats());
    const options = { servers: [`tls://127.0.0.1:${server.port}`], auth: testAuth, name: 'x', log: silent };
    await expect(connectNats(options)).rejects.toThrow(NatsUnavailable);
    await expect(connectNats(options)).rejects.toThrow(/does not speak TLS/);
  });
});

test('two static users of an existing server: agents reach neither the journal nor JetStream nor inboxes', async () => {
  const server = await kept(
    startNats(
      ({ port, storeDir }) => `listen: 127.0.0.1:${port}
jetstream { store_dir: "${storeDir}" }
authorization { users = [
  { user: coordinator, password: "c" },
  { user: agents, password: "a", permissions: { publish: ["gantry.heartbeat.*"], subscribe: ["gantry.agent.>"], allow_responses: { max: 1, expires: "1m" } } }
] }
`,
    ),
  );
  const at = { servers: [server.url], name: 'x', log: silent, patienceMs: 5_000 };
  const coordinator = await kept(
    connectNats({ ...at, auth: { kind: 'password', user: 'coordinator', password: 'c' } }),
  );
  await ensureStreams({ link: coordinator, names, replicas: 1, log: silent });
  const agent = await kept(connectNats({ ...at, auth: { kind: 'password', user: 'agents', password: 'a' } }));
  const seen: string[] = [];
  agent.onRefused((_operation, subject) => void seen.push(subject));
  for (const subject of [
    names.journalSubject,
    `$JS.API.STREAM.DELETE.${names.journalStream}`,
    '_INBOX.x',
    'gantry.leader.x',
  ])
    agent.nc.publish(subject, 'x');
  agent.nc.subscribe('_INBOX.>');
  agent.nc.subscribe(names.journalSubject);
  await eventually('the refusals', () => seen.length === 6);
  agent.nc.subscribe(names.agentSubject(agentId(1), 'assign'), {
    callback: (_error, message) => void message.respond('taken'),
  });
  await agent.nc.flush();
  const answer = await coordinator.nc.request(names.agentSubject(agentId(1), 'assign'), '', {
    timeout: 2_000,
  });
  expect(answer.string()).toBe('taken');
});
