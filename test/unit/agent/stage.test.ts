import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobError } from '../../../shared/blob/blob-error.js';
import { attemptKey } from '../../../shared/model/ids.js';
import type { Report } from '../../../shared/model/event.js';
import { StageError } from '../../../agent/stage/tools.js';
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
});
afterEach(() => world.dispose());

/** Starts an agent and gives it the stage. */
async function begin(plan = plannedStage(), more: Parameters<typeof assignmentOf>[1] = {}) {
  const assignment = assignmentOf(plan, more);
  const agent = await world.start();
  expect(await world.coordinator.session.assign(assignment)).toMatchObject({ kind: 'accepted' });
  return { assignment, agent };
}

const nothingLeft = () =>
  eventually('nothing is left of the attempt', async () => {
    return world.machine.boxes.size === 0 && (await world.leftovers()).length === 0;
  });

const stepReports = (assignment: ReturnType<typeof assignmentOf>): readonly Report[] =>
  (world.coordinator.reports.get(attemptKey(assignment)) ?? []).filter(({ kind }) => kind === 'StepFinished');

describe('a stage from its assignment to its end', () => {
  it('runs its steps in order, reports each once, and leaves nothing', async () => {
    const { assignment } = await begin(plannedStage({ steps: [plannedStep(1), plannedStep(2)] }));
    const one = await world.machine.step(1);
    await one.print('hello\n');
    one.exit(0);
    (await world.machine.step(2)).exit(0);
    expect(await world.coordinator.end(assignment)).toEqual({
      kind: 'AttemptFinished',
      status: 'succeeded',
      logs: [
        { step: 1, bytes: 6, sha256: sha256Of('hello\n') },
        { step: 2, bytes: 0, sha256: sha256Of('') },
      ],
    });
    await nothingLeft();
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

  it('leaves steps out whose condition does not hold', async () => {
    const steps = [plannedStep(1, { skipped: true }), plannedStep(2), plannedStep(3, { skipped: true })];
    const { assignment } = await begin(plannedStage({ steps }));
    (await world.machine.step(2)).exit(0);
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'succeeded',
      logs: [{ step: 2 }],
    });
    expect(stepReports(assignment)).toMatchObject([{ step: 2, exitCode: 0 }]);
    await nothingLeft();
  });

  it('opens the box while the code is checked out, and hands the files over when both are there', async () => {
    let release = (): void => undefined;
    world.trace.before('checkout', () => new Promise<void>((resolve) => (release = resolve)));
    await begin();
    await eventually('the box is open', () => world.trace.calls.includes('openBox'));
    expect(world.trace.calls).not.toContain('give workspace');
    release();
    (await world.machine.step(1)).exit(0);
    expect(world.trace.only('create slot', 'give workspace', 'prepareStep 1', 'startStep 1')).toEqual([
      'create slot',
      'give workspace',
      'prepareStep 1',
      'startStep 1',
    ]);
  });

  it('brings the artifacts of needed stages after the checkout', async () => {
    const need = { stage: 2, attempt: 1, title: 'build', manifest: { sha256: sha256Of('m'), bytes: 1 } };
    await begin(plannedStage(), { needs: [need] });
    await world.machine.step(1);
    expect(world.trace.only('checkout', 'restore', 'give workspace')).toEqual([
      'checkout',
      'restore',
      'give workspace',
    ]);
  });

  it('stores artifacts of a frozen box, reports the end, and only then removes the box', async () => {
    world.storedArtifacts = { manifest: { sha256: sha256Of('m'), bytes: 1 } };
    const { assignment } = await begin(plannedStage({ artifacts: [plannedArtifact(1)] }));
    (await world.machine.step(1)).exit(0);
    expect((await world.coordinator.end(assignment)).manifest).toEqual({ sha256: sha256Of('m'), bytes: 1 });
    await nothingLeft();
    expect(world.trace.only('freeze', 'store artifact-1', 'report AttemptFinished', 'remove')).toEqual([
      'freeze',
      'store artifact-1',
      'report AttemptFinished',
      'remove',
    ]);
  });

  it('does not report the end before every byte of log is acknowledged', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    world.coordinator.acknowledging = false;
    await step.print('late');
    step.exit(0);
    await eventually('the end of the step is known', () =>
      world.coordinator.kinds(assignment).includes('StepFinished'),
    );
    await eventually('the log is sent', () => world.coordinator.log(assignment, 1) === 'late');
    expect(world.coordinator.kinds(assignment)).not.toContain('AttemptFinished');
    world.coordinator.acknowledgeAll();
    await world.coordinator.end(assignment);
  });

  it('archives the exact bytes of each log and when they came', async () => {
    const { assignment } = await begin();
    const step = await world.machine.step(1);
    await step.print(Buffer.from([0, 255, 13, 10, 0x1b]));
    step.exit(0);
    await world.coordinator.end(assignment);
    await nothingLeft();
    expect(world.stored.get('http://storage.test/put-log')).toEqual(Buffer.from([0, 255, 13, 10, 0x1b]));
    expect(world.stored.get('http://storage.test/put-log-index')?.toString()).toMatch(/^0 \d{13}\n$/);
  });

  it('names the image of a service and of the stage once each, and takes pinned ones as they are', async () => {
    const services = [{ name: 'db', image: 'postgres:16', env: {} }];
    const { assignment } = await begin(plannedStage({ services }), { images: { busybox: 'sha256:pinned' } });
    await world.machine.step(1);
    await eventually('the step is reported', () =>
      world.coordinator.kinds(assignment).includes('StepStarted'),
    );
    const [box] = world.machine.boxes.values();
    expect(box?.spec).toMatchObject({
      image: 'sha256:pinned',
      services: [{ name: 'db', image: 'sha256:of-postgres:16' }],
    });
    const resolved = (world.coordinator.reports.get(attemptKey(assignment)) ?? []).filter(
      ({ kind }) => kind === 'ImageResolved',
    );
    expect(resolved).toEqual([
      { kind: 'ImageResolved', image: 'postgres:16', digest: 'sha256:of-postgres:16' },
    ]);
  });

  it('gives steps the facts, the stage’s environment, what former steps wrote and their own, in that order', async () => {
    const plan = plannedStage({
      env: { A: 'stage', B: 'stage', C: 'stage', GANTRY_BRANCH: 'overridden' },
      steps: [plannedStep(1), plannedStep(2, { env: { C: 'step' } })],
    });
    await begin(plan);
    const one = await world.machine.step(1);
    expect(one.command.env).toMatchObject({ CI: 'true', A: 'stage', GANTRY_WORKSPACE: '/workspace' });
    expect(one.command.env).not.toHaveProperty('GANTRY_STEP');
    expect(one.command.env).not.toHaveProperty('GANTRY_TAG');
    const [box] = world.machine.boxes.values();
    Object.assign(box!.env, { B: 'written', C: 'written' });
    one.exit(0);
    const two = await world.machine.step(2);
    expect(two.command.env).toMatchObject({
      A: 'stage',
      B: 'written',
      C: 'step',
      GANTRY_BRANCH: 'overridden',
    });
  });
});

describe('what goes wrong in a stage', () => {
  it('skips the steps after one that failed and keeps the artifacts that are wanted then', async () => {
    const artifacts = [
      plannedArtifact(1),
      plannedArtifact(2, { when: 'failure' }),
      plannedArtifact(3, { when: 'always' }),
    ];
    const { assignment } = await begin(plannedStage({ steps: [plannedStep(1), plannedStep(2)], artifacts }));
    (await world.machine.step(1)).exit(3);
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'exit-code', step: 1, exitCode: 3 },
    });
    expect(stepReports(assignment)).toMatchObject([{ step: 1, exitCode: 3 }]);
    expect(world.trace.calls).toContain('store artifact-2,artifact-3');
    expect(world.trace.calls).not.toContain('startStep 2');
  });

  it('ends a step at its own limit', async () => {
    const { assignment } = await begin(plannedStage({ steps: [plannedStep(1, { timeoutMs: 30 })] }));
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'timed-out', step: 1, limitMs: 30 },
    });
    expect(stepReports(assignment)).toMatchObject([{ failure: { kind: 'timed-out', step: 1 } }]);
  });

  it('ends a stage at its limit, whichever step runs or before one does', async () => {
    world.trace.before('checkout', () => new Promise((resolve) => setTimeout(resolve, 60)));
    const { assignment } = await begin(plannedStage({ timeoutMs: 40 }));
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'timed-out', limitMs: 40 },
    });
    expect(stepReports(assignment)).toEqual([]);
    await nothingLeft();
  });

  it('reports a step that the box broke under, and that nothing of the rest ran', async () => {
    const { assignment } = await begin(plannedStage({ steps: [plannedStep(1), plannedStep(2)] }));
    (await world.machine.step(1)).break('the container is gone');
    const failure = { kind: 'box-broken', message: 'the container is gone' };
    expect(await world.coordinator.end(assignment)).toMatchObject({ status: 'failed', failure });
    expect(stepReports(assignment)).toMatchObject([{ step: 1, failure }]);
  });

  it('that deploys begins its first step only when its start is durable, for then no other ever begins', async () => {
    world.coordinator.acknowledging = false;
    const { assignment } = await begin(plannedStage({ environment: 'staging' }));
    await eventually('the box is open', () => world.machine.boxes.size === 1);
    // What waits for nothing has begun its step by then, as the next stage shows.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(world.coordinator.kinds(assignment)).not.toContain('StepStarted');
    world.coordinator.acknowledgeAll();
    (await world.machine.step(1)).exit(0);
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
  });

  it('that deploys and is canceled before its start is durable never begins a step', async () => {
    world.coordinator.acknowledging = false;
    const { assignment } = await begin(plannedStage({ environment: 'staging' }));
    await eventually('the box is open', () => world.machine.boxes.size === 1);
    world.coordinator.session.handlers?.end(assignment, assignment.token, 'canceled', 'ann');
    expect((await world.coordinator.end(assignment)).status).toBe('canceled');
    expect(world.coordinator.kinds(assignment)).not.toContain('StepStarted');
  });

  it('removes the box of a stage whose code cannot be had', async () => {
    const failure = { kind: 'checkout-failed', message: 'no such commit', transient: false } as const;
    world.trace.before('checkout', async () => {
      await eventually('the box is open', () => world.machine.boxes.size === 1);
      throw new StageError(failure);
    });
    const { assignment } = await begin();
    expect(await world.coordinator.end(assignment)).toEqual({
      kind: 'AttemptFinished',
      status: 'failed',
      failure,
      logs: [],
    });
    await nothingLeft();
  });

  it('waits for storage that is away, says so, and stays running', async () => {
    let away = true;
    world.trace.before('store artifact-1', () => {
      if (!away) return;
      const reason = { endpoint: 'http://s3', reason: 'connection refused', remedy: 'Start it.' };
      throw new BlobError({ kind: 'storage-unavailable', ...reason });
    });
    const { assignment } = await begin(plannedStage({ artifacts: [plannedArtifact(1)] }));
    (await world.machine.step(1)).exit(0);
    await eventually('it says what it waits for', () =>
      world.coordinator.session.progressed.some((text) => text.startsWith('storage is away')),
    );
    expect(world.coordinator.kinds(assignment)).not.toContain('AttemptFinished');
    away = false;
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
  });

  it('fails a stage that succeeded but for its artifacts, and not again one that had failed', async () => {
    const missing = { kind: 'artifact-missing', artifact: 'a', pattern: 'x' } as const;
    world.storedArtifacts = { failure: missing };
    const plan = plannedStage({ artifacts: [plannedArtifact(1, { when: 'always' })] });
    const first = await begin(plan);
    (await world.machine.step(1)).exit(0);
    expect(await world.coordinator.end(first.assignment)).toMatchObject({
      status: 'failed',
      failure: missing,
    });
    await nothingLeft();
    const second = assignmentOf(plan, { attempt: 2 });
    await world.coordinator.session.assign(second);
    (await world.machine.step(1)).exit(1);
    expect((await world.coordinator.end(second)).failure).toMatchObject({ kind: 'exit-code' });
  });

  it('removes a box that cannot be frozen before it reads the workspace', async () => {
    world.trace.before('freeze', () => {
      throw new Error('no freezer');
    });
    await begin(plannedStage({ artifacts: [plannedArtifact(1)] }));
    (await world.machine.step(1)).exit(0);
    await eventually('stored', () => world.trace.calls.includes('store artifact-1'));
    expect(world.trace.only('freeze', 'remove', 'store artifact-1').slice(0, 3)).toEqual([
      'freeze',
      'remove',
      'store artifact-1',
    ]);
  });
});

describe('the link', () => {
  it('repeats what was not acknowledged when it comes back, and nothing arrives twice', async () => {
    const { assignment } = await begin(plannedStage({ steps: [plannedStep(1), plannedStep(2)] }));
    const one = await world.machine.step(1);
    await one.print('before ');
    await eventually('some log arrived', () => world.coordinator.log(assignment, 1) !== '');
    world.coordinator.breakLink();
    await one.print('during ');
    one.exit(0);
    const two = await world.machine.step(2);
    world.coordinator.restoreLink();
    two.exit(0);
    expect((await world.coordinator.end(assignment)).status).toBe('succeeded');
    expect(world.coordinator.log(assignment, 1)).toBe('before during ');
    expect(world.coordinator.kinds(assignment).filter((kind) => kind === 'StepFinished')).toHaveLength(2);
  });

  it('sends again from the number the coordinator asks for', async () => {
    const { assignment } = await begin();
    await world.machine.step(1);
    await eventually('three reports', () => world.coordinator.kinds(assignment).length === 3);
    // A coordinator that lost what it had not acknowledged.
    world.coordinator.acknowledging = false;
    (await world.machine.step(1)).exit(0);
    await eventually('the end of the step', () =>
      world.coordinator.kinds(assignment).includes('StepFinished'),
    );
    world.coordinator.reports.get(attemptKey(assignment))?.pop();
    world.coordinator.session.handlers?.reportsWanted(assignment, 4);
    await eventually('it comes again', () => world.coordinator.kinds(assignment).includes('StepFinished'));
    world.coordinator.acknowledgeAll();
    await world.coordinator.end(assignment);
  });
});
