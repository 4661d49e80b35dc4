import { expect, test } from 'vitest';
import { applyEntry, UnknownEvent } from '../../../coordinator/scheduler/apply.js';
import { JournalLostTail } from '../../../coordinator/scheduler/handle.js';
import type { Entry, Event } from '../../../shared/model/event.js';
import { Core, agentId, kinds, outline, plain, refOf, reportOf, token } from './core.js';

const lost = { kind: 'agent-lost', agent: 'agent1', message: 'gone' } as const;

/** Attempt 1 on agent 1, lost after it began. */
function lostAttempt(core: Core) {
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const first = core.attempt(run);
  core.start(first);
  core.pass(16_000);
  expect(first.phase.kind).toBe('lost');
  return { run, first };
}

test('Reports are taken in order, confirmed again when repeated, and asked for when missing', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const attempt = core.attempt(run);
  const step = { kind: 'StepStarted', step: 1, shell: 'sh' } as const;
  expect(core.report(attempt, step, 3)).toEqual({ kind: 'report-wanted', n: 1 });
  expect(core.start(attempt)).toEqual({ kind: 'reported', n: 1 });
  expect(core.report(attempt, step, 2)).toEqual({ kind: 'reported', n: 2 });
  const before = core.entries.length;
  expect(core.report(attempt, { kind: 'AttemptStarted', executor: 'docker' }, 1)).toEqual({
    kind: 'reported',
    n: 2,
  });
  expect(core.report(attempt, step, 2)).toEqual({ kind: 'reported', n: 2 });
  expect(core.report(attempt, step, 4)).toEqual({ kind: 'report-wanted', n: 3 });
  expect(core.entries.length).toBe(before);
  expect(attempt.steps.length).toBe(1);
});

test('Archived logs are confirmed after the end of the stage, and after the run has left', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const attempt = core.attempt(run);
  expect(core.report(attempt, { kind: 'LogsArchived' })).toMatchObject({ kind: 'refused' });
  core.finish(attempt);
  expect(core.report(attempt, { kind: 'LogsArchived' })).toEqual({ kind: 'reported', n: 2 });
  expect(attempt.phase).toMatchObject({ kind: 'finished', archived: true });
  expect(core.report(attempt, { kind: 'StepStarted', step: 1, shell: 'sh' })).toMatchObject({
    kind: 'refused',
  });
  core.turn({ kind: 'RunStored', run });
  expect(core.report(attempt, { kind: 'LogsArchived' }, 2)).toEqual({ kind: 'reported', n: 2 });
  expect(core.finish(attempt)).toMatchObject({ kind: 'overtaken' });
});

test('A report of a lost attempt revives it while no newer one was leased', () => {
  const core = new Core();
  const { run, first } = lostAttempt(core);
  expect(core.view(run).status).toBe('waiting');
  expect(core.report(first, { kind: 'StepStarted', step: 1, shell: 'sh' })).toEqual({
    kind: 'reported',
    n: 2,
  });
  expect(core.view(run).stages[0]?.status).toBe('running');
  core.beat(agentId(1));
  expect(core.finish(first)).toEqual({ kind: 'reported', n: 3 });
  expect(core.view(run).status).toBe('succeeded');
  expect(core.stage(run).attempts.length).toBe(1);
  core.restart();
});

test('Once a newer attempt is leased the older one is overtaken, and its agent is told to end it', () => {
  const core = new Core();
  const { run, first } = lostAttempt(core);
  core.join(2);
  core.passWith(4_000, { agent: agentId(2) });
  const second = core.attempt(run);
  expect(second).toMatchObject({ number: 2, agent: agentId(2) });
  expect(second.token).toBeGreaterThan(first.token);
  expect(core.finish(first)).toMatchObject({ kind: 'overtaken' });
  const held = [{ ...refOf(first), token: first.token }];
  const order = {
    kind: 'EndAttempt',
    agent: agentId(1),
    ref: refOf(first),
    token: first.token,
    why: 'overtaken',
  };
  expect(core.beat(agentId(1), { held }).effects).toEqual([expect.objectContaining(order)]);
  expect(core.beat(agentId(1), { held }).effects).toEqual([expect.objectContaining(order)]);
  expect(core.beat(agentId(1)).effects).toEqual([]);
  core.finish(second);
  expect(core.view(run).status).toBe('succeeded');
  expect(core.finish(first)).toMatchObject({ kind: 'overtaken' });
});

test('An agent that came back with a lost attempt which began may go on with it', () => {
  const core = new Core();
  const { run, first } = lostAttempt(core);
  const held = [{ ...refOf(first), token: first.token }];
  core.beat(agentId(1), { held });
  core.join(2);
  core.passWith(20_000, { agent: agentId(1), more: { held } }, { agent: agentId(2) });
  expect(core.stage(run).attempts.length).toBe(1);
  expect(core.reasons(run)).toEqual([
    'agent agent1 came back with attempt 1 of it: its next report is awaited',
  ]);
  // It drops the attempt after all.
  core.passWith(4_000, { agent: agentId(1) }, { agent: agentId(2) });
  expect(core.attempt(run)).toMatchObject({ number: 2, agent: agentId(2) });
});

test('A lost attempt that never began is not waited for, although its agent is back with it', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const first = core.attempt(run);
  core.pass(16_000);
  const held = [{ ...refOf(first), token: first.token }];
  core.beat(agentId(1), { held });
  core.join(2);
  core.passWith(6_000, { agent: agentId(1), more: { held } }, { agent: agentId(2) });
  expect(core.attempt(run)).toMatchObject({ number: 2, agent: agentId(2) });
});

test('A returned lease leaves its attempt number, never its token', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const first = core.attempt(run);
  expect(kinds(core.answer(first, { kind: 'refused', reason: 'disk full' }).events)).toEqual([
    'LeaseReturned',
  ]);
  expect(core.stage(run).attempts).toEqual([]);
  expect(core.start(first)).toMatchObject({ kind: 'overtaken' });
  core.passWith(4_000, { agent: agentId(1) });
  expect(core.attempt(run)).toMatchObject({ number: 1, token: token(2) });
  // The answer to the lease before says nothing about this one.
  core.answer(first, { kind: 'refused', reason: 'disk full' });
  expect(core.attempt(run).token).toBe(token(2));
});

test('Only the agent that holds an attempt may report it', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1)]);
  const report = reportOf(core.attempt(run), { kind: 'AttemptStarted', executor: 'host' });
  expect(core.turn({ ...report, agent: agentId(2) }).answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.turn({ ...report, ref: { ...report.ref, attempt: 2 } }).answers[0]).toMatchObject({
    kind: 'overtaken',
  });
});

test('A token that was never given out means that the journal lost its tail', () => {
  const core = new Core();
  const agent = core.join(1);
  const run = core.submit(1, [outline(1)]);
  const report = reportOf(core.attempt(run), { kind: 'AttemptStarted', executor: 'host' });
  // A report brings no proof of it; the agent keeps what it holds, and its heartbeat does.
  expect(core.turn({ ...report, token: token(2) }).answers[0]).toMatchObject({ kind: 'refused' });
  const held = [{ ...report.ref, token: token(2) }];
  expect(() => core.beat(agent, { held })).toThrow(JournalLostTail);
  expect(() => core.beat(agent, { held })).toThrow(/journal ends at token 1/);
});

test('An entry of a deposed leader is void, an unknown one stops the reader', () => {
  const core = new Core();
  core.submit(1, [outline(1)]);
  core.restart();
  const before = plain(core.state);
  const cancel: Event = { kind: 'CancelRequested', run: core.stage(core.submit(1, [])).run.run, by: 'eve' };
  const entry: Entry = { v: 1, at: core.wallMs, epoch: core.state.epoch - 1, events: [cancel] };
  expect(applyEntry(core.state, entry)).toBe('void');
  expect(plain(core.state)).toEqual(before);
  const read = (text: string): Entry => JSON.parse(text) as Entry;
  const epoch = core.state.epoch;
  expect(() => applyEntry(core.state, read(`{"v":2,"at":1,"epoch":${epoch},"events":[]}`))).toThrow(
    UnknownEvent,
  );
  expect(() =>
    applyEntry(core.state, read(`{"v":1,"at":1,"epoch":${epoch},"events":[{"kind":"Later"}]}`)),
  ).toThrow(/"Later"/);
});

test('A run keeps its failures apart: who failed, and what is tried again', () => {
  const core = new Core();
  core.join(1);
  const run = core.submit(1, [outline(1, { maxAttempts: 2 })]);
  core.finish(core.attempt(run), { status: 'failed', failure: { kind: 'box-broken', message: 'no daemon' } });
  expect(core.stage(run).phase.kind).toBe('waiting');
  expect(core.reasons(run)[0]).toMatch(/^attempt 1 ended \(no daemon\); the next one waits another 1 s$/);
  core.passWith(4_000, { agent: agentId(1) });
  expect(core.attempt(run).number).toBe(2);
  core.finish(core.attempt(run), { status: 'failed', failure: lost });
  expect(core.view(run)).toMatchObject({ status: 'failed', stages: [{ failure: lost }] });
  const other = core.submit(2, [outline(1)]);
  core.finish(core.attempt(other), {
    status: 'failed',
    failure: { kind: 'exit-code', step: 1, exitCode: 3 },
  });
  expect(core.view(other)).toMatchObject({ status: 'failed', stages: [{ attempts: [{ attempt: 1 }] }] });
});
