import { expect, test } from 'vitest';
import { getsEnvironmentSecrets } from '../../../coordinator/delivery/stage-order.js';
import { at, day, DeliveryCore, kinds, ofKind, record, runId, staging, token, told } from './core.js';

function running(verifies = false): DeliveryCore {
  const core = new DeliveryCore();
  core.add(staging);
  core.request(1, staging, { record: record(1, { verifies }) });
  core.start(1);
  return core;
}

test('one deployment at a time: the next one waits for the end, whatever it is', () => {
  const core = running();
  core.request(2);
  expect(core.order(1)).toEqual({ kind: 'leave' });
  expect(core.order(2)).toEqual({ kind: 'wait' });
  expect(core.waitingFor(2)).toContain('has staging for itself');
  core.finish(1, { status: 'failed', failure: { kind: 'exit-code', step: 2, exitCode: 1 } });
  expect(core.how(1)).toBe('failed');
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'failed', failure: { kind: 'exit-code' } });
  expect(core.order(2)).toEqual({ kind: 'start' });
});

test('an agent killed before its attempt started costs nothing: the stage may be leased again', () => {
  const core = new DeliveryCore();
  core.add(staging);
  core.request(1);
  // The lease came to nothing, so the scheduler says that no attempt has started.
  core.see(at(1), { kind: 'waiting' });
  expect(core.order(1)).toEqual({ kind: 'start' });
  core.restart();
  expect(core.order(1)).toEqual({ kind: 'start' });
});

test('an agent killed after AttemptStarted and before its first step leaves it unknown: nobody can tell the difference', () => {
  const core = running();
  const lost = core.lose(1);
  expect(kinds(lost.events)).toEqual(['DeployUnknown']);
  expect(told(lost.effects)).toEqual(['unknown']);
  expect(core.order(1)).toEqual({ kind: 'leave' });
});

test('an agent killed after its first step leaves it unknown, and the environment blocked', () => {
  const core = running();
  core.lose(1);
  core.request(2);
  expect(core.view().status).toBe('unknown');
  expect(core.waitingFor(1)).toBe(
    'nobody knows how it came out (its agent was lost: no heartbeat): look at staging, then `gantry environments settle staging --good` or `--bad`',
  );
  expect(core.waitingFor(2)).toContain('takes no other before that is settled');
  for (let times = 0; times < 3; times += 1) {
    core.pass(10 * 60_000);
    core.restart();
    expect(core.order(1)).toEqual({ kind: 'leave' });
    expect(core.order(2)).toEqual({ kind: 'wait' });
  }
});

test('a leader that finds a locked deployment whose attempt has started and is lost knows that it began', () => {
  const core = new DeliveryCore();
  core.add(staging);
  core.request(1);
  // The entry with the agent's report was the last one of the old leader.
  const seen = core.lose(1);
  expect(kinds(seen.events)).toEqual(['DeployBegan', 'DeployUnknown']);
});

test('canceled or timed out in the middle it is unknown; before its first step nothing has changed', () => {
  for (const failure of [
    { kind: 'canceled', by: 'ada' },
    { kind: 'timed-out', step: 1, limitMs: 1_000 },
    { kind: 'agent-stopped', agent: 'a' },
    { kind: 'box-broken', message: 'daemon away' },
  ] as const) {
    const status = failure.kind === 'canceled' ? 'canceled' : 'failed';
    const core = running();
    core.finish(1, { status, failure });
    expect(core.phase(1)).toBe('unknown');
    expect(core.order(1)).toEqual({ kind: 'leave' });
    const other = running();
    other.finish(1, { status, failure, hasBegunSteps: false });
    expect(other.how(1)).toBe(status);
    expect(other.order(1)).toMatchObject({ kind: 'end', status });
    expect(other.environment().there).toBeUndefined();
    expect(other.environment().holder).toBeUndefined();
  }
});

test('a person settles it as good, and its run goes on', () => {
  const core = running();
  core.lose(1);
  expect(core.settle(1, 'good').answers[0]).toEqual({ kind: 'done' });
  expect(core.ended(1)!.end).toEqual({ kind: 'verified', by: 'grace' });
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'succeeded' });
});

test('a person settles it as bad: it failed, and the next one may begin', () => {
  const core = running();
  core.lose(1);
  core.request(2);
  core.settle(1, 'bad');
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'failed', reason: 'grace settled it as bad' });
  expect(core.order(2)).toEqual({ kind: 'start' });
});

test('only what is unknown, or whose verify never answers, is settled', () => {
  const core = running();
  expect(core.settle(1, 'good').answers[0]).toMatchObject({ kind: 'refused' });
  core.finish(1);
  expect(core.settle(1, 'good').answers[0]).toEqual({
    kind: 'refused',
    message: 'deployment 1 of staging has ended: it succeeded',
  });
  expect(core.settle(9, 'good').answers[0]).toMatchObject({ kind: 'not-found' });
  const other = running(true);
  other.finish(1);
  expect(other.phase(1)).toBe('verifying');
  other.settle(1, 'good');
  expect(other.how(1)).toBe('verified');
});

test('an agent that comes back goes on with it, and reports how it came out', () => {
  const core = running();
  core.lose(1);
  expect(kinds(core.start(1).events)).toEqual(['DeployReturned']);
  expect(core.phase(1)).toBe('running');
  expect(core.settle(1, 'bad').answers[0]).toMatchObject({ kind: 'refused' });
  core.finish(1);
  expect(core.how(1)).toBe('verified');
});

test('an agent that comes back with the end settles it', () => {
  const core = running();
  core.lose(1);
  core.finish(1);
  expect(core.how(1)).toBe('verified');
  const other = running();
  other.lose(1);
  other.finish(1, { status: 'canceled', failure: { kind: 'canceled', by: 'ada' } });
  // Its last word is that it does not know either.
  expect(other.waitingFor(1)).toContain('it was cut off: canceled by ada');
  other.restart();
  expect(other.phase(1)).toBe('unknown');
});

test('settled while the agent comes back: the first one counts, the other is noted and changes nothing', () => {
  const core = running();
  core.lose(1);
  core.request(2);
  core.settle(1, 'bad');
  core.start(2);
  const end = { status: 'succeeded', hasBegunSteps: true } as const;
  const late = core.turn({ kind: 'AgentReturned', ...at(1), token: token(1), end });
  expect(kinds(late.events)).toEqual(['DeployEndedLate']);
  expect(core.view().history[0]).toMatchObject({
    status: 'failed',
    reason: 'grace settled it as bad',
    late: 'its agent came back and says that it succeeded',
  });
  expect(core.phase(2)).toBe('running');
  expect(core.turn({ kind: 'AgentReturned', ...at(1), token: token(1), end }).events).toEqual([]);
});

test('the agent comes back while somebody settles: who settles learns how it ended', () => {
  const core = running();
  core.lose(1);
  core.finish(1, { status: 'failed', failure: { kind: 'exit-code', step: 1, exitCode: 3 } });
  expect(core.settle(1, 'good').answers[0]).toEqual({
    kind: 'refused',
    message: 'deployment 1 of staging has ended: step 1 exited with code 3',
  });
  expect(core.how(1)).toBe('failed');
});

test('its verify settles what is unknown, and is asked again while it cannot be had', () => {
  const core = running(true);
  const lost = core.lose(1);
  expect(ofKind(lost.effects, 'Verify')).toMatchObject([{ deployment: 1, verification: 1, failures: 0 }]);
  core.verified(1, { kind: 'unavailable', message: 'no agent' });
  expect(core.waitingFor(1)).toContain(
    'its verify is to say it, or somebody by `gantry environments settle staging` (the last try: no agent)',
  );
  expect(ofKind(core.pass(10_000).effects, 'Verify')).toMatchObject([{ verification: 1, failures: 1 }]);
  core.verified(1, { kind: 'good' });
  expect(core.how(1)).toBe('verified');
});

test('a verification that began before the agent came back says nothing of what it did since', () => {
  const core = running(true);
  core.lose(1);
  const early = core.environment().open[0]!.verification;
  const answer = { kind: 'VerifyAnswered', ...staging, deployment: 1, verification: early } as const;
  core.start(1);
  expect(core.turn({ ...answer, answer: { kind: 'bad', reason: 'old' } }).events).toEqual([]);
  core.finish(1);
  expect(core.phase(1)).toBe('verifying');
  expect(core.turn({ ...answer, answer: { kind: 'bad', reason: 'old' } }).events).toEqual([]);
  core.verified(1, { kind: 'good' });
  expect(core.how(1)).toBe('verified');
});

test('its run does not wait for ever for what is unknown; the environment does', () => {
  const core = running();
  core.lose(1);
  core.request(2);
  core.pass(7 * day);
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'failed' });
  expect(core.phase(1)).toBe('unknown');
  // The run is over and forgotten.
  core.see(at(1), undefined);
  core.restart();
  expect(core.phase(1)).toBe('unknown');
  expect(core.environment().holder).toBe(1);
  // The agent is back after all, and its stage has ended: what it says settles the environment.
  const end = { status: 'succeeded', hasBegunSteps: true } as const;
  core.turn({ kind: 'AgentReturned', ...at(1), token: token(1), end });
  expect(core.how(1)).toBe('verified');
});

test('a report of another attempt says nothing', () => {
  const core = running();
  core.lose(1);
  const end = { status: 'succeeded', hasBegunSteps: true } as const;
  expect(core.turn({ kind: 'AgentReturned', ...at(1), token: token(9), end }).events).toEqual([]);
  expect(core.phase(1)).toBe('unknown');
});

test('the stage has ended before it began: the environment is free', () => {
  const core = new DeliveryCore();
  core.add(staging);
  core.request(1);
  core.see(at(1), {
    kind: 'ended',
    status: 'failed',
    failure: { kind: 'no-agent', message: 'no agent with gpu' },
  });
  expect(core.how(1)).toBe('not-started');
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'failed', failure: { kind: 'no-agent' } });
  expect(core.environment().holder).toBeUndefined();
});

test('an attempt gets the secrets of its environment while it has that for itself, and nobody else does', () => {
  const core = running();
  core.request(2);
  const asks = (n: number): boolean => getsEnvironmentSecrets(core.deliveries, { ...at(n), token: token(n) });
  expect([asks(1), asks(2), asks(3)]).toEqual([true, false, false]);
  const other = (): boolean => getsEnvironmentSecrets(core.deliveries, { ...at(1), token: token(9) });
  expect(other()).toBe(false);
  // Its agent restarts, asks again for what it masks the log with, and goes on.
  core.lose(1);
  expect([asks(1), asks(2), other()]).toEqual([true, false, false]);
  core.settle(1, 'bad');
  expect(asks(1)).toBe(false);
});

test('stages of one run go to one environment one after the other, and take nobody’s place', () => {
  const core = new DeliveryCore();
  core.add(staging);
  for (const stage of [3, 5, 6]) core.request(1, staging, { stage });
  expect([core.how(1), core.how(2), core.how(3)]).toEqual(['locked', 'ready', 'ready']);
  for (const [deployment, stage] of [3, 5, 6].entries()) {
    expect(core.phase(deployment + 1)).toBe('locked');
    const end = { status: 'succeeded', hasBegunSteps: true } as const;
    core.see({ run: runId(1), stage }, { kind: 'finished', attempt: 1, token: token(stage), end });
    expect(core.how(deployment + 1)).toBe('verified');
  }
});
