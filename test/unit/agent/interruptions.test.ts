/** What may happen to an attempt, at each of its awaits. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attemptKey } from '../../../shared/model/ids.js';
import type { Agent } from '../../../agent/agent.js';
import {
  AgentWorld,
  assignmentOf,
  plannedArtifact,
  plannedStage,
  plannedStep,
  sha256Of,
} from '../../support/agent-world.js';
import { eventually } from '../../support/eventually.js';

let world: AgentWorld;
beforeEach(async () => {
  world = await AgentWorld.make();
  world.storedArtifacts = { manifest: { sha256: sha256Of('m'), bytes: 1 } };
  // Each step says one line and succeeds.
  world.machine.onStart = async (step) => {
    await step.print(`line of step ${step.command.number}\n`);
    step.exit(0);
  };
});
afterEach(() => world.dispose());

const need = { stage: 2, attempt: 1, title: 'build', manifest: { sha256: sha256Of('m'), bytes: 1 } };
const assignment = assignmentOf(
  plannedStage({
    steps: [plannedStep(1), plannedStep(2)],
    artifacts: [plannedArtifact(1, { when: 'always' })],
  }),
  { needs: [need] },
);

const beforeSteps = [
  'create slot',
  'checkout',
  'restore',
  'resolve busybox',
  'openBox',
  'give workspace',
  'prepareStep 1',
];
const inSteps = ['startStep 1', 'prepareStep 2', 'startStep 2'];
const afterSteps = ['freeze', 'store artifact-1'];
const afterEnd = ['remove', 'discard workspace', 'presign put-log', 'putFile', 'putBytes', 'discard slot'];

/** Begins the stage and stops it at the call; the returned function lets it go on. */
async function heldAt(call: string): Promise<{ readonly agent: Agent; readonly release: () => void }> {
  const held = world.trace.holdAt(call);
  const agent = await world.start();
  await world.coordinator.session.assign(assignment);
  return { agent, release: await held };
}

const nothingLeft = () =>
  eventually('nothing is left of the attempt', async () => {
    return world.machine.boxes.size === 0 && (await world.leftovers()).length === 0;
  });

/** Every step that was reported as started was reported as finished, once. */
function expectWholeSteps(): void {
  const kinds = world.coordinator.kinds(assignment);
  const count = (kind: string): number => kinds.filter((each) => each === kind).length;
  expect(count('StepFinished')).toBe(count('StepStarted'));
  expect(count('AttemptFinished')).toBe(1);
}

const reports = () => world.coordinator.reports.get(attemptKey(assignment)) ?? [];

describe('a cancel', () => {
  it.each([...beforeSteps, ...inSteps, ...afterSteps])(
    'that comes at `%s` ends it as canceled',
    async (call) => {
      const { release } = await heldAt(call);
      world.coordinator.session.handlers?.end(assignment, assignment.token, 'canceled', 'ada');
      release();
      const end = await world.coordinator.end(assignment);
      expect(end).toMatchObject({ status: 'canceled', failure: { kind: 'canceled', by: 'ada' } });
      await nothingLeft();
      expectWholeSteps();
    },
  );

  it('that comes after the end was reported changes nothing', async () => {
    const { release } = await heldAt('remove');
    world.coordinator.session.handlers?.end(assignment, assignment.token, 'canceled', 'ada');
    release();
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
    await nothingLeft();
  });

  it('with the token of another lease changes nothing', async () => {
    const { release } = await heldAt('startStep 1');
    const other = assignmentOf(assignment.plan, { token: (assignment.token + 1) as typeof assignment.token });
    world.coordinator.session.handlers?.end(assignment, other.token, 'canceled', 'ada');
    release();
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
  });

  it('gives a running step its grace and keeps what it wrote', async () => {
    world.machine.onStart = (step) => step.print('working\n');
    world.machine.onTerminate = (step) => {
      void step.print('cleaning up\n').then(() => step.end({ kind: 'terminated' }));
    };
    await world.start();
    await world.coordinator.session.assign(assignment);
    const step = await world.machine.step(1);
    world.coordinator.session.handlers?.end(assignment, assignment.token, 'canceled', 'ada');
    expect((await world.coordinator.end(assignment)).status).toBe('canceled');
    expect(step.terminations).toEqual([100]);
    expect(world.coordinator.log(assignment, 1)).toBe('working\ncleaning up\n');
    expect(world.trace.calls).not.toContain('store artifact-1');
  });
});

describe('an attempt that is overtaken', () => {
  it.each([...beforeSteps, ...inSteps, ...afterSteps, ...afterEnd])(
    'at `%s` is forgotten without a further word',
    async (call) => {
      const { release } = await heldAt(call);
      const before = reports().length;
      world.coordinator.session.handlers?.overtaken(assignment, 'attempt 2 was leased');
      release();
      await nothingLeft();
      expect(reports()).toHaveLength(before);
      expect(world.coordinator.session.handlers?.held()).toEqual([]);
    },
  );
});

describe('an agent that is killed and started again', () => {
  it.each([...beforeSteps, ...inSteps, ...afterSteps, ...afterEnd])(
    'at `%s` ends the attempt exactly once',
    async (call) => {
      // It never goes on: what it awaits belongs to a dead process.
      const { release } = await heldAt(call);
      world.kill();
      world.trace.forget(call);
      await world.start();
      expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
      await nothingLeft();
      expectWholeSteps();
      expect(world.coordinator.log(assignment, 1)).toBe('line of step 1\n');
      expect(world.coordinator.log(assignment, 2)).toBe('line of step 2\n');
      // No step ran twice: a new box only where none had been used.
      const used = world.machine.all.filter((box) => box.steps.length > 0);
      expect(used.map((box) => box.steps.map(({ command }) => command.number))).toEqual([[1, 2]]);
      release();
    },
  );

  it('goes on with the log of a running step where it was acknowledged', async () => {
    world.machine.onStart = (step) => step.print('before\n');
    await world.start();
    await world.coordinator.session.assign(assignment);
    const step = await world.machine.step(1);
    await eventually('the first line is there', () => world.coordinator.log(assignment, 1) === 'before\n');
    world.kill();
    await step.print('meanwhile\n');
    await world.start();
    await eventually('the log goes on', () => world.coordinator.log(assignment, 1) === 'before\nmeanwhile\n');
    world.machine.onStart = (next) => next.exit(0);
    await step.print('after\n');
    step.exit(0);
    const end = await world.coordinator.end(assignment);
    expect(end.status).toBe('succeeded');
    expect(end.logs[0]).toEqual({ step: 1, bytes: 23, sha256: sha256Of('before\nmeanwhile\nafter\n') });
  });

  it('reports a step that ended while no agent was there', async () => {
    world.machine.onStart = () => undefined;
    await world.start();
    await world.coordinator.session.assign(assignment);
    const step = await world.machine.step(1);
    world.kill();
    step.exit(4);
    await world.start();
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'exit-code', step: 1, exitCode: 4 },
    });
  });

  it('fails an attempt whose box is gone rather than run its steps twice', async () => {
    world.machine.onStart = () => undefined;
    await world.start();
    await world.coordinator.session.assign(assignment);
    await world.machine.step(1);
    world.kill();
    world.machine.boxes.clear();
    await world.start();
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'box-broken' },
    });
    expectWholeSteps();
    await nothingLeft();
  });

  it('does not call a stage succeeded whose log was lost with its box', async () => {
    world.coordinator.acknowledging = false;
    await world.start();
    await world.coordinator.session.assign(assignment);
    await eventually('the artifacts are stored', () => world.trace.calls.includes('store artifact-1'));
    world.kill();
    world.machine.boxes.clear();
    world.coordinator.acknowledging = true;
    await world.start();
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'box-broken', message: expect.stringContaining('log of step 1') as string },
    });
  });

  it('still honours the time limits that began under the former process', async () => {
    const timed = assignmentOf(plannedStage({ timeoutMs: 60_000 }));
    world.machine.onStart = () => undefined;
    await world.start();
    await world.coordinator.session.assign(timed);
    await world.machine.step(1);
    world.kill();
    world.now = () => Date.now() + 60_000;
    await world.start();
    expect((await world.coordinator.end(timed)).failure).toEqual({ kind: 'timed-out', limitMs: 60_000 });
  });

  it('sweeps boxes that belong to no attempt and keeps those that do', async () => {
    world.machine.onStart = () => undefined;
    await world.start();
    await world.coordinator.session.assign(assignment);
    await world.machine.step(1);
    const [key, box] = [...world.machine.boxes][0]!;
    world.machine.boxes.set('stranger/1/1', box);
    world.kill();
    await world.start();
    expect([...world.machine.boxes.keys()]).toEqual([key]);
  });

  it('names what it holds before it says its first word to the coordinator', async () => {
    world.machine.onStart = () => undefined;
    await world.start();
    await world.coordinator.session.assign(assignment);
    await world.machine.step(1);
    world.kill();
    await world.start();
    const calls = world.trace.calls;
    expect(calls.lastIndexOf('adoptBox')).toBeLessThan(calls.lastIndexOf('session start'));
    expect(world.coordinator.session.handlers?.held()).toEqual([
      { run: assignment.run, stage: 1, attempt: 1, token: assignment.token },
    ]);
  });
});

describe('SIGTERM', () => {
  const never = new AbortController().signal;

  it.each([...beforeSteps, ...inSteps, ...afterSteps])(
    'at `%s` leaves the attempt to the next process, which ends it once',
    async (call) => {
      const { agent, release } = await heldAt(call);
      const stopped = agent.stop(never);
      expect(world.coordinator.session.handlers?.heartbeat()).toMatchObject({
        away: true,
        refusing: 'stopping',
      });
      await eventually('it says that it goes away', () => world.coordinator.session.heartbeats > 0);
      setTimeout(release, 50);
      await stopped;
      expect(world.coordinator.kinds(assignment)).not.toContain('AttemptFinished');
      world.kill();
      await world.start();
      expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
      await nothingLeft();
      expectWholeSteps();
    },
  );

  it('leaves a running step alone', async () => {
    world.machine.onStart = (step) => step.print('before\n');
    const agent = await world.start();
    await world.coordinator.session.assign(assignment);
    const step = await world.machine.step(1);
    await agent.stop(never);
    world.kill();
    expect(step.terminations).toEqual([]);
    world.machine.onStart = (next) => next.exit(0);
    await step.print('after\n');
    step.exit(0);
    await world.start();
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
    expect(world.coordinator.log(assignment, 1)).toBe('before\nafter\n');
  });

  it('twice ends the box and reports that the agent was stopped', async () => {
    world.machine.onStart = () => undefined;
    const agent = await world.start();
    await world.coordinator.session.assign(assignment);
    await world.machine.step(1);
    const second = new AbortController();
    const stopped = agent.stop(second.signal);
    second.abort();
    await stopped;
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'agent-stopped', agent: 'build-7' },
    });
    expect(world.machine.boxes.size).toBe(0);
  });

  it('waits for steps on the host, which cannot be left', async () => {
    world.executorKind = 'host';
    world.machine.onStart = () => undefined;
    const { image, ...plan } = assignment.plan;
    expect(image).toBe('busybox');
    const onHost = assignmentOf({ ...plan, steps: [plannedStep(1)], artifacts: [] });
    const agent = await world.start();
    await world.coordinator.session.assign(onHost);
    const step = await world.machine.step(1);
    const stopped = agent.stop(never);
    step.exit(0);
    await stopped;
    expect((await world.coordinator.end(onHost)).status).toBe('succeeded');
  });
});
