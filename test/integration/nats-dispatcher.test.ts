/** Assignments to agents that answer, refuse, stay silent, are gone; and heartbeats, true and forged. */
import { afterAll, beforeAll, expect, test } from 'vitest';

import { natsDispatcher, type NatsDispatcher } from '../../coordinator/dispatch/nats-dispatcher.js';
import { ensureStreams } from '../../coordinator/journal/nats-streams.js';
import type { Heartbeat } from '../../shared/model/agent.js';
import type { AgentId } from '../../shared/model/ids.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { assignment } from '../support/assignment.js';
import { eventually } from '../support/eventually.js';
import { agentId, instanceId, runId, token } from '../support/ids.js';
import { silent, startGantryNats, type GantryNats } from '../support/nats.js';

const names = natsNames('gantry');
let nats: GantryNats;
let link: NatsLink;
let dispatcher: NatsDispatcher;
const heard: Heartbeat[] = [];
const agents: NatsLink[] = [];

beforeAll(async () => {
  nats = await startGantryNats();
  link = await nats.coordinator();
  await ensureStreams({ link, names, replicas: 1, log: silent });
  dispatcher = natsDispatcher({ link, names, log: silent });
  dispatcher.onHeartbeat((heartbeat) => void heard.push(heartbeat));
  await link.nc.flush();
});
afterAll(async () => {
  await Promise.all([link, ...agents].map((each) => each.close()));
  await nats.server.dispose();
});

/** An agent that answers each request with the text, or not at all. */
async function agent(
  id: AgentId,
  answer: string | undefined,
): Promise<{ link: NatsLink; asked: [string, unknown][] }> {
  const own = await nats.agent(id);
  agents.push(own);
  const asked: [string, unknown][] = [];
  own.nc.subscribe(`gantry.agent.${id}.>`, {
    callback: (_error, message) => {
      asked.push([message.subject.split('.').at(-1) ?? '', message.json()]);
      if (answer !== undefined) message.respond(answer);
    },
  });
  await own.nc.flush();
  return { link: own, asked };
}

const beat = (id: AgentId, changes: object = {}): string =>
  JSON.stringify({
    agent: id,
    instance: instanceId(1),
    number: 1,
    slots: 2,
    linked: true,
    away: false,
    load: 0.5,
    mirrors: ['p'],
    held: [{ run: runId(1), stage: 1, attempt: 1, token: 7 }],
    version: '1.0',
    ...changes,
  });

test('an assignment arrives whole, and its answer comes back', async () => {
  const { asked } = await agent(agentId(1), JSON.stringify({ kind: 'accepted', heartbeat: 12 }));
  expect(await dispatcher.assign(agentId(1), assignment())).toEqual({ kind: 'accepted', heartbeat: 12 });
  expect(asked).toEqual([['assign', assignment()]]);
});

test('a refusal carries its reason', async () => {
  await agent(agentId(2), JSON.stringify({ kind: 'refused', reason: 'disk is full' }));
  expect(await dispatcher.assign(agentId(2), assignment())).toEqual({
    kind: 'refused',
    reason: 'disk is full',
  });
});

test.each(['', 'no JSON', '{}', '{"kind":"accepted"}', '{"kind":"accepted","heartbeat":"1"}', 'null'])(
  'the answer %j is no acceptance',
  async (answer) => {
    const { link: own } = await agent(agentId(3), answer);
    expect((await dispatcher.assign(agentId(3), assignment())).kind).toBe('refused');
    await own.close();
  },
);

test('an agent that is not there is known at once; one that says nothing after a second', async () => {
  const began = performance.now();
  expect(await dispatcher.assign(agentId(4), assignment())).toEqual({ kind: 'no-responder' });
  expect(performance.now() - began).toBeLessThan(500);
  await agent(agentId(5), undefined);
  expect(await dispatcher.assign(agentId(5), assignment())).toEqual({ kind: 'silent' });
});

test('cancel and drain reach the agent, and settle also when nobody listens', async () => {
  const { asked } = await agent(agentId(6), '{}');
  const what = {
    ref: { run: runId(1), stage: 1, attempt: 2 },
    token: token(3),
    why: 'canceled',
    by: 'ann',
  } as const;
  await dispatcher.end(agentId(6), what);
  await dispatcher.drain(agentId(6), true);
  expect(asked).toEqual([
    ['cancel', what],
    ['drain', { draining: true }],
  ]);
  await dispatcher.end(agentId(7), what);
  await dispatcher.drain(agentId(7), false);
});

test('an assignment of 512 KiB fits', async () => {
  const { asked } = await agent(agentId(8), JSON.stringify({ kind: 'accepted', heartbeat: 1 }));
  const large = assignment({ images: { x: 'y'.repeat(512 * 1024) } });
  expect((await dispatcher.assign(agentId(8), large)).kind).toBe('accepted');
  expect(asked[0]?.[1]).toEqual(large);
});

test('a heartbeat is heard; one in the name of another agent, or malformed, is dropped and counted', async () => {
  const id = agentId(9);
  const { link: own } = await agent(id, undefined);
  const before = dispatcher.droppedHeartbeats;
  for (const bad of [
    beat(agentId(10)),
    beat(id, { number: 0 }),
    beat(id, { instance: '*' }),
    beat(id, { held: [{ run: 'x', stage: 1, attempt: 1, token: 1 }] }),
    beat(id, { held: [{ run: runId(1), stage: 1, attempt: 1, token: -1 }] }),
    beat(id, { load: 'high' }),
    'no JSON',
    '',
    'null',
  ])
    own.nc.publish(names.heartbeatSubject(id), bad);
  own.nc.publish(names.heartbeatSubject(id), beat(id, { number: 5 }));
  await eventually('the good one', () => heard.some(({ agent: of, number }) => of === id && number === 5));
  expect(dispatcher.droppedHeartbeats - before).toBe(9);
  expect(heard.filter(({ agent: of }) => of === id)).toEqual([JSON.parse(beat(id, { number: 5 }))]);
});

test('what an agent publishes is never answered, whatever reply subject it chooses', async () => {
  const id = agentId(11);
  const { link: own } = await agent(id, undefined);
  const manager = await link.nc.jetstreamManager();
  for (const reply of [names.journalSubject, `$JS.API.STREAM.DELETE.${names.journalStream}`])
    for (const body of [beat(id, { number: 1 }), 'malformed'])
      own.nc.publish(names.heartbeatSubject(id), body, { reply });
  own.nc.publish(names.heartbeatSubject(id), beat(id, { number: 99 }));
  await eventually('the last one', () => heard.some(({ agent: of, number }) => of === id && number === 99));
  await link.nc.flush();
  expect((await manager.streams.info(names.journalStream)).state.messages).toBe(0);
});

test('while NATS is away an assignment is silent, not refused', async () => {
  await nats.server.stop();
  await eventually('the break', () => link.disconnected.aborted);
  expect(await dispatcher.assign(agentId(1), assignment())).toEqual({ kind: 'silent' });
  await nats.server.start();
  await link.whenUp();
  await eventually(
    'the agent is back',
    async () => (await dispatcher.assign(agentId(1), assignment())).kind === 'accepted',
  );
});
