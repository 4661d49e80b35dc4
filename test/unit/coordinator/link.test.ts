/** The agent link on a real gRPC server: what a hostile or unlucky agent sends ends its stream, and nothing else. */
import { Metadata, credentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startApi, type ApiServer } from '../../../coordinator/api/grpc-server.js';
import { LogRefused } from '../../../coordinator/logs/live-log.js';
import { agentBearer } from '../../../coordinator/access/tokens.js';
import { sha256Hex } from '../../../coordinator/access/keys.js';
import { parseSha256, type AttemptRef } from '../../../shared/model/ids.js';
import { loadContract } from '../../../shared/wire/grpc-contract.js';
import { eventually } from '../../support/eventually.js';
import { agentId, instanceId, outline, runId } from '../scheduler/ids.js';
import { World } from './world.js';

let world: World;
let api: ApiServer;
const key = 'k'.repeat(32);
const ref: AttemptRef = { run: runId(1), stage: 1, attempt: 1 };

beforeEach(async () => {
  world = await new World().start();
  await world.join(1, { keyHash: parseSha256(sha256Hex(key))! });
  api = await startApi(world.services, { grpcListen: { host: '127.0.0.1', port: 0 } });
});
afterEach(async () => {
  await api.close(1_000);
  await world.stop();
});

function open() {
  const client = new (loadContract().AgentLink)(
    `127.0.0.1:${api.address.port}`,
    credentials.createInsecure(),
  );
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${agentBearer(agentId(1), key)}`);
  const call = client.Open(metadata);
  const seen: string[] = [];
  call.on('data', (message: { message?: string }) => seen.push(message.message ?? '?'));
  const ended = new Promise<ServiceError>((resolve) => call.on('error', resolve));
  call.write({ hello: { agent: agentId(1), instance: instanceId(1) } });
  return { call, seen, ended, close: () => client.close() };
}

it('ends the stream of an agent that says hello twice', async () => {
  const link = open();
  await eventually('welcome', () => link.seen.includes('welcome'));
  link.call.write({ hello: { agent: agentId(1), instance: instanceId(1) } });
  expect((await link.ended).details).toContain('report, log or progress');
  link.close();
});

it('outlives a link that ends while LOGS takes no chunk', async () => {
  await world.submit(1, [outline(1)]);
  const lease = await eventually('the lease', () => world.lease(ref.run, 1, 1));
  let tries = 0;
  world.liveLog.append = () => {
    tries += 1;
    return Promise.reject(new LogRefused('full'));
  };
  const link = open();
  await eventually('welcome', () => link.seen.includes('welcome'));
  for (const offset of [0, 1, 2]) {
    link.call.write({ log: { ref, token: lease.token, step: 1, offset, bytes: Buffer.from('x') } });
  }
  await eventually('all three wait', () => tries >= 3);
  link.call.cancel();
  await link.ended;
  await eventually('the link is noted as down', () =>
    world.coordinator.read(({ presence }) => presence.agents.get(agentId(1))?.isLinked === false),
  );
  link.close();
});

it('drops the logs of an attempt that was taken from the agent while the link was open', async () => {
  await world.submit(1, [outline(1)]);
  const lease = await eventually('the lease', () => world.lease(ref.run, 1, 1));
  const taken: number[] = [];
  world.liveLog.append = ({ offset }) => {
    taken.push(offset);
    return Promise.resolve();
  };
  const link = open();
  const send = (offset: number): unknown =>
    link.call.write({ log: { ref, token: lease.token, step: 1, offset, bytes: Buffer.from('x') } });
  await eventually('welcome', () => link.seen.includes('welcome'));
  send(0);
  await eventually('it is taken', () => link.seen.includes('log'));
  await world.report(ref, { kind: 'AttemptStarted', executor: 'docker' });
  await world.report(ref, { kind: 'AttemptFinished', status: 'succeeded', logs: [] });
  await world.coordinator.perform({ kind: 'RunStored', run: ref.run });
  await eventually('it is told to stop', () => {
    send(1);
    return link.seen.includes('report');
  });
  const before = taken.length;
  send(2);
  await eventually('it is told again', () => link.seen.filter((kind) => kind === 'report').length > 2);
  expect(taken).toHaveLength(before);
  link.call.cancel();
  await link.ended;
  link.close();
});
