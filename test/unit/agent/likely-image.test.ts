/** A box that is opened before its image is certain: no step runs in a wrong one, and none is left. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ExecutorError } from '../../../agent/executor/executor.js';
import { AgentWorld, assignmentOf, plannedStage } from '../../support/agent-world.js';
import { eventually } from '../../support/eventually.js';

let world: AgentWorld;
beforeEach(async () => {
  world = await AgentWorld.make();
  world.machine.likely.set('busybox', 'sha256:of-busybox');
});
afterEach(() => world.dispose());

const begin = async () => {
  const assignment = assignmentOf(plannedStage());
  await world.start();
  expect(await world.coordinator.session.assign(assignment)).toMatchObject({ kind: 'accepted' });
  return assignment;
};
const boxes = () => world.machine.all.map(({ spec }) => spec.image);
const ended = () => eventually('nothing is left', () => world.machine.boxes.size === 0);

it('opens the box while the image is looked up, and begins no step before it is known', async () => {
  const release = world.trace.holdAt('resolve busybox');
  await begin();
  await eventually('the box is open', () => world.machine.all.length === 1);
  expect(world.trace.calls).not.toContain('prepareStep 1');
  (await release)();
  (await world.machine.step(1)).exit(0);
  expect(boxes()).toEqual(['sha256:of-busybox']);
});

it('asks for the box before it looks up the image: both wait for the same daemon', async () => {
  await begin();
  await world.machine.step(1);
  const { calls } = world.trace;
  expect(calls.indexOf('openBox')).toBeGreaterThanOrEqual(0);
  expect(calls.indexOf('openBox')).toBeLessThan(calls.indexOf('resolve busybox'));
});

it('opens another box when the image is another by now', async () => {
  world.machine.likely.set('busybox', 'sha256:old');
  const release = world.trace.holdAt('resolve busybox');
  await begin();
  await eventually('the box is open', () => world.machine.all.length === 1);
  (await release)();
  const step = await world.machine.step(1);
  expect(boxes()).toEqual(['sha256:old', 'sha256:of-busybox']);
  expect(world.machine.boxes.size).toBe(1);
  step.exit(0);
  await ended();
});

it('removes the box when the image cannot be had', async () => {
  const refused = new ExecutorError({
    kind: 'image-unavailable',
    image: 'busybox',
    message: 'denied',
    transient: false,
  });
  const opened = eventually('the box is open', () => world.machine.all.length === 1);
  world.trace.before('resolve busybox', () => opened.then(() => Promise.reject(refused)));
  const assignment = await begin();
  expect(await world.coordinator.end(assignment)).toMatchObject({
    status: 'failed',
    failure: { kind: 'image-unavailable' },
  });
  expect(world.trace.calls).not.toContain('prepareStep 1');
  await ended();
});

it('opens it once more when it could not be opened before the image was there', async () => {
  let tries = 0;
  world.trace.before('openBox', () => {
    tries += 1;
    return tries === 1
      ? Promise.reject(new ExecutorError({ kind: 'box-broken', message: 'no such image' }))
      : Promise.resolve();
  });
  await begin();
  (await world.machine.step(1)).exit(0);
  expect(tries).toBe(2);
  await ended();
});
