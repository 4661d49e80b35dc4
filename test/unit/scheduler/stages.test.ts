import { expect, test } from 'vitest';
import type { StageOutline } from '../../../shared/model/event.js';
import { Core, agentId, kinds, outline, refOf, sha } from './core.js';

const failure = { kind: 'exit-code', step: 1, exitCode: 1 } as const;

function statuses(core: Core, n: number): readonly string[] {
  const view = core.view(core.submit(n, []));
  return [view.status, ...view.stages.map((stage) => stage.status)];
}

function running(stages: readonly StageOutline[]): Core {
  const core = new Core();
  core.join(1, { slots: 9 });
  core.submit(1, stages);
  return core;
}

test('A stage starts when all its needs have succeeded, and not before', () => {
  const core = running([outline(1), outline(2), outline(3, { needs: [1, 2] })]);
  const run = core.submit(1, []);
  expect(core.reasons(run, 3)).toEqual([
    'it needs stage1, which is about to start',
    'it needs stage2, which is about to start',
  ]);
  core.start(core.attempt(run, 1));
  core.finish(core.attempt(run, 1));
  expect(core.reasons(run, 3)).toEqual(['it needs stage2, which is about to start']);
  expect(statuses(core, 1)).toEqual(['running', 'succeeded', 'waiting', 'pending']);
  core.finish(core.attempt(run, 2));
  expect(core.stage(run, 3).phase.kind).toBe('leased');
});

test('A failed need skips what depends on it, however far, and the run fails', () => {
  const core = running([outline(1), outline(2, { needs: [1] }), outline(3, { needs: [2] }), outline(4)]);
  const run = core.submit(1, []);
  core.finish(core.attempt(run, 1), { status: 'failed', failure });
  expect(statuses(core, 1)).toEqual(['waiting', 'failed', 'skipped', 'skipped', 'waiting']);
  expect(core.stage(run, 3).phase).toMatchObject({ because: 2 });
  core.finish(core.attempt(run, 4));
  expect(statuses(core, 1)[0]).toBe('failed');
});

test('An allowed failure counts as success for dependants and for the run', () => {
  const core = running([outline(1, { allowFailure: true }), outline(2, { needs: [1] })]);
  const run = core.submit(1, []);
  core.finish(core.attempt(run, 1), { status: 'failed', failure });
  expect(core.stage(run, 2).phase.kind).toBe('leased');
  core.finish(core.attempt(run, 2));
  expect(statuses(core, 1)).toEqual(['succeeded', 'failed', 'succeeded']);
});

test('Canceling a run ends what is not leased at once, and a leased stage as its agent reports', () => {
  const core = running([
    outline(1),
    outline(2),
    outline(3, { needs: [1] }),
    outline(4, { labels: ['none'] }),
  ]);
  const run = core.submit(1, []);
  core.start(core.attempt(run, 1));
  const order = { kind: 'Cancel', run, by: 'ada' } as const;
  const { events, effects } = core.turn(order);
  expect(kinds(events)).toEqual(['CancelRequested', 'StageEnded', 'StageEnded']);
  expect(effects.map((effect) => [effect.kind, 'why' in effect && effect.why])).toEqual([
    ['EndAttempt', 'canceled'],
    ['EndAttempt', 'canceled'],
  ]);
  expect(statuses(core, 1)).toEqual(['running', 'running', 'waiting', 'canceled', 'canceled']);
  expect(core.reasons(run, 1)).toEqual(['it is canceled by ada; agent agent1 is ending it']);
  // The order is repeated with each heartbeat that still names the attempts.
  expect(core.beat(agentId(1)).effects.length).toBe(2);
  expect(core.turn(order).events).toEqual([]);
  core.finish(core.attempt(run, 1));
  core.finish(core.attempt(run, 2), { status: 'canceled', failure: { kind: 'canceled', by: 'ada' } });
  expect(statuses(core, 1)).toEqual(['canceled', 'succeeded', 'canceled', 'canceled', 'canceled']);
  expect(core.turn(order).answers[0]?.kind).toBe('refused');
});

test('A stage that succeeded although it was canceled stays a success, but nothing follows from it', () => {
  const core = running([outline(1), outline(2, { needs: [1] })]);
  const run = core.submit(1, []);
  core.turn({ kind: 'Cancel', run, stage: 1, by: 'ada' });
  core.finish(core.attempt(run, 1));
  expect(statuses(core, 1)).toEqual(['succeeded', 'succeeded', 'skipped']);
});

test('A canceled stage whose agent is lost ends as canceled', () => {
  const core = running([outline(1)]);
  const run = core.submit(1, []);
  core.turn({ kind: 'Cancel', run, by: 'ada' });
  expect(kinds(core.pass(16_000).events)).toEqual(['AttemptLost', 'StageEnded', 'RunEnded']);
  expect(core.view(run)).toMatchObject({
    status: 'canceled',
    stages: [{ failure: { kind: 'canceled', by: 'ada' }, attempts: [{ status: 'lost' }] }],
  });
});

test('A canceled stage whose lease comes back or whose failure is ours is not tried again', () => {
  const core = running([outline(1), outline(2)]);
  const run = core.submit(1, []);
  core.turn({ kind: 'Cancel', run, by: 'ada' });
  core.answer(core.attempt(run, 1), { kind: 'refused', reason: 'busy' });
  core.finish(core.attempt(run, 2), { status: 'failed', failure: { kind: 'box-broken', message: 'x' } });
  expect(statuses(core, 1)).toEqual(['canceled', 'canceled', 'canceled']);
});

test('Cancel names what is not there and what has ended', () => {
  const core = running([outline(1), outline(2)]);
  const run = core.submit(1, []);
  const cancel = (stage: number) => core.turn({ kind: 'Cancel', run, stage, by: 'ada' }).answers[0]?.kind;
  expect(cancel(3)).toBe('not-found');
  core.finish(core.attempt(run, 1));
  expect(cancel(1)).toBe('refused');
  expect(cancel(2)).toBe('done');
  expect(cancel(2)).toBe('done');
  expect(core.turn({ kind: 'Cancel', run: 'x' as typeof run, by: 'ada' }).answers[0]?.kind).toBe('not-found');
});

test('A failed run is failed even if it was canceled too', () => {
  const core = running([outline(1), outline(2)]);
  const run = core.submit(1, []);
  core.finish(core.attempt(run, 1), { status: 'failed', failure });
  core.turn({ kind: 'Cancel', run, by: 'ada' });
  core.finish(core.attempt(run, 2), { status: 'canceled' });
  expect(statuses(core, 1)).toEqual(['failed', 'failed', 'canceled']);
});

test('The steps of an attempt that ended in the middle tell how far it came', () => {
  const core = running([outline(1, { steps: ['a', 'b', 'c'] })]);
  const run = core.submit(1, []);
  const attempt = core.attempt(run);
  core.start(attempt);
  core.report(attempt, { kind: 'StepStarted', step: 1, shell: 'sh' });
  core.report(attempt, { kind: 'StepFinished', step: 1, exitCode: 0, durationMs: 1 });
  core.report(attempt, { kind: 'StepStarted', step: 2, shell: 'sh' });
  const steps = () => core.view(run).stages[0]?.steps.map((step) => step.status);
  expect(steps()).toEqual(['succeeded', 'running', 'pending']);
  core.finish(attempt, { status: 'canceled' });
  expect(steps()).toEqual(['succeeded', 'canceled', 'skipped']);
});

test('Artifacts of direct needs come with the assignment', async () => {
  const { assignmentOf } = await import('../../../coordinator/scheduler/assignment.js');
  const core = running([outline(1), outline(2, { needs: [1] }), outline(3, { needs: [2] })]);
  const run = core.submit(1, []);
  const manifest = { sha256: sha(5), bytes: 10 };
  core.finish(core.attempt(run, 1), { manifest });
  const second = core.attempt(run, 2);
  const planned = (number: number) => ({
    ...outline(number),
    env: {},
    services: [],
    steps: [],
    artifacts: [],
  });
  const { facts } = second.stage.run;
  const source = { kind: 'git', url: 'https://example.org/app', commit: facts.commit } as const;
  const stages = [planned(1), planned(2), planned(3)];
  const plan = { v: 1, run, facts, source, stages, pipelineText: '' } as const;
  expect(assignmentOf(core.state, plan, refOf(second))).toMatchObject({
    token: second.token,
    stageCount: 3,
    needs: [{ stage: 1, attempt: 1, title: 'stage1', manifest }],
  });
  core.finish(second);
  expect(assignmentOf(core.state, plan, refOf(second))).toBeUndefined();
  expect(assignmentOf(core.state, plan, refOf(core.attempt(run, 3)))?.needs).toEqual([]);
});
