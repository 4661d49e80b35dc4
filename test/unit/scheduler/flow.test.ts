import { expect, test } from 'vitest';
import {
  Core,
  facts,
  instanceId,
  kinds,
  outline,
  refOf,
  reportOf,
  runId,
  sha,
  submission,
  token,
} from './core.js';

test('A run goes from its submission to its record, and leaves the state', () => {
  const core = new Core();
  const agent = core.join(1);
  const submitted = core.turn(submission(1, [outline(1)]));
  expect(submitted.answers).toEqual([{ kind: 'accepted', run: runId(1), again: false }]);
  expect(kinds(submitted.events)).toEqual(['RunAccepted', 'StageLeased']);
  const attempt = core.attempt(runId(1));
  expect(submitted.effects).toEqual([{ kind: 'Assign', agent, ref: refOf(attempt), token: token(1) }]);
  expect(core.view(runId(1)).status).toBe('waiting');
  core.answer(attempt, { kind: 'accepted', heartbeat: 1 });
  expect(core.start(attempt)).toEqual({ kind: 'reported', n: 1 });
  expect(core.view(runId(1)).status).toBe('running');
  core.report(attempt, { kind: 'StepStarted', step: 1, shell: 'bash' });
  core.report(attempt, { kind: 'StepFinished', step: 1, exitCode: 0, durationMs: 5 });
  const ended = core.turn(reportOf(attempt, { kind: 'AttemptFinished', status: 'succeeded', logs: [] }));
  expect(kinds(ended.events)).toEqual(['AttemptReported', 'StageEnded', 'RunEnded']);
  expect(ended.effects).toEqual([{ kind: 'Record', run: runId(1) }]);
  const view = core.view(runId(1));
  expect(view.status).toBe('succeeded');
  expect(view.stages[0]?.steps.map((step) => step.status)).toEqual(['succeeded', 'skipped']);
  expect(core.turn({ kind: 'RunStored', run: runId(1) }).answers).toEqual([{ kind: 'done' }]);
  expect(core.state.runs.size).toBe(0);
  expect(core.presence.attempts.size).toBe(0);
});

test('The same request gets the same answer, also after the run has left; another with its id is refused', () => {
  const core = new Core();
  core.join(1);
  core.turn(submission(1, [outline(1)]));
  const again = core.turn(submission(1, [outline(1)]));
  expect(again.answers).toEqual([{ kind: 'accepted', run: runId(1), again: true }]);
  expect(again.events).toEqual([]);
  const other = { ...submission(1, [outline(1)]), digest: sha(99) };
  expect(core.turn(other).answers[0]?.kind).toBe('refused');
  core.start(core.attempt(runId(1)));
  core.finish(core.attempt(runId(1)));
  core.turn({ kind: 'RunStored', run: runId(1) });
  expect(core.turn(submission(1, [outline(1)])).answers).toEqual([
    { kind: 'accepted', run: runId(1), again: true },
  ]);
  expect(core.turn(other).answers[0]?.kind).toBe('refused');
  core.pass(3_600_000);
  core.submit(2, [outline(1, { labels: ['none'] })]);
  core.turn({ kind: 'Cancel', run: runId(2), by: 'ada' }, { kind: 'RunStored', run: runId(2) });
  core.turn({ kind: 'RunStored', run: runId(2) });
  expect([...core.state.recorded.keys()]).toEqual([runId(2)]);
});

test('A request whose stages could never all end is refused', () => {
  const core = new Core();
  const refusals = [
    [],
    [outline(1, { needs: [2] }), outline(2, { needs: [1] })],
    [outline(1, { needs: [7] })],
    [outline(1), outline(1)],
    [outline(1, { needs: [1] })],
  ].map((stages) => core.turn(submission(1, stages)).answers[0]);
  expect(refusals.map((answer) => answer?.kind)).toEqual(Array(5).fill('refused'));
  expect(core.state.runs.size).toBe(0);
});

test('The record of a run is asked for again until it is stored', () => {
  const core = new Core();
  core.join(1);
  core.submit(1, [outline(1)]);
  core.finish(core.attempt(runId(1)));
  expect(core.turn({ kind: 'RunStored', run: runId(9) }).answers).toEqual([{ kind: 'done' }]);
  expect(core.pass(9_000).effects).toEqual([]);
  expect(core.pass(2_000).effects).toEqual([{ kind: 'Record', run: runId(1) }]);
  core.restart();
  expect(core.turn().effects).toEqual([{ kind: 'Record', run: runId(1) }]);
  core.submit(2, [outline(1)]);
  expect(core.turn({ kind: 'RunStored', run: runId(2) }).answers[0]?.kind).toBe('refused');
});

test('The first digest of an image pins it for the run', () => {
  const core = new Core();
  core.join(1);
  core.join(2);
  const run = core.submit(1, [outline(1), outline(2)]);
  core.report(core.attempt(run, 1), { kind: 'ImageResolved', image: 'python:3', digest: 'sha256:a' });
  core.report(core.attempt(run, 2), { kind: 'ImageResolved', image: 'python:3', digest: 'sha256:b' });
  expect([...core.state.runs.get(run)!.images]).toEqual([['python:3', 'sha256:a']]);
});

test('What an attempt built is what its name means from then on', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const resolved = { kind: 'ImageResolved', image: 'team/app:1' } as const;
  core.report(core.attempt(run, 1), { ...resolved, digest: 'sha256:before' });
  core.report(core.attempt(run, 1), { ...resolved, digest: 'sha256:first-try', built: true });
  core.report(core.attempt(run, 1), { ...resolved, digest: 'sha256:built', built: true });
  core.report(core.attempt(run, 1), { ...resolved, digest: 'sha256:looked-up' });
  expect([...core.state.runs.get(run)!.images]).toEqual([['team/app:1', 'sha256:built']]);
});

test('A newer registration owns the id: what older processes say is refused', () => {
  const core = new Core();
  const agent = core.join(1);
  const old = core.heartbeat(agent);
  core.register(1);
  expect(core.turn({ kind: 'HeartbeatSeen', heartbeat: old }).answers[0]?.kind).toBe('refused');
  const link = { kind: 'LinkChanged', agent, up: true } as const;
  expect(core.turn({ ...link, instance: instanceId(1) }).answers[0]?.kind).toBe('refused');
  expect(core.turn({ ...link, instance: instanceId(2) }).answers[0]?.kind).toBe('done');
  const run = core.submit(1, [outline(1)]);
  expect(core.stage(run).phase.kind).toBe('waiting');
  core.beat(agent);
  expect(core.stage(run).phase.kind).toBe('leased');
});

test('A registration that is repeated changes nothing; one with other labels does', () => {
  const core = new Core();
  const agent = core.join(1);
  const { instance, keyHash, name, labels, slots, projects, trust, version, joinedBy } =
    core.state.agents.get(agent)!;
  const again = {
    kind: 'RegisterAgent',
    agent,
    instance,
    keyHash,
    name,
    labels,
    slots,
    projects,
    trust,
    version,
    joinedBy,
  } as const;
  expect(core.turn(again).events).toEqual([]);
  expect(kinds(core.turn({ ...again, labels: ['x'] }).events)).toEqual(['AgentRegistered']);
});

test('Times that an agent states are held within the lease and the present', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const { leasedAt } = core.attempt(run);
  core.pass(1_000);
  core.turn({ ...reportOf(core.attempt(run), { kind: 'AttemptStarted', executor: 'host' }), at: 5 });
  expect(core.attempt(run).startedAt).toBe(leasedAt);
  core.turn({ ...reportOf(core.attempt(run), { kind: 'StepStarted', step: 1, shell: 'sh' }), at: 9e15 });
  expect(core.attempt(run).steps[0]?.startedAt).toBe(core.wallMs);
});

test('Draining keeps new stages away until it is undone, over restarts of the agent and of the coordinator', () => {
  const core = new Core();
  const agent = core.join(1);
  const order = { kind: 'DrainAgent', agent, draining: true, by: 'ada' } as const;
  expect(core.turn(order).effects).toEqual([{ kind: 'Drain', agent, draining: true }]);
  expect(core.turn(order).effects).toEqual([]);
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  expect(core.reasons(run)[0]).toContain('draining');
  core.restart();
  expect(core.beat(agent).effects).toEqual([{ kind: 'Drain', agent, draining: true }]);
  expect(core.stage(run).phase.kind).toBe('waiting');
  expect(kinds(core.turn({ ...order, draining: false }).events)).toEqual(['AgentDraining', 'StageLeased']);
  expect(core.turn({ ...order, agent: 'unknown' as typeof agent }).answers[0]?.kind).toBe('not-found');
});

test('Facts of a run and its order survive a restart', () => {
  const core = new Core();
  const run = core.submit(1, [outline(1, { needs: [] }), outline(2, { needs: [1] })], { branch: 'main' });
  core.restart();
  expect(core.view(run)).toMatchObject({
    status: 'waiting',
    branch: 'main',
    project: facts().projectName,
    stages: [{ status: 'waiting' }, { status: 'pending' }],
  });
});
