import { expect, test } from 'vitest';
import type { EnvironmentSettings } from '../../../shared/model/environment.js';
import type { RunId } from '../../../shared/model/ids.js';
import { commitId, DeliveryCore, kinds, ofKind, record, runId, staging, token, told } from './core.js';

/** With deployments 1 and 2 verified, one after the other. */
function twice(settings: Partial<EnvironmentSettings> = {}): DeliveryCore {
  const core = new DeliveryCore();
  core.add(staging, settings);
  core.deploy(1);
  core.deploy(2);
  return core;
}

/** The rollback's run is there, and its only stage starts. */
function startRollback(core: DeliveryCore, run: RunId): void {
  core.see({ run, stage: 3 }, { kind: 'waiting' });
  core.see({ run, stage: 3 }, { kind: 'started', attempt: 1, token: token(500) });
}

function finishRollback(core: DeliveryCore, run: RunId): void {
  const end = { status: 'succeeded', hasBegunSteps: true } as const;
  core.see({ run, stage: 3 }, { kind: 'finished', attempt: 1, token: token(500), end });
}

const runOfRollback = (core: DeliveryCore, deployment: number): RunId =>
  core.environment().open.find((other) => other.deployment === deployment)!.run;

test('a rollback is a new deployment of the last verified one before what is there', () => {
  const core = twice();
  const asked = core.rollback(90);
  expect(asked.answers[0]).toEqual({ kind: 'deployment', deployment: 3, again: false });
  expect(kinds(asked.events)).toEqual(['DeployRequested', 'DeployLocked']);
  expect(ofKind(asked.effects, 'StartRollback')[0]).toMatchObject({
    deployment: 3,
    run: runId(90),
    stage: 3,
    ofRun: runId(1),
    ofStage: 3,
    by: 'grace',
  });
  expect(core.environment().open[0]!.record).toEqual(record(1));
  startRollback(core, runId(90));
  finishRollback(core, runId(90));
  expect(core.view()).toMatchObject({
    status: 'held',
    current: { deployment: 3, status: 'verified', rollbackOf: 1, commit: commitId(1) },
  });
});

test('a rollback needs no approval, and today’s secrets are put on its record', () => {
  const core = twice();
  core.add(staging, { approval: { by: [], notAuthor: true } });
  core.rollback(90);
  expect(core.how(3)).toBe('locked');
  const secrets = [{ name: 'DB_PASSWORD', hash: 'today' }];
  core.turn({ kind: 'AmendDeployment', ...staging, deployment: 3, env: record(1).env, secrets });
  expect(core.how(3)).toBe('locked');
  expect(core.environment().open[0]!.record).toEqual(record(1, { secrets }));
});

test('after a rollback the environment holds until something newer comes', () => {
  const core = twice();
  core.rollback(90);
  startRollback(core, runId(90));
  finishRollback(core, runId(90));
  expect(core.view().holds).toEqual([
    `rolled back from ${commitId(2)}: only what is newer goes to staging by itself`,
  ]);
  core.request(3);
  expect(core.order(3)).toEqual({ kind: 'start' });
  core.start(3);
  expect(core.view().holds).toEqual([]);
});

test('what was rolled back from does not come again by itself, and does after resume', () => {
  const core = twice();
  core.rollback(90);
  startRollback(core, runId(90));
  finishRollback(core, runId(90));
  core.request(20, staging, { record: record(2) });
  expect(core.how(4)).toBe('ready');
  expect(core.waitingFor(4)).toContain(`staging was rolled back from ${commitId(2)}`);
  core.restart();
  expect(core.order(20)).toEqual({ kind: 'wait' });
  core.turn({ kind: 'ResumeEnvironment', ...staging, by: 'grace' });
  expect(core.order(20)).toEqual({ kind: 'start' });
});

test('a second rollback goes back further', () => {
  const core = new DeliveryCore();
  core.add(staging);
  core.deploy(1);
  core.deploy(2);
  core.deploy(3);
  core.rollback(90);
  startRollback(core, runId(90));
  finishRollback(core, runId(90));
  core.rollback(91);
  expect(core.environment().open[0]).toMatchObject({ deployment: 5, of: { kind: 'rollback', of: 1 } });
  startRollback(core, runId(91));
  finishRollback(core, runId(91));
  expect(core.rollback(92).answers[0]).toMatchObject({ kind: 'refused' });
});

test('a rollback goes back behind the whole run that is there, whichever of its stages came last', () => {
  for (const isGood of [true, false]) {
    const core = new DeliveryCore();
    core.add(staging);
    for (const [n, stage] of [
      [1, 3],
      [1, 5],
      [2, 3],
      [2, 5],
    ] as const) {
      core.request(n, staging, { stage });
      const isBad = !isGood && n === 2 && stage === 5;
      const failure = { kind: 'exit-code', step: 1, exitCode: 1 } as const;
      const end = isBad ? ({ status: 'failed', failure } as const) : ({ status: 'succeeded' } as const);
      core.see(
        { run: runId(n), stage },
        { kind: 'finished', attempt: 1, token: token(n), end: { ...end, hasBegunSteps: true } },
      );
    }
    expect(core.how(4)).toBe(isGood ? 'verified' : 'failed');
    core.rollback(90);
    expect(core.environment().open[0]?.of).toMatchObject({ of: 2, ofRun: runId(1), ofStage: 5 });
  }
});

test('a rollback during a deployment waits for its end, and comes before what waits', () => {
  const core = twice();
  core.request(3);
  core.start(3);
  core.request(4);
  core.rollback(90);
  // Going back from what is under way means going to what is there.
  expect(core.environment().open.at(-1)).toMatchObject({ deployment: 5, of: { of: 2 } });
  expect(core.waitingFor(5)).toContain('has staging for itself');
  // Nothing but the rollback keeps the newer one.
  const compared = { kind: 'compared', order: 'newer' } as const;
  const pair = { one: commitId(4), other: commitId(3) };
  core.turn({ kind: 'CommitsCompared', ...staging, ...pair, answer: compared });
  core.finish(3);
  expect([core.how(3), core.how(4), core.how(5)]).toEqual(['verified', 'ready', 'locked']);
  expect(core.waitingFor(4)).toContain('has staging for itself');
  startRollback(core, runId(90));
  finishRollback(core, runId(90));
  // Newer than what was left: it goes on.
  expect(core.how(4)).toBe('locked');
});

test('a rollback while nobody knows how a deployment came out waits until that is settled', () => {
  const core = twice();
  core.request(3);
  core.start(3);
  core.lose(3);
  core.rollback(90);
  expect(core.how(4)).toBe('ready');
  core.settle(3, 'bad');
  expect(core.how(4)).toBe('locked');
});

test('two rollbacks at the same time are one, and the same request again is the same', () => {
  const core = twice();
  const ask = (n: number) => ({ kind: 'Rollback', ...staging, run: runId(n), by: 'grace' }) as const;
  expect(core.turn(ask(90), ask(91), ask(90)).answers).toEqual([
    { kind: 'deployment', deployment: 3, again: false },
    { kind: 'deployment', deployment: 3, again: true },
    { kind: 'deployment', deployment: 3, again: true },
  ]);
});

test('without a verified deployment there is no way back', () => {
  const core = new DeliveryCore();
  core.add(staging);
  expect(core.rollback(90).answers[0]).toMatchObject({ kind: 'refused' });
  core.deploy(1);
  expect(core.rollback(90).answers[0]).toMatchObject({ kind: 'refused' });
});

function failedVerify(settings: Partial<EnvironmentSettings> = {}): DeliveryCore {
  const core = new DeliveryCore();
  core.add(staging, { rollsBack: true, ...settings });
  core.deploy(1);
  core.request(2, staging, { record: record(2, { verifies: true }) });
  core.start(2);
  core.finish(2);
  return core;
}

test('a deployment is verified before it counts', () => {
  const core = failedVerify();
  expect(core.phase(2)).toBe('verifying');
  expect(core.order(2)).toEqual({ kind: 'leave' });
  core.verified(2, { kind: 'good' });
  expect(core.how(2)).toBe('verified');
  expect(core.order(2)).toMatchObject({ kind: 'end', status: 'succeeded' });
});

test('the settings’ verify counts as well as the stage’s', () => {
  const core = new DeliveryCore();
  core.add(staging, { verify: ['curl -f $URL'] });
  core.request(1);
  core.start(1);
  const ended = core.finish(1);
  expect(ofKind(ended.effects, 'Verify')[0]).toMatchObject({ commands: ['curl -f $URL'] });
});

test('an agent that ran the verify itself has answered it', () => {
  const core = new DeliveryCore();
  core.add(staging, { verify: ['true'] });
  core.request(1);
  core.start(1);
  core.finish(1, { verify: { kind: 'good' } });
  expect(core.how(1)).toBe('verified');
  core.request(2);
  core.start(2);
  core.finish(2, { verify: { kind: 'bad', reason: 'step 3 exited with code 1' } });
  expect(core.how(2)).toBe('verify-failed');
});

test('a failed verify rolls back by itself, once, and the environment holds', () => {
  const core = failedVerify();
  const bad = core.verified(2, { kind: 'bad', reason: 'it answers 500' });
  expect(kinds(bad.events)).toEqual(['DeployEnded', 'DeployRequested', 'DeployLocked']);
  expect(core.order(2)).toMatchObject({ status: 'failed', reason: 'its verify failed: it answers 500' });
  expect(told(bad.effects)).toEqual(['ended', 'rolling-back']);
  const [rollback] = core.environment().open;
  expect(rollback).toMatchObject({ deployment: 3, of: { of: 1, ofRun: runId(1), cause: 'verify-failed' } });
  core.restart();
  startRollback(core, rollback!.run);
  finishRollback(core, rollback!.run);
  expect(core.how(3)).toBe('verified');
  core.request(20, staging, { record: record(2) });
  expect(core.how(4)).toBe('ready');
});

test('a crash between the failed verify and the rollback does not lose the rollback, nor let anything between', () => {
  const core = failedVerify();
  core.request(3);
  core.verified(2, { kind: 'bad', reason: 'it answers 500' });
  // The last entry was cut behind the end.
  const last = core.journal.at(-1)!;
  core.journal[core.journal.length - 1] = { ...last, events: last.events.slice(0, 1) };
  core.replay();
  expect(kinds(core.turn().events)).toEqual(['DeployRequested', 'DeployLocked']);
  expect(core.environment().open.at(-1)!.of.kind).toBe('rollback');
  expect(core.how(3)).toBe('ready');
});

test('a failing rollback never rolls back again', () => {
  for (const how of ['steps', 'verify', 'unknown'] as const) {
    const core = failedVerify();
    const bad = { kind: 'bad', reason: 'it answers 500' } as const;
    core.verified(2, bad);
    core.add(staging, { rollsBack: true, verify: ['true'] });
    const run = runOfRollback(core, 3);
    startRollback(core, run);
    const failure = { kind: 'exit-code', step: 1, exitCode: 1 } as const;
    const end =
      how === 'steps'
        ? ({ status: 'failed', failure, hasBegunSteps: true } as const)
        : ({ status: 'succeeded', hasBegunSteps: true } as const);
    const at = { run, stage: 3 };
    const attempt = { attempt: 1, token: token(500) };
    if (how === 'unknown') core.see(at, { kind: 'lost', ...attempt, message: 'no heartbeat' });
    else core.see(at, { kind: 'finished', ...attempt, end });
    if (how !== 'steps') core.verified(3, bad);
    expect(core.how(3)).toBe(how === 'steps' ? 'failed' : 'verify-failed');
    expect(core.environment().open).toEqual([]);
    expect(core.environment().rollbackDue).toBeUndefined();
    expect(core.view().status).toBe('held');
  }
});

test('without the setting, or without a good one, a failed verify rolls nothing back', () => {
  const core = failedVerify({ rollsBack: false });
  core.verified(2, { kind: 'bad', reason: 'it answers 500' });
  expect(core.environment().open).toEqual([]);
  const first = new DeliveryCore();
  first.add(staging, { rollsBack: true, verify: ['true'] });
  first.request(1);
  first.start(1);
  first.finish(1);
  first.verified(1, { kind: 'bad', reason: 'it answers 500' });
  expect(first.environment().open).toEqual([]);
  expect(first.how(1)).toBe('verify-failed');
});

test('a failed verify while a rollback is asked for already makes no second one', () => {
  const core = failedVerify();
  core.rollback(90);
  core.verified(2, { kind: 'bad', reason: 'it answers 500' });
  expect(core.environment().open.map(({ deployment }) => deployment)).toEqual([3]);
});

test('a rollback whose run cannot be made ends, and is tried again when that is our fault', () => {
  const core = twice();
  core.rollback(90);
  const refused = { kind: 'RollbackRefused', ...staging, deployment: 3 } as const;
  core.turn({ ...refused, message: 'storage is away', isOurs: true });
  expect(core.waitingFor(3)).toBe('its run is being prepared (the last try: storage is away)');
  expect(ofKind(core.pass(5_000).effects, 'StartRollback')).toHaveLength(1);
  core.turn({ ...refused, message: 'the record is gone', isOurs: false });
  expect(core.how(3)).toBe('not-started');
  expect(core.environment().holder).toBeUndefined();
});

test('a rollback that has no run yet is withdrawn by reject', () => {
  const core = twice();
  core.request(3);
  core.start(3);
  core.rollback(90);
  core.turn({ kind: 'Reject', ...staging, deployment: 4, by: 'grace', reason: 'never mind' });
  expect(core.how(4)).toBe('rejected');
  core.finish(3);
  expect(core.how(3)).toBe('verified');
});
