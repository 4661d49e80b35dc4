import { randomBytes } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { connect as connectNats, credsAuthenticator, type NatsConnection, type Subscription } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isLeaseProof, issueToken } from '../../coordinator/access/tokens.js';
import { parseAgentId, type AttemptRef, type Token } from '../../shared/model/ids.js';
import { createNkey, nkeyFromSeed } from '../../shared/nats/nkey.js';
import { eventually } from '../support/eventually.js';
import { GrpcProbe, status, statusName } from '../support/grpc-probe.js';
import { agentMain, cleanEnv, makeTree, startUp, type Up } from '../support/installation.js';

/**
 * What agents may do, by their own keys and NATS users, and nobody without; `access-table.test.ts` has each method of the
 * API. The attackers here hold what an attacker could hold: no credentials, a join token, an agent's whole data directory,
 * numbers seen somewhere.
 */
interface AgentFile {
  readonly agent: string;
  readonly key: string;
  readonly natsSeed: string;
}
interface Attempt {
  readonly attempt: number;
  readonly agent: string;
  readonly token: number;
  readonly status: string;
}
interface Shown {
  readonly run: string;
  readonly status: string;
  readonly stages: readonly { readonly status: string; readonly attempts: readonly Attempt[] }[];
}

interface Proven {
  readonly token: Token;
  readonly proof: string;
}

let up: Up;
let home: string;
let tokenKey: Buffer;
let probe: GrpcProbe;
let userToken: string;

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
const base32 = (length: number): string =>
  Array.from(randomBytes(length), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('');
const userKey = createNkey('user').publicKey;

const joinToken = (change: { labels?: readonly string[]; expires?: number } = {}): string =>
  issueToken(tokenKey, {
    kind: 'join',
    id: base32(16),
    by: 'test',
    labels: change.labels ?? [],
    projects: [],
    expires: change.expires ?? inSeconds(600),
  });

/** An agent that exists by its registration alone. */
interface Imposter {
  readonly agent: string;
  readonly key: string;
  readonly instance: string;
  readonly bearer: string;
}
function imposter(): Imposter {
  const agent = base32(16);
  const key = randomBytes(32).toString('base64url');
  return { agent, key, instance: base32(16), bearer: `gantry_agent_${agent}.${key}` };
}
const registration = (of: Imposter, change: object = {}): object => ({
  agent: of.agent,
  name: 'imposter',
  instance: of.instance,
  labels: ['os=linux', 'executor=host'],
  slots: 1,
  agentKey: of.key,
  natsUser: userKey,
  version: 'test',
  ...change,
});
async function registered(): Promise<Imposter> {
  const made = imposter();
  const told = await probe.call('Fleet.Register', registration(made), joinToken());
  expect(told).toMatchObject({ code: status.OK });
  // It was never seen by a heartbeat, so nothing is leased to it.
  return made;
}

const show = async (run: string): Promise<Shown> => (await up.json(['show', run])) as Shown;

/** A stage of agent-1 that runs until `release` is called. */
async function heldRun(): Promise<{
  readonly run: string;
  readonly ref: { readonly run: string; readonly stage: number; readonly attempt: number };
  readonly token: number;
  release(): Promise<void>;
}> {
  const go = join(home, `go-${base32(8)}`);
  const dir = await makeTree({
    '.gantry.yml': `stages:\n  other:\n    steps: ["true"]\n  hold:\n    steps:\n      - 'echo begins; while [ ! -e ${go} ]; do sleep 0.05; done; echo ends'\n`,
  });
  const { run } = (await up.json(['submit', dir])) as { run: string };
  await rm(dir, { recursive: true, force: true });
  const attempt = await eventually(
    'the stage runs',
    async () => (await show(run)).stages[1]?.attempts.find((one) => one.status === 'running'),
    30_000,
  );
  return {
    run,
    ref: { run, stage: 2, attempt: attempt.attempt },
    token: attempt.token,
    release: () => writeFile(go, ''),
  };
}

const agentFile = async (): Promise<AgentFile> =>
  JSON.parse(await readFile(join(up.data, 'agents', 'agent-1', 'identity.json'), 'utf8')) as AgentFile;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'gantry-access-'));
  up = await startUp(['--executor', 'host', '--agents', '1', '--slots', '2']);
  tokenKey = Buffer.from((await readFile(join(up.data, 'keys', 'token.key'), 'utf8')).trim(), 'hex');
  probe = new GrpcProbe(up.grpc);
  userToken = issueToken(tokenKey, { kind: 'user', name: 'somebody' });
});
afterAll(async () => {
  probe.close();
  await up.stop();
  await rm(home, { recursive: true, force: true });
});

describe('joining', () => {
  it('needs a token that has not expired', async () => {
    const told = await probe.call(
      'Fleet.Register',
      registration(imposter()),
      joinToken({ expires: inSeconds(-1) }),
    );
    expect(told.code).toBe(status.UNAUTHENTICATED);
    expect(told.details).toContain('expired');
    expect(told.details).toContain('gantry agents token');
  });

  it('with a token for some labels allows those and the detected ones, no other', async () => {
    const labels = ['os=linux', 'arch=amd64', 'executor=host'];
    const token = joinToken({ labels: ['gpu', 'site=berlin'] });
    const made = imposter();
    const allowed = await probe.call(
      'Fleet.Register',
      registration(made, { labels: [...labels, 'gpu', 'site=berlin'] }),
      token,
    );
    expect(statusName(allowed.code)).toBe('OK');
    for (const label of ['release', 'site=paris', 'gpu=2']) {
      const told = await probe.call(
        'Fleet.Register',
        registration(imposter(), { labels: [...labels, label] }),
        token,
      );
      expect(told.code, label).toBe(status.PERMISSION_DENIED);
      expect(told.details).toContain(label);
    }
    // Nor by the back door: registered once, it may not give itself more.
    const later = await probe.call(
      'Fleet.Register',
      registration(made, { labels: [...labels, 'gpu', 'release'] }),
      made.bearer,
    );
    expect(later.code).toBe(status.PERMISSION_DENIED);
  });

  it('does not take over an agent that exists under another key', async () => {
    const made = await registered();
    const thief = { ...made, key: randomBytes(32).toString('base64url') };
    const told = await probe.call('Fleet.Register', registration(thief), joinToken());
    expect(told.code).toBe(status.PERMISSION_DENIED);
    expect(told.details).toContain('another key');
    // Another agent's key does not help either.
    const other = await registered();
    const byOther = await probe.call('Fleet.Register', registration(made), other.bearer);
    expect(byOther.code).toBe(status.PERMISSION_DENIED);
  });
});

describe('an attempt', () => {
  it('belongs to the agent that holds it: its token number helps nobody else', async () => {
    const held = await heldRun();
    const thief = await registered();
    const lease = { ref: held.ref, token: held.token };
    const objects = [
      { source: true },
      { putLog: 1 },
      { putLogIndex: 1 },
      { putManifest: true },
      { putArtifact: { number: 1, bytes: 10 } },
      { putArtifact: { number: 1, bytes: -1, firstPart: 1, parts: 1 } },
      { getManifest: 1 },
      { getArtifact: { stage: 1, number: 1 } },
    ];
    for (const object of objects) {
      const told = await probe.call('Fleet.Presign', { ...lease, ...object }, thief.bearer);
      expect(statusName(told.code), JSON.stringify(object)).toBe('PERMISSION_DENIED');
      expect(told.answer, JSON.stringify(object)).toBeUndefined();
    }
    const finish = { ...lease, artifact: 1, uploadId: 'x', abort: true };
    expect((await probe.call('Fleet.FinishUpload', finish, thief.bearer)).code).toBe(
      status.PERMISSION_DENIED,
    );

    const hello = { hello: { agent: thief.agent, instance: thief.instance } };
    const link = await probe.link(hello, thief.bearer);
    link.send({
      log: { ...lease, step: 1, offset: 0, bytes: Buffer.from('written by a thief\n'), ageMs: 0 },
    });
    await link.until('the chunk is refused', (message) => message['message'] === 'report');
    const report = { ...lease, ageMs: 0, attemptFinished: { status: 'failed', logs: [] } };
    // Whatever number it guesses.
    for (const n of [1, 2, 3, 4, 5]) link.send({ report: { ...report, n } });
    await eventually(
      'every report is answered, or the link ended',
      () => link.answers.length >= 7 || link.end !== undefined,
    );
    // A welcome, and then not one word that acknowledges or asks for anything.
    const [welcome, ...refusals] = link.answers;
    expect(welcome).toMatchObject({ message: 'welcome' });
    for (const refusal of refusals) {
      expect(refusal['report']).toEqual({
        ref: held.ref,
        overtaken: expect.stringContaining('does not hold attempt') as unknown,
      });
    }
    link.close();
    // To say that one is another agent is refused as well.
    const holder = await agentFile();
    const posing = await probe.call(
      'AgentLink.Open',
      { hello: { agent: holder.agent, instance: thief.instance } },
      thief.bearer,
    );
    expect(posing.code).toBe(status.PERMISSION_DENIED);

    const still = (await show(held.run)).stages[1]?.attempts ?? [];
    expect(still.map((one) => one.status)).toEqual(['running']);
    await held.release();
    expect((await up.gantry(['wait', held.run])).code).toBe(0);
    const log = await up.gantry(['logs', held.run, 'hold', '1', '--raw']);
    expect(log.stdout).toBe('begins\nends\n');
  });

  it('opens to its holder what is its own, and not the artifacts of a stage that it does not need', async () => {
    const held = await heldRun();
    const { agent, key } = await agentFile();
    const bearer = `gantry_agent_${agent}.${key}`;
    const lease = { ref: held.ref, token: held.token };
    const own = await probe.call('Fleet.Presign', { ...lease, source: true }, bearer);
    expect(statusName(own.code)).toBe('OK');
    const refusals = [
      { ...lease, getManifest: 1 },
      { ...lease, getArtifact: { stage: 1, number: 1 } },
      { ...lease, token: held.token + 1, source: true },
      { ...lease, token: held.token - 1, source: true },
      { ...lease, ref: { ...held.ref, attempt: 2 }, source: true },
      { ...lease, ref: { ...held.ref, stage: 1 }, source: true },
    ];
    for (const refusal of refusals) {
      const told = await probe.call('Fleet.Presign', refusal, bearer);
      expect(statusName(told.code), JSON.stringify(refusal)).toBe('PERMISSION_DENIED');
    }
    await held.release();
    expect((await up.gantry(['wait', held.run])).code).toBe(0);
    // It has ended: nothing of it may be changed but its logs.
    const late = await probe.call('Fleet.Presign', { ...lease, putManifest: true }, bearer);
    expect(late.code).toBe(status.PERMISSION_DENIED);
  });
});

describe('NATS', () => {
  const open: NatsConnection[] = [];
  const marker = `attack ${base32(16)}`;
  /** A subject that would be heard by somebody, or answered with something. */
  const forbidden = (other: string): readonly string[] => [
    'gantry.journal',
    'gantry.leader.submit',
    `gantry.agent.${other}.assign`,
    `gantry.agent.${other}.cancel`,
    `gantry.heartbeat.${other}`,
    'gantry.logs.aaaaaaaaaaaaaaaa.1.1',
    'gantry.runs.aaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaa',
    '$JS.API.STREAM.DELETE.JOURNAL',
    '$JS.API.STREAM.PURGE.JOURNAL',
    '$JS.API.STREAM.MSG.GET.JOURNAL',
    '$JS.API.DIRECT.GET.JOURNAL',
    '$JS.API.STREAM.NAMES',
    '$JS.API.CONSUMER.CREATE.JOURNAL',
    '$JS.API.STREAM.MSG.GET.OBJ_gantry-plans',
    '$JS.API.STREAM.MSG.GET.KV_gantry-secrets',
    '$JS.API.STREAM.MSG.GET.KV_gantry-access',
    '$JS.API.DIRECT.GET.KV_gantry-access.$KV.gantry-access.user.x',
    '$JS.API.STREAM.DELETE.OBJ_gantry-plans',
    '$O.gantry-plans.M.x',
    '$KV.gantry-secrets.x',
    '$KV.gantry-access.user.x',
    '$SYS.REQ.SERVER.PING',
  ];
  const unheard = (other: string): readonly string[] => [
    '>',
    'gantry.>',
    'gantry.journal',
    'gantry.logs.>',
    'gantry.heartbeat.*',
    'gantry.agent.*.assign',
    `gantry.agent.${other}.assign`,
    '$O.gantry-plans.>',
    '$KV.gantry-secrets.>',
    '$KV.gantry-access.>',
    '$JS.API.>',
    '_INBOX.>',
    '$SYS.>',
  ];

  async function asCoordinator(): Promise<NatsConnection> {
    const creds = await readFile(join(up.data, 'keys', 'coordinator.creds'));
    const nc = await connectNats({ servers: up.nats, authenticator: credsAuthenticator(creds) });
    open.push(nc);
    return nc;
  }

  async function nextHeartbeat(nc: NatsConnection, agent: string): Promise<string> {
    const beats = nc.subscribe(`gantry.heartbeat.${agent}`, { max: 1 });
    for await (const beat of beats) return beat.string();
    throw new Error('the connection ended before a heartbeat came');
  }

  async function streams(nc: NatsConnection): Promise<Readonly<Record<string, number>>> {
    const manager = await nc.jetstreamManager();
    const all = await manager.streams.list().next();
    return Object.fromEntries(all.map((stream) => [stream.config.name, stream.state.first_seq]));
  }

  afterAll(async () => {
    for (const nc of open) await nc.close();
  });

  it('lets nobody in without credentials, or with ones of another installation', async () => {
    for (const auth of [{}, { user: 'gantry', pass: 'gantry' }, { token: userToken }]) {
      await expect(connectNats({ servers: up.nats, reconnect: false, ...auth })).rejects.toMatchObject({
        code: 'AUTHORIZATION_VIOLATION',
      });
    }
    const foreign = nkeyFromSeed((await agentFile()).natsSeed);
    await expect(
      connectNats({
        servers: up.nats,
        reconnect: false,
        authenticator: (nonce) => ({
          jwt: 'eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.AAAA',
          nkey: foreign.publicKey,
          sig: foreign.sign(Buffer.from(nonce ?? '')).toString('base64url'),
        }),
      }),
    ).rejects.toMatchObject({ code: 'AUTHORIZATION_VIOLATION' });
  });

  it('carries the proof of a lease to the agent and back', async () => {
    const nc = await asCoordinator();
    const held = await heldRun();
    const { agent } = await agentFile();
    const beat = await eventually('a heartbeat names the attempt', async () => {
      const text = await nextHeartbeat(nc, agent);
      return text.includes(held.run) ? (JSON.parse(text) as { held: (AttemptRef & Proven)[] }) : undefined;
    });
    const { token, proof, ...ref } = beat.held.find(({ run }) => run === held.run)!;
    expect(isLeaseProof(tokenKey, { agent: parseAgentId(agent)!, ref, token }, proof)).toBe(true);
    await held.release();
    expect((await up.gantry(['wait', held.run])).code).toBe(0);
  });

  it('lets an agent speak and hear on its own subjects only', async () => {
    const watcher = await asCoordinator();
    const coordinatorPid = (await up.daemons()).find(({ name }) => name === 'coordinator')?.pid;
    const before = await streams(watcher);
    expect(Object.keys(before)).toEqual(
      expect.arrayContaining(['JOURNAL', 'LOGS', 'RUNS', 'OBJ_gantry-plans']),
    );
    const overheard: string[] = [];
    const listening: Subscription[] = ['gantry.>', '$JS.API.>', '$O.>', '$KV.>'].map((subject) =>
      watcher.subscribe(subject, {
        callback: (_error, message) => {
          if (message.string().includes(marker)) overheard.push(message.subject);
        },
      }),
    );
    await watcher.flush();

    const { agent, key, natsSeed } = await agentFile();
    const other = (await registered()).agent;
    const user = nkeyFromSeed(natsSeed);
    const access = await probe.call(
      'Fleet.Renew',
      { natsUser: user.publicKey },
      `gantry_agent_${agent}.${key}`,
    );
    const jwt = (access.answer as { jwt: string }).jwt;
    const nc = await connectNats({
      servers: up.nats,
      authenticator: (nonce) => ({
        jwt,
        nkey: user.publicKey,
        sig: user.sign(Buffer.from(nonce ?? '')).toString('base64url'),
      }),
    });
    open.push(nc);
    const refused: string[] = [];
    void (async () => {
      for await (const one of nc.status()) {
        if (one.permissionContext !== undefined)
          refused.push(`${one.permissionContext.operation} ${one.permissionContext.subject}`);
      }
    })();

    for (const subject of forbidden(other)) {
      // Answers to its own subject, which it may hear.
      nc.publish(subject, marker, { reply: `gantry.agent.${agent}.answers` });
      await nc.flush();
      await eventually(`publishing to ${subject} is refused`, () => refused.includes(`publish ${subject}`));
    }
    for (const subject of unheard(other)) {
      nc.subscribe(subject, { callback: () => undefined });
      await nc.flush();
      await eventually(`subscribing ${subject} is refused`, () =>
        refused.some((one) => one.startsWith(`subscription ${subject}`)),
      );
    }
    // A lease that nobody gave out is believed to nobody: the coordinator would stop to lead if it were.
    const { instance } = JSON.parse(await nextHeartbeat(watcher, agent)) as { instance: string };
    const held = [{ run: 'a'.repeat(16), stage: 1, attempt: 1, token: 1_000_000_000, proof: 'x'.repeat(43) }];
    const lie = { slots: 2, linked: true, away: false, load: 0, mirrors: [], held, version: '1' };
    nc.publish(`gantry.heartbeat.${agent}`, JSON.stringify({ agent, instance, number: 1_000_000, ...lie }));
    await nc.flush();
    await eventually('the coordinator says what it thinks of it', async () =>
      (await up.logOf('coordinator')).includes('was never leased'),
    );
    expect((await up.daemons()).find(({ name }) => name === 'coordinator')?.pid).toBe(coordinatorPid);

    // What it may send makes nobody answer to a subject of its choice.
    const beat = JSON.stringify({ agent, note: marker });
    for (const reply of ['gantry.journal', '$JS.API.STREAM.DELETE.OBJ_gantry-plans'])
      nc.publish(`gantry.heartbeat.${agent}`, beat, { reply });
    await nc.flush();
    await eventually(
      'the heartbeats came through',
      () => overheard.filter((subject) => subject === `gantry.heartbeat.${agent}`).length === 2,
    );
    // A round through the coordinator: what it would have answered to the heartbeats it has answered by now.
    expect((await up.gantry(['runs'])).code).toBe(0);
    await watcher.flush();
    expect(overheard.filter((subject) => subject !== `gantry.heartbeat.${agent}`)).toEqual([]);
    expect(Object.keys(await streams(watcher))).toEqual(Object.keys(before));
    for (const one of listening) one.unsubscribe();
    // The agent whose name was abused goes on.
    const dir = await makeTree({ '.gantry.yml': 'stages:\n  only:\n    steps: ["true"]\n' });
    const followed = await up.gantry(['submit', dir, '--follow']);
    await rm(dir, { recursive: true, force: true });
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
  });
});

describe('a cloned machine', () => {
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  });

  function startAgent(data: string): { child: ChildProcess; said(): string; ended: Promise<number | null> } {
    const child = spawn(
      process.execPath,
      [
        agentMain,
        ...['--coordinator', up.grpc, '--data', data, '--name', 'clone'],
        ...['--executor', 'host', '--label', 'cloned'],
      ],
      { env: cleanEnv({ GANTRY_TOKEN: joinToken(), HOME: home }), stdio: ['ignore', 'ignore', 'pipe'] },
    );
    children.push(child);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    return {
      child,
      said: () => said,
      ended: new Promise((resolve) => child.once('exit', (code) => resolve(code))),
    };
  }

  it('leaves the id to the newest process; the older one stops and says why', async () => {
    const first = join(home, 'first');
    const second = join(home, 'second');
    await mkdir(first, { mode: 0o700 });
    const older = startAgent(first);
    await eventually('the first is ready', () => older.said().includes('agent ready'), 30_000);
    await mkdir(second, { mode: 0o700 });
    await cp(join(first, 'identity.json'), join(second, 'identity.json'));
    const newer = startAgent(second);
    await eventually('the second is ready', () => newer.said().includes('agent ready'), 30_000);
    const code = await Promise.race([
      older.ended,
      new Promise<string>((resolve) => setTimeout(() => resolve('runs on'), 20_000).unref()),
    ]);
    expect(code, older.said()).toBe(3);
    expect(older.said()).toContain('another process has registered');
    expect(older.said()).toContain('identity.json');
    // The newer one works: it alone offers the label.
    const dir = await makeTree({
      '.gantry.yml': 'stages:\n  only:\n    agents: [cloned]\n    steps: ["true"]\n',
    });
    const followed = await up.gantry(['submit', dir, '--follow']);
    await rm(dir, { recursive: true, force: true });
    expect(followed.code, followed.stdout + followed.stderr).toBe(0);
    expect(newer.child.exitCode).toBeNull();
    // SIGTERM twice, as `gantry down` does, ends it for good.
    newer.child.kill('SIGTERM');
    expect(await newer.ended, newer.said()).toBe(0);
  });

  it('that uses the very same data directory is refused at once', async () => {
    const data = join(home, 'one');
    await mkdir(data, { mode: 0o700 });
    const holder = startAgent(data);
    await eventually('the agent is ready', () => holder.said().includes('agent ready'), 30_000);
    const doubled = startAgent(data);
    expect(await doubled.ended, doubled.said()).toBe(2);
    expect(doubled.said()).toContain('another agent uses the data directory');
    expect(holder.child.exitCode).toBeNull();
    holder.child.kill('SIGTERM');
    expect(await holder.ended).toBe(0);
  });
});

describe('what tools of the field ask', () => {
  // By hand-made messages: any client of the field sends these bytes.
  const client = (): Client => new Client(up.grpc, credentials.createInsecure());

  it('is answered: health', async () => {
    const asking = client();
    const answer = await new Promise<unknown>((resolve, reject) => {
      asking.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        () => Buffer.alloc(0),
        (bytes) => bytes,
        {},
        (error, value) => (error === null ? resolve(value) : reject(error)),
      );
    });
    asking.close();
    // Field 1, status 1: SERVING.
    expect(answer).toEqual(Buffer.from([8, 1]));
  });

  it('is answered: reflection names every service', async () => {
    const asking = client();
    const stream = asking.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      // `list_services`, field 7, with any text.
      () => Buffer.from([0x3a, 1, 0x2a]),
      (bytes) => bytes.toString('latin1'),
    );
    const named = await new Promise<unknown>((resolve, reject) => {
      stream.once('data', resolve);
      stream.once('error', reject);
      stream.write({});
    });
    stream.end();
    asking.close();
    for (const service of ['Runs', 'Projects', 'Access', 'Fleet', 'AgentLink'])
      expect(named).toContain(`gantry.v1.${service}`);
  });
});
