/** What an agent may do at NATS, and what it may not, by the configuration that `gantry nats init` writes. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { agentJwt, jwtAgentAccess } from '../../coordinator/fleet/jwt-agent-access.js';
import { initNats, loadNatsKeys } from '../../coordinator/fleet/nats-credentials.js';
import { ensureStreams } from '../../coordinator/journal/nats-streams.js';
import type { AgentId } from '../../shared/model/ids.js';
import { connectNats, NatsUnavailable, type NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { createNkey } from '../../shared/nats/nkey.js';
import { eventually } from '../support/eventually.js';
import { agentId } from '../support/ids.js';
import { silent, startGantryNats, type GantryNats } from '../support/nats.js';

const names = natsNames('gantry');
const a1 = agentId(1);
const b2 = agentId(2);

let nats: GantryNats;
let coordinator: NatsLink;
const links: NatsLink[] = [];

const agent = async (...args: Parameters<GantryNats['agent']>): Promise<NatsLink> => {
  const link = await nats.agent(...args);
  links.push(link);
  return link;
};

beforeAll(async () => {
  nats = await startGantryNats();
  coordinator = await nats.coordinator();
  await ensureStreams({ link: coordinator, names, replicas: 1, log: silent });
});
afterAll(async () => {
  await Promise.all([coordinator, ...links].map((link) => link.close()));
  await nats.server.dispose();
});

/** The refusals that a connection is told about. */
function refusals(link: NatsLink): string[] {
  const seen: string[] = [];
  link.onRefused((operation, subject) => void seen.push(`${operation} ${subject}`));
  return seen;
}

describe('an agent with its own credentials', () => {
  test('answers an assignment and publishes its own heartbeat', async () => {
    const link = await agent(a1);
    link.nc.subscribe(names.agentSubject(a1, 'assign'), {
      callback: (_error, message) => void message.respond(`got ${message.string()}`),
    });
    const heard: string[] = [];
    coordinator.nc.subscribe(names.heartbeatSubject(a1), {
      callback: (_error, message) => void heard.push(message.string()),
    });
    await Promise.all([link.nc.flush(), coordinator.nc.flush()]);
    const answer = await coordinator.nc.request(names.agentSubject(a1, 'assign'), 'x', { timeout: 2_000 });
    expect(answer.string()).toBe('got x');
    link.nc.publish(names.heartbeatSubject(a1), '1');
    await eventually('the heartbeat arrives', () => heard.length === 1);
  });

  test.each([
    '>',
    names.agentSubject(b2, 'assign'),
    'gantry.agent.*.assign',
    '$JS.API.>',
    names.journalSubject,
    '_INBOX.>',
    '$SYS.>',
    '$KV.gantry-leader.>',
    'gantry.leader.>',
    names.heartbeatSubject(b2),
  ])('may not subscribe to %s', async (subject) => {
    const link = await agent(a1);
    const seen = refusals(link);
    const got: string[] = [];
    link.nc.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) got.push(message.subject);
      },
    });
    await eventually('the refusal', () => seen.includes(`subscription ${subject}`));
    const probe = subject.replace('>', 'probe').replace('*', b2);
    coordinator.nc.publish(probe, 'secret');
    await coordinator.nc.flush();
    await link.nc.flush();
    expect(got).toEqual([]);
    expect(link.disconnected.aborted).toBe(false);
  });

  test.each([
    names.heartbeatSubject(b2),
    `$JS.API.STREAM.DELETE.${names.journalStream}`,
    `$JS.API.STREAM.MSG.GET.${names.journalStream}`,
    'gantry.leader.submit',
    names.journalSubject,
    'gantry.logs.aaaaaaaaaaaaaaaa.1.1',
    '$KV.gantry-leader.leader',
    '_INBOX.abc',
    names.agentSubject(a1, 'assign'),
  ])('may not publish to %s', async (subject) => {
    const heard: string[] = [];
    const subscription = coordinator.nc.subscribe('>', {
      callback: (_error, message) => void heard.push(message.subject),
    });
    await coordinator.nc.flush();
    const link = await agent(a1);
    const seen = refusals(link);
    link.nc.publish(subject, 'x');
    await eventually('the refusal', () => seen.includes(`publish ${subject}`));
    await link.nc.flush();
    await coordinator.nc.flush();
    subscription.unsubscribe();
    expect(heard).not.toContain(subject);
    expect(link.disconnected.aborted).toBe(false);
  });

  test('may neither ask anything nor manage streams', async () => {
    const link = await agent(a1);
    const manager = await coordinator.nc.jetstreamManager();
    const before = await manager.streams.info(names.journalStream);
    await expect(link.nc.request(names.agentSubject(b2, 'assign'), 'x')).rejects.toMatchObject({
      code: 'PERMISSIONS_VIOLATION',
    });
    await expect(link.nc.jetstreamManager()).rejects.toMatchObject({ code: 'PERMISSIONS_VIOLATION' });
    await expect(link.nc.jetstream().publish(names.journalSubject, 'x')).rejects.toThrow();
    expect((await manager.streams.info(names.journalStream)).state).toEqual(before.state);
  });

  test('answers a request once: what more it says is dropped', async () => {
    const link = await agent(a1);
    const inbox = 'probe.answers';
    const heard: string[] = [];
    coordinator.nc.subscribe(inbox, { callback: (_error, message) => void heard.push(message.string()) });
    const seen = refusals(link);
    const subject = 'gantry.agent.' + a1 + '.cancel';
    link.nc.subscribe(subject, {
      callback: (_error, message) => {
        message.respond('first');
        message.respond('second');
      },
    });
    await Promise.all([link.nc.flush(), coordinator.nc.flush()]);
    coordinator.nc.publish(subject, '', { reply: inbox, headers: headers() });
    await eventually('the refusal', () => seen.length > 0);
    await coordinator.nc.flush();
    expect(heard).toEqual(['first']);
  });
});

describe('credentials', () => {
  const key = createNkey('user');
  const connect = (jwt: string, as = key): Promise<NatsLink> =>
    connectNats({
      servers: [nats.server.url],
      auth: { kind: 'jwt', jwt: () => jwt, key: as },
      name: 'stranger',
      log: silent,
    });
  const forged = (change: (body: Record<string, unknown>) => object, signer = nats.signer.key): string => {
    const body: unknown = JSON.parse(
      Buffer.from(
        agentJwt(nats.signer, { id: a1, natsUser: key.publicKey, expiresInSeconds: 60 }).split('.')[1] ?? '',
        'base64url',
      ).toString(),
    );
    const text = [
      '{"typ":"JWT","alg":"ed25519-nkey"}',
      JSON.stringify(change(body as Record<string, unknown>)),
    ]
      .map((part) => Buffer.from(part).toString('base64url'))
      .join('.');
    return `${text}.${signer.sign(Buffer.from(text)).toString('base64url')}`;
  };

  test('the forging of this test works when nothing is changed', async () => {
    const link = await connect(forged((body) => body));
    await link.close();
  });

  test.each([
    ['expired', () => forged((body) => ({ ...body, exp: Math.floor(Date.now() / 1000) - 5 }))],
    [
      'with permissions of their own under the scoped key',
      () =>
        forged((body) => ({
          ...body,
          nats: { ...(body['nats'] as object), pub: { allow: ['>'] }, sub: { allow: ['>'] } },
        })),
    ],
    [
      'signed by a key that the account does not name',
      () => {
        const other = createNkey('account');
        return forged((body) => ({ ...body, iss: other.publicKey }), other);
      },
    ],
    ["with another user's key", () => forged((body) => ({ ...body, sub: createNkey('user').publicKey }))],
  ])('%s are refused, and the error says what to do', async (_what, make) => {
    await expect(connect(make())).rejects.toThrow(/refuses these credentials.*gantry nats init/);
  });

  test('none are refused', async () => {
    const nothing = { kind: 'password', user: '', password: '' } as const;
    const options = { servers: [nats.server.url], auth: nothing, name: 'stranger', log: silent };
    await expect(connectNats(options)).rejects.toThrow(NatsUnavailable);
  });

  test('are never signed for an id or a key that is none', () => {
    const natsUser = key.publicKey;
    // What a caller without types could pass.
    const any = (text: string): AgentId => text as AgentId;
    for (const id of ['*', '>', 'a.b', '', 'a'.repeat(17), 'A'.repeat(16)])
      expect(() => agentJwt(nats.signer, { id: any(id), natsUser, expiresInSeconds: 60 })).toThrow(
        /agent id/,
      );
    for (const wrong of [
      '',
      'x',
      natsUser.replace(/^U/, 'A'),
      natsUser.slice(0, -1) + (natsUser.endsWith('A') ? 'B' : 'A'),
    ])
      expect(() => agentJwt(nats.signer, { id: a1, natsUser: wrong, expiresInSeconds: 60 })).toThrow(/nkey/);
  });

  test('that expire close the connection of an agent that was given no new ones', async () => {
    const link = await agent(a1, { expiresInSeconds: 1, closeWhenRefused: true });
    expect(await link.closed).toBeInstanceOf(Error);
  });

  test('renewed before they expire keep the agent connected', async () => {
    const access = jwtAgentAccess({ signer: nats.signer, servers: [nats.server.url], expiresInSeconds: 2 });
    const jwtNow = (): string => {
      const { credentials } = access.grant(a1, key.publicKey);
      return credentials.kind === 'jwt' ? credentials.jwt : '';
    };
    const link = await connectNats({
      servers: [nats.server.url],
      auth: { kind: 'jwt', jwt: jwtNow, key },
      name: 'agent',
      log: silent,
      closeWhenRefused: true,
    });
    links.push(link);
    const first = link.disconnected;
    await eventually('the expiry', () => first.aborted);
    await link.whenUp();
    link.nc.subscribe(names.agentSubject(a1, 'drain'), {
      callback: (_error, message) => void message.respond('yes'),
    });
    await link.nc.flush();
    const answer = await coordinator.nc.request(names.agentSubject(a1, 'drain'), '', { timeout: 2_000 });
    expect(answer.string()).toBe('yes');
  });
});

describe('gantry nats init', () => {
  const init = (changes: object = {}): ReturnType<typeof initNats> =>
    initNats(nats.server.directory, {
      listenHost: '127.0.0.1',
      port: nats.server.port,
      storeDir: join(nats.server.directory, 'store'),
      ...changes,
    });

  test('again keeps all keys and changes nothing', async () => {
    const before = await loadNatsKeys(nats.server.directory);
    const { changed, configFile } = await init();
    expect(changed).toBe(false);
    const text = await readFile(configFile, 'utf8');
    const other = await init({ port: 4999, advertise: 'ci.example.org:4999' });
    expect(other.changed).toBe(true);
    expect(await readFile(configFile, 'utf8')).toContain('client_advertise: "ci.example.org:4999"');
    expect((await init()).changed).toBe(true);
    expect(await readFile(configFile, 'utf8')).toBe(text);
    const after = await loadNatsKeys(nats.server.directory);
    expect(after.creds).toBe(before.creds);
    expect(after.signer.key.seed).toBe(before.signer.key.seed);
  });

  test('keeps keys from other users of the machine, and writes no seed into the configuration', async () => {
    const { configFile } = await init();
    const keys = join(nats.server.directory, 'keys');
    for (const [path, mode] of [
      [keys, 0o700],
      [join(keys, 'operator'), 0o700],
      [join(keys, 'agents.json'), 0o600],
      [join(keys, 'coordinator.creds'), 0o600],
      [join(keys, 'operator', 'operator.nk'), 0o600],
    ] as const)
      expect((await stat(path)).mode & 0o777).toBe(mode);
    expect(await readFile(configFile, 'utf8')).not.toMatch(/\bS[AOU][A-Z2-7]{50,}/);
  });
});
