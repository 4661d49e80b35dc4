/** What the loop accepts, holds and says. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentWorld, assignmentOf, plannedStage } from '../../support/agent-world.js';
import { runId, token } from '../../support/ids.js';
import { eventually } from '../../support/eventually.js';

let world: AgentWorld;
beforeEach(async () => {
  world = await AgentWorld.make();
});
afterEach(() => world.dispose());

const assignment = (n: number) => assignmentOf(plannedStage(), { run: runId(n), token: token(n) });
const handlers = () => world.coordinator.session.handlers!;

describe('an assignment', () => {
  it('is on disk before it is accepted', async () => {
    await world.start();
    const answer = world.coordinator.session.assign(assignment(1)).then(() => world.leftovers());
    expect(await answer).toContain(`${runId(1)}-1-1`);
  });

  it('that is delivered twice, also at once, is accepted twice and run once', async () => {
    await world.start();
    world.coordinator.session.heartbeatNumber = 42;
    const { session } = world.coordinator;
    const answers = await Promise.all([session.assign(assignment(1)), session.assign(assignment(1))]);
    answers.push(await session.assign(assignment(1)));
    expect(answers).toEqual(Array(3).fill({ kind: 'accepted', heartbeat: 42 }));
    (await world.machine.step(1)).exit(0);
    await world.coordinator.end(assignment(1));
    expect(world.machine.all).toHaveLength(1);
  });

  it('that comes once more after its end is accepted and not run', async () => {
    await world.start();
    await world.coordinator.session.assign(assignment(1));
    (await world.machine.step(1)).exit(0);
    await eventually('it is gone', async () => (await world.leftovers()).length === 0);
    expect(await world.coordinator.session.assign(assignment(1))).toMatchObject({ kind: 'accepted' });
    expect(world.machine.all).toHaveLength(1);
  });

  it('of an attempt that is held under another token is refused, and a newer lease ends the old one', async () => {
    await world.start();
    await world.coordinator.session.assign(assignment(1));
    await world.machine.step(1);
    const older = { ...assignment(1), token: token(1) };
    const newer = { ...assignment(1), token: token(9) };
    expect(await world.coordinator.session.assign(older)).toMatchObject({ kind: 'accepted' });
    expect(await world.coordinator.session.assign(newer)).toMatchObject({ kind: 'refused' });
    await eventually('the old one is gone', () => world.machine.boxes.size === 0);
  });

  it('is refused with the reason when it cannot be run here', async () => {
    const { image, ...withoutImage } = plannedStage();
    expect(image).toBeDefined();
    await world.start({ slots: 1 });
    const { session } = world.coordinator;
    expect(await session.assign(assignmentOf(withoutImage))).toEqual({
      kind: 'refused',
      reason: 'the stage has no image, and this agent runs steps in containers',
    });
    world.diskReason.now = 'disk: full';
    expect(await session.assign(assignment(1))).toEqual({ kind: 'refused', reason: 'disk: full' });
    world.diskReason.now = undefined;
    handlers().drain(true);
    expect(await session.assign(assignment(1))).toEqual({ kind: 'refused', reason: 'draining' });
    handlers().drain(false);
    expect(await session.assign(assignment(1))).toMatchObject({ kind: 'accepted' });
    expect(await session.assign(assignment(2))).toEqual({ kind: 'refused', reason: 'no free slot' });
  });

  it('of a stage with an image is refused by an agent without containers, unless it ignores images', async () => {
    world.executorKind = 'host';
    await world.start();
    expect(await world.coordinator.session.assign(assignment(1))).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('--ignore-image') as string,
    });
    const tools = world.tools();
    await world.start({ tools: { ...tools, settings: { ...tools.settings, ignoreImage: true } } });
    expect(await world.coordinator.session.assign(assignment(1))).toMatchObject({ kind: 'accepted' });
    (await world.machine.step(1)).exit(0);
    await world.coordinator.end(assignment(1));
    expect(world.coordinator.reports.get(`${runId(1)}/1/1`)?.[0]).toMatchObject({
      kind: 'AttemptStarted',
      executor: 'host',
      note: expect.stringContaining('busybox') as string,
    });
  });

  it('takes its slot until its end is reported, and is held until that is acknowledged', async () => {
    await world.start({ slots: 1 });
    const { session } = world.coordinator;
    await session.assign(assignment(1));
    const step = await world.machine.step(1);
    await eventually('the start is acknowledged', () => world.coordinator.kinds(assignment(1)).length === 3);
    world.coordinator.acknowledging = false;
    step.exit(0);
    await world.coordinator.end(assignment(1));
    expect(handlers().held()).toEqual([{ run: runId(1), stage: 1, attempt: 1, token: 1 }]);
    // The coordinator has journaled the end: its next assignment may overtake the acknowledgement.
    expect(await session.assign(assignment(2))).toMatchObject({ kind: 'accepted' });
    world.coordinator.acknowledgeAll();
    await eventually('it is not held any more', () => handlers().held().length === 1);
    expect(handlers().heartbeat().held).toEqual([{ run: runId(2), stage: 1, attempt: 1, token: 2 }]);
  });
});

describe('a heartbeat', () => {
  it('says why the agent takes no stage', async () => {
    const agent = await world.start();
    expect(handlers().heartbeat()).toMatchObject({ slots: 2, linked: true, away: false, held: [] });
    expect(handlers().heartbeat()).not.toHaveProperty('refusing');
    world.diskReason.now = 'disk: 1.0 GB free';
    expect(handlers().heartbeat()).toMatchObject({ refusing: 'disk: 1.0 GB free' });
    const session = handlers();
    await agent.stop(new AbortController().signal);
    expect(session.heartbeat()).toMatchObject({ refusing: 'stopping', away: true });
  });

  it('says that the executor does not work after a box broke, until it answers again', async () => {
    let works = false;
    world.trace.before('findBoxes', () => {
      if (!works) throw new Error('no daemon');
    });
    await world.start();
    await world.coordinator.session.assign(assignment(1));
    (await world.machine.step(1)).break('the daemon is gone');
    await world.coordinator.end(assignment(1));
    await eventually('it refuses', () => handlers().heartbeat().refusing === 'docker: the daemon is gone');
    works = true;
    await eventually('it takes stages again', () => handlers().heartbeat().refusing === undefined);
  });
});

it('an agent that the coordinator refuses says why', async () => {
  await world.start();
  handlers().refused('another process took the id');
  expect(world.refusals).toEqual(['another process took the id']);
});

it('an agent whose machine cannot run stages does not register', async () => {
  world.trace.before('check', () => {
    throw new Error('no Docker');
  });
  await expect(world.start()).rejects.toThrow('no Docker');
  expect(world.trace.calls).not.toContain('session start');
});
