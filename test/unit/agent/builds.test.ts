/** What a stage makes of the images that its steps build. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attemptKey } from '../../../shared/model/ids.js';
import { AgentWorld, assignmentOf, plannedStage, plannedStep } from '../../support/agent-world.js';

let world: AgentWorld;
beforeEach(async () => {
  world = await AgentWorld.make();
});
afterEach(() => world.dispose());

const reference = 'reg.example.org/team/app@sha256:1';
const build = { file: 'Dockerfile', args: {}, tags: ['app'], push: false };

describe('an image that a step has built', () => {
  it('is reported by its names, and later steps find it in $GANTRY_IMAGE, also after a restart', async () => {
    const steps = [plannedStep(1), plannedStep(2), plannedStep(3, { env: { GANTRY_IMAGE: 'own' } })];
    const assignment = assignmentOf(plannedStage({ steps }));
    await world.start();
    await world.coordinator.session.assign(assignment);
    const one = await world.machine.step(1);
    expect(one.command.env).not.toHaveProperty('GANTRY_IMAGE');
    const tags = [
      { image: 'reg.example.org/team/app:1', digest: reference },
      { image: 'app', digest: 'sha256:2' },
    ];
    const held = world.trace.holdAt('prepareStep 2');
    one.result.resolve({ exit: { kind: 'exited', exitCode: 0 }, logBytes: 0, built: { reference, tags } });
    // It never goes on: what it awaits belongs to a dead process.
    await held;
    world.kill();
    world.trace.forget('prepareStep 2');
    await world.start();
    const two = await world.machine.step(2);
    expect(two.command.env).toMatchObject({ GANTRY_IMAGE: reference });
    two.exit(0);
    const three = await world.machine.step(3);
    expect(three.command.env).toMatchObject({ GANTRY_IMAGE: 'own' });
    three.exit(0);
    await world.coordinator.end(assignment);
    const reports = world.coordinator.reports.get(attemptKey(assignment)) ?? [];
    expect(reports.filter(({ kind }) => kind === 'ImageResolved')).toEqual([
      { kind: 'ImageResolved', image: 'busybox', digest: 'sha256:of-busybox' },
      ...tags.map((tag) => ({ kind: 'ImageResolved', ...tag, built: true })),
    ]);
  });

  it('is none where the executor builds none: the stage fails, and it is the pipeline’s fault', async () => {
    const steps = [plannedStep(1, { run: '', build })];
    const assignment = assignmentOf(plannedStage({ steps }));
    await world.start();
    await world.coordinator.session.assign(assignment);
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'invalid-pipeline', message: expect.stringContaining('with Docker') as string },
    });
    expect(world.coordinator.kinds(assignment)).not.toContain('StepStarted');
  });
});

it.each([
  ['app', 'app:latest'],
  ['app:latest', 'app'],
])('an image that the run knows as %s is the same as %s', async (known, image) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const assignment = assignmentOf(plannedStage({ image }), { images: { [known]: digest } });
  await world.start();
  await world.coordinator.session.assign(assignment);
  const step = await world.machine.step(1);
  expect([...world.machine.boxes.values()][0]?.spec.image).toBe(digest);
  step.exit(0);
  await world.coordinator.end(assignment);
});
