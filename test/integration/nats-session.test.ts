/** The agent's session against a real NATS server and a coordinator at the protocol. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { createSession } from '../../agent/session/create-session.js';
import { agentBearer, loadIdentity, type Identity } from '../../agent/session/identity.js';
import { SessionRefused, type Session, type SessionHandlers } from '../../agent/session/session.js';
import { natsDispatcher, type NatsDispatcher } from '../../coordinator/dispatch/nats-dispatcher.js';
import { jwtAgentAccess } from '../../coordinator/fleet/jwt-agent-access.js';
import type { AssignAnswer, Assignment, Heartbeat } from '../../shared/model/agent.js';
import { parseAgentId, type AttemptRef } from '../../shared/model/ids.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import type { AgentMessage__Output } from '../../shared/wire/gen/gantry/v1/AgentMessage.js';
import { assignment } from '../support/assignment.js';
import { eventually } from '../support/eventually.js';
import {
  Refusal,
  startFakeCoordinator,
  turnAway,
  type Answers,
  type FakeCoordinator,
  type LinkStream,
} from '../support/fake-coordinator.js';
import { runId, token } from '../support/ids.js';
import { freePort, silent, startGantryNats, type GantryNats } from '../support/nats.js';

const names = natsNames('gantry');
const joinToken = 'gantry_join_x.y';
const ref: AttemptRef = { run: runId(1), stage: 1, attempt: 1 };
const never = new AbortController().signal;

let nats: GantryNats;
let natsLink: NatsLink;
let dispatcher: NatsDispatcher;
let coordinator: FakeCoordinator | undefined;
let directory: string;
let identity: Identity;
let session: Session | undefined;
const heard: Heartbeat[] = [];
const events: string[] = [];
const received: AgentMessage__Output[] = [];
const streams: LinkStream[] = [];
const registered: string[] = [];
let renewals = 0;
let held: readonly {
  run: AttemptRef['run'];
  stage: number;
  attempt: number;
  token: ReturnType<typeof token>;
}[] = [];
let onAssign: (assignment: Assignment) => Promise<AssignAnswer>;
let answers: Answers;
let expiresInSeconds: number;

beforeEach(async () => {
  heard.length = events.length = received.length = streams.length = registered.length = 0;
  renewals = 0;
  held = [];
  expiresInSeconds = 600;
  onAssign = () => Promise.resolve({ kind: 'accepted', heartbeat: session?.heartbeatNumber ?? 0 });
  nats = await startGantryNats();
  natsLink = await nats.coordinator();
  dispatcher = natsDispatcher({ link: natsLink, names, log: silent });
  dispatcher.onHeartbeat((heartbeat) => void heard.push(heartbeat));
  directory = await mkdtemp(join(tmpdir(), 'gantry-session-'));
  identity = await loadIdentity(directory);
  const access = (natsUser: string): { servers: string[]; jwt: string; expiresInMs: number } => {
    const grants = jwtAgentAccess({ signer: nats.signer, servers: [nats.server.url], expiresInSeconds });
    const { credentials } = grants.grant(identity.agent, natsUser);
    if (credentials.kind !== 'jwt') throw new Error('expected a JWT');
    return { servers: [nats.server.url], jwt: credentials.jwt, expiresInMs: credentials.expiresInMs };
  };
  answers = {
    register(request, bearer) {
      registered.push(bearer);
      if (bearer !== joinToken && !(registered.includes(joinToken) && bearer === agentBearer(identity)))
        throw new Refusal(
          status.UNAUTHENTICATED,
          'the token is wrong: make a new one with `gantry agents token`',
        );
      expect(parseAgentId(request.agent ?? '')).toBe(identity.agent);
      return {
        nats: access(request.natsUser ?? ''),
        subjectPrefix: 'gantry',
        heartbeatMs: 100,
        coordinator: 'fake',
      };
    },
    renew(natsUser, bearer) {
      expect(bearer).toBe(agentBearer(identity));
      renewals++;
      return access(natsUser);
    },
    presign: () => ({ urls: [] }),
    finishUpload: () => undefined,
    link(stream, bearer) {
      expect(bearer).toBe(agentBearer(identity));
      streams.push(stream);
      stream.on('data', (message: AgentMessage__Output) => {
        received.push(message);
        if (message.message === 'hello') stream.write({ welcome: { coordinator: 'fake' } });
      });
    },
  };
});
afterEach(async () => {
  await session?.close();
  session = undefined;
  coordinator?.stop();
  coordinator = undefined;
  await natsLink.close();
  await nats.server.dispose();
  await rm(directory, { recursive: true, force: true });
});

const handlers: SessionHandlers = {
  assign: (what) => onAssign(what),
  end: (_ref, _token, why, by) => void events.push(`end ${why} by ${by}`),
  drain: (draining) => void events.push(`drain ${draining}`),
  linkUp: () => void events.push('up'),
  linkDown: () => void events.push('down'),
  reportsAcknowledged: (_ref, n) => void events.push(`acknowledged ${n}`),
  reportsWanted: (_ref, n) => void events.push(`wanted ${n}`),
  overtaken: (_ref, reason) => void events.push(`overtaken: ${reason}`),
  logAcknowledged: (_ref, step, offset) => void events.push(`log ${step} ${offset}`),
  heartbeat: () => ({
    slots: 2,
    linked: session?.linked ?? false,
    away: false,
    load: 0,
    mirrors: [],
    held,
    version: '1',
  }),
  held: () => held,
  refused: (reason) => void events.push(`refused: ${reason}`),
};

interface Made {
  readonly withToken?: string | undefined;
  readonly port?: number;
}
async function make({ withToken = joinToken, port }: Made = {}): Promise<Session> {
  if (port === undefined) coordinator = await startFakeCoordinator(answers);
  session = createSession({
    coordinator: { address: coordinator?.address ?? `127.0.0.1:${port ?? 0}`, insecure: true },
    ...(withToken === '' ? {} : { joinToken: withToken }),
    identity,
    name: 'a',
    labels: ['os=linux'],
    slots: 2,
    version: '1',
    log: silent,
  });
  return session;
}
async function start(made: Made = {}): Promise<Session> {
  const it = await make(made);
  await it.start(handlers, never);
  await eventually('the link', () => it.linked);
  return it;
}

describe('a session', () => {
  test('registers, numbers its heartbeats from 1, links and answers an assignment', async () => {
    held = [{ ...ref, token: token(7) }];
    const given: Assignment[] = [];
    onAssign = (what) => {
      given.push(what);
      return Promise.resolve({ kind: 'accepted', heartbeat: 3 });
    };
    await start();
    expect(registered).toEqual([joinToken]);
    await eventually('five heartbeats', () => heard.length >= 5);
    expect(heard.map(({ number }) => number)).toEqual(heard.map((_none, index) => index + 1));
    expect(heard[0]).toMatchObject({ agent: identity.agent, instance: identity.instance, held, slots: 2 });
    expect(received[0]?.hello).toMatchObject({ agent: identity.agent, instance: identity.instance });
    expect(received[0]?.hello?.attempts).toEqual([{ ref, token: 7 }]);
    expect(await dispatcher.assign(identity.agent, assignment())).toEqual({ kind: 'accepted', heartbeat: 3 });
    expect(given).toEqual([assignment()]);
    await dispatcher.end(identity.agent, { ref, token: token(1), why: 'canceled', by: 'ann' });
    await dispatcher.drain(identity.agent, true);
    expect(events).toEqual(['up', 'end canceled by ann', 'drain true']);
  });

  test('refuses what it cannot take or does not understand, and goes on', async () => {
    onAssign = () => Promise.reject(new Error('no space left on device'));
    await start();
    const refusal = await dispatcher.assign(identity.agent, assignment());
    expect(refusal.kind).toBe('refused');
    expect(JSON.stringify(refusal)).toContain('no space left');
    const strange = JSON.stringify({ ...assignment(), source: { kind: 'teleport' } });
    const answer = await natsLink.nc.request(names.agentSubject(identity.agent, 'assign'), strange);
    expect(answer.string()).toMatch(/"refused".*source/);
    await natsLink.nc.request(names.agentSubject(identity.agent, 'cancel'), '{"why":"felt like it"}');
    await natsLink.nc.request(names.agentSubject(identity.agent, 'drain'), 'no JSON');
    expect(events).toEqual(['up']);
  });

  test('sends heartbeats at once when asked, several wishes of one turn as one', async () => {
    const it = await start();
    await eventually('a heartbeat', () => heard.length > 0);
    const before = it.heartbeatNumber;
    for (let n = 0; n < 20; n++) it.heartbeatNow();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(it.heartbeatNumber - before).toBeLessThanOrEqual(2);
    await eventually('it arrives', () => heard.some(({ number }) => number === before + 1));
  });

  test('brings reports up and answers down', async () => {
    const it = await start();
    const at = Date.now() - 5_000;
    expect(
      it.report({ ref, token: token(1), n: 1, at, report: { kind: 'StepStarted', step: 1, shell: 'bash' } }),
    ).toBe(true);
    expect(it.log({ ref, token: token(1), step: 2, offset: 10, bytes: Buffer.from([0, 255, 10]), at })).toBe(
      true,
    );
    it.progress({ ref, token: token(1), activity: 'pulling', fraction: 0.5 });
    await eventually('all three', () => received.length === 4);
    expect(received[1]?.report).toMatchObject({
      ref,
      token: 1,
      n: 1,
      stepStarted: { step: 1, shell: 'bash' },
    });
    expect(received[1]?.report?.ageMs).toBeGreaterThanOrEqual(5_000);
    expect(received[2]?.log).toMatchObject({ ref, step: 2, offset: 10, bytes: Buffer.from([0, 255, 10]) });
    expect(received[3]?.progress).toMatchObject({ activity: 'pulling', fraction: 0.5 });
    const [stream] = streams;
    stream?.write({ report: { ref, acknowledged: 1 } });
    stream?.write({ report: { ref, wanted: 3 } });
    stream?.write({ report: { ref, overtaken: 'a newer attempt' } });
    stream?.write({ log: { ref, step: 2, offset: 13 } });
    stream?.write({ report: { ref: { run: 'bad' }, acknowledged: 1 } });
    stream?.write({ end: { ref, token: 1, why: 'overtaken', by: 'x' } });
    await eventually('the last', () => events.includes('end overtaken by x'));
    expect(events).toEqual([
      'up',
      'acknowledged 1',
      'wanted 3',
      'overtaken: a newer attempt',
      'log 2 13',
      'end overtaken by x',
    ]);
  });

  test('does not buffer without bound when the coordinator does not read', async () => {
    answers = {
      ...answers,
      link(stream) {
        streams.push(stream);
        stream.once('data', () => {
          stream.pause();
          stream.write({ welcome: {} });
        });
      },
    };
    const it = await start();
    const bytes = Buffer.alloc(64 * 1024);
    let offset = 0;
    const send = (): boolean => {
      const taken = it.log({ ref, token: token(1), step: 1, offset, bytes, at: Date.now() });
      if (taken) offset += bytes.length;
      return taken;
    };
    // Until nothing is taken any more although it was waited for room.
    for (;;) {
      while (send());
      const room = await it.drained(AbortSignal.timeout(500)).then(
        () => true,
        () => false,
      );
      if (!room) break;
    }
    expect(offset).toBeGreaterThan(64 * 1024);
    expect(offset).toBeLessThan(6 * 1024 * 1024);
    const before = offset;
    streams[0]?.on('data', () => undefined);
    streams[0]?.resume();
    await it.drained(AbortSignal.timeout(5_000));
    while (send());
    expect(offset).toBeGreaterThan(before);
  });
});

describe('a coordinator', () => {
  test('that is not there yet is waited for', async () => {
    const port = await freePort();
    const it = await make({ port });
    const started = it.start(handlers, never);
    await new Promise((resolve) => setTimeout(resolve, 300));
    coordinator = await startFakeCoordinator(answers, port);
    await started;
    await eventually('the link', () => it.linked);
  });

  test('that is not there can be given up', async () => {
    const it = await make({ port: await freePort() });
    await expect(it.start(handlers, AbortSignal.timeout(300))).rejects.toThrow();
  });

  test('that dies and comes back is linked again, and heartbeats go on meanwhile', async () => {
    const it = await start();
    const port = Number(coordinator?.address.split(':')[1]);
    coordinator?.stop();
    await eventually('down', () => events.includes('down'));
    expect(it.report({ ref, token: token(1), n: 1, at: 0, report: { kind: 'LogsArchived' } })).toBe(false);
    const before = heard.length;
    await eventually('heartbeats', () => heard.length > before + 3);
    expect(heard.at(-1)?.linked).toBe(false);
    const presigned = it.presign(ref, token(1), { kind: 'put-manifest' }, never);
    answers = { ...answers, presign: () => ({ urls: [{ url: 'http://s3/x?sig=1' }] }) };
    coordinator = await startFakeCoordinator(answers, port);
    await eventually('up again', () => events.join().endsWith('up,down,up'));
    expect((await presigned).reveal()).toBe('http://s3/x?sig=1');
    expect(registered).toHaveLength(1);
  });

  test('that refuses the join token rejects the start with its words', async () => {
    const it = await make({ withToken: 'gantry_join_wrong.y' });
    await expect(it.start(handlers, never)).rejects.toThrow(/token is wrong: make a new one/);
  });

  test('knows an agent that has registered before by its key, without a token or with an expired one', async () => {
    await start();
    await session?.close();
    await start({ withToken: '' });
    await session?.close();
    await start({ withToken: 'gantry_join_expired.y' });
    expect(registered).toEqual([
      joinToken,
      agentBearer(identity),
      'gantry_join_expired.y',
      agentBearer(identity),
    ]);
  });

  test('that forgot the agent gets a new registration', async () => {
    let turned = false;
    const before = answers;
    answers = {
      ...answers,
      link(stream, bearer) {
        if (turned) {
          before.link(stream, bearer);
          return;
        }
        turned = true;
        turnAway(stream, status.UNAUTHENTICATED, 'not registered with this key');
      },
    };
    await start();
    expect(registered).toEqual([joinToken, joinToken]);
    expect(events).toEqual(['up']);
  });

  test('that has a newer process of this agent turns the older one away for good', async () => {
    await start();
    const before = answers;
    const port = Number(coordinator?.address.split(':')[1]);
    coordinator?.stop();
    answers = {
      ...answers,
      link(stream, bearer) {
        before.link(stream, bearer);
        turnAway(stream, status.FAILED_PRECONDITION, 'another process registered as this agent');
      },
    };
    coordinator = await startFakeCoordinator(answers, port);
    await eventually('the refusal', () =>
      events.includes('refused: another process registered as this agent'),
    );
    expect(registered).toHaveLength(1);
  });

  test('that ends the stream for a message on it is linked again: the agent goes on', async () => {
    const it = await start();
    const [stream] = streams;
    if (stream === undefined) throw new Error('no stream');
    turnAway(stream, status.FAILED_PRECONDITION, 'a report that cannot be');
    await eventually('up again', () => events.join() === 'up,down,up');
    expect(it.linked).toBe(true);
    expect(registered).toHaveLength(1);
  });

  test('says no to a URL: the caller hears it at once', async () => {
    answers = {
      ...answers,
      presign: () => {
        throw new Refusal(status.PERMISSION_DENIED, 'the agent does not hold this attempt');
      },
    };
    const it = await start();
    await expect(it.presign(ref, token(1), { kind: 'source' }, never)).rejects.toThrow(SessionRefused);
  });

  test('signs the parts of an upload in batches, for one upload only', async () => {
    const uploads = new Set<string>();
    const asked: number[] = [];
    const finished: unknown[] = [];
    answers = {
      ...answers,
      presign({ putArtifact }) {
        const { firstPart = 0, parts = 0, uploadId = '' } = putArtifact ?? {};
        asked.push(parts);
        const id = uploadId === '' ? `u${uploads.size + 1}` : uploadId;
        uploads.add(id);
        return {
          uploadId: id,
          urls: Array.from({ length: parts }, (_none, index) => ({ url: `http://s3/${firstPart + index}` })),
        };
      },
      finishUpload: (request) => void finished.push(request),
    };
    const it = await start();
    const grant = it.upload(ref, token(1), { number: 3, bytes: 1_000_000_000 });
    const [first, second] = await Promise.all([grant.parts(1, 2, never), grant.parts(3, 45, never)]);
    expect([...first, ...second].map((url) => url.reveal())).toEqual(
      Array.from({ length: 47 }, (_none, index) => `http://s3/${index + 1}`),
    );
    expect(asked).toEqual([2, 20, 20, 5]);
    expect([...uploads]).toEqual(['u1']);
    await grant.finish(['a', 'b'], never);
    expect(finished).toMatchObject([{ ref, token: 1, artifact: 3, uploadId: 'u1', etags: ['a', 'b'] }]);
  });
});

describe('NATS', () => {
  test('credentials are renewed before they expire: no heartbeat number is left out', async () => {
    expiresInSeconds = 2;
    await start();
    await eventually('three renewals', () => renewals >= 3, 15_000);
    expect(registered).toHaveLength(1);
    expect(heard.map(({ number }) => number)).toEqual(heard.map((_none, index) => index + 1));
    // In the middle of a change of connections nobody listens for some milliseconds.
    await eventually(
      'an answer',
      async () => (await dispatcher.assign(identity.agent, assignment())).kind === 'accepted',
    );
  });

  test('credentials that could not be renewed are replaced by a new registration', async () => {
    expiresInSeconds = 1;
    answers = {
      ...answers,
      renew: () => {
        throw new Refusal(status.PERMISSION_DENIED, 'no');
      },
    };
    await start();
    await eventually('a new registration', () => registered.length >= 2, 15_000);
    expiresInSeconds = 600;
    await eventually(
      'it lasts',
      async () => (await dispatcher.assign(identity.agent, assignment())).kind === 'accepted',
      15_000,
    );
    const numbers = heard.map(({ number }) => number);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test('that restarts is found again, and the agent answers there', async () => {
    const it = await start();
    await nats.server.restart();
    const before = it.heartbeatNumber;
    await eventually('heartbeats', () => heard.some(({ number }) => number > before + 1));
    await eventually(
      'an answer',
      async () => (await dispatcher.assign(identity.agent, assignment())).kind === 'accepted',
    );
    expect(registered).toHaveLength(1);
  });
});

describe('an identity', () => {
  test('is made once, is readable by its owner only, and each process is another instance of it', async () => {
    const again = await loadIdentity(directory);
    expect(again.agent).toBe(identity.agent);
    expect(again.key).toBe(identity.key);
    expect(again.natsUser.seed).toBe(identity.natsUser.seed);
    expect(again.instance).not.toBe(identity.instance);
    expect((await stat(join(directory, 'identity.json'))).mode & 0o777).toBe(0o600);
  });

  test('that is damaged is not replaced', async () => {
    const path = join(directory, 'identity.json');
    for (const text of ['', '{}', '{"agent":"*","key":"x","natsSeed":"y"}']) {
      await writeFile(path, text);
      await expect(loadIdentity(directory)).rejects.toThrow(/restore the file, or remove it/);
      expect(await readFile(path, 'utf8')).toBe(text);
    }
  });
});
