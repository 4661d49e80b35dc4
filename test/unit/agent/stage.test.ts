import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentWorld, assignmentOf, plannedArtifact, plannedStage, plannedStep, sha256Of } from '../../support/agent-world.js';
import { eventually } from '../../support/eventually.js';

let world: AgentWorld;
beforeEach(async () => {
  world = await AgentWorld.make();
});
afterEach(() => world.dispose());

describe('a stage from its assignment to its end', () => {
  it('runs its steps in order and reports each once', async () => {
    const plan = plannedStage({ steps: [plannedStep(1), plannedStep(2)] });
    const assignment = assignmentOf(plan);
    await world.start();
    expect(await world.coordinator.session.assign(assignment)).toEqual({ kind: 'accepted', heartbeat: 1 });
    const one = await world.machine.step(1);
    await one.print('hello\n');
    one.exit(0);
    (await world.machine.step(2)).exit(0);
    const end = await world.coordinator.end(assignment);
    expect(end).toEqual({
      kind: 'AttemptFinished',
      status: 'succeeded',
      logs: [
        { step: 1, bytes: 6, sha256: sha256Of('hello\n') },
        { step: 2, bytes: 0, sha256: sha256Of('') },
      ],
    });
    await eventually('the logs are archived', () => world.coordinator.kinds(assignment).includes('LogsArchived'));
    expect(world.coordinator.kinds(assignment)).toEqual([
      'AttemptStarted',
      'ImageResolved',
      'StepStarted',
      'StepFinished',
      'StepStarted',
      'StepFinished',
      'AttemptFinished',
      'LogsArchived',
    ]);
    expect(world.coordinator.log(assignment, 1)).toBe('hello\n');
  });

  it('stores artifacts after freezing the box and reports the end after both', async () => {
    const plan = plannedStage({ artifacts: [plannedArtifact(1)] });
    const assignment = assignmentOf(plan);
    world.storedArtifacts = { manifest: { sha256: sha256Of('m'), bytes: 1 } };
    await world.start();
    await world.coordinator.session.assign(assignment);
    (await world.machine.step(1)).exit(0);
    const end = await world.coordinator.end(assignment);
    expect(end.manifest).toEqual({ sha256: sha256Of('m'), bytes: 1 });
    expect(world.trace.only('freeze', 'store artifact-1', 'report AttemptFinished', 'remove')).toEqual([
      'freeze',
      'store artifact-1',
      'report AttemptFinished',
    ]);
    await eventually('the box is removed', () => world.machine.boxes.size === 0);
  });
});
