import { expect, test } from 'vitest';
import {
  at,
  changeOf,
  commitId,
  effectKinds,
  entryId,
  green,
  kinds,
  mergeOf,
  ofKind,
  project,
  queueOf,
  runOf,
  tip,
} from './core.js';

const ref = 'refs/heads/change1';

test('a force-pushed branch takes its entry out of the queue, and its run is canceled', () => {
  const core = queueOf(1);
  core.merged(1);
  core.started(runOf(1));
  const turned = core.turn({
    kind: 'RefChanged',
    project,
    ref,
    change: { kind: 'forced', to: commitId(0xf) },
  });
  expect(kinds(turned.events)).toEqual(['GateEjected']);
  expect(effectKinds(turned.effects)).toEqual(['cancel-run', 'notify']);
  expect(ofKind(turned.effects, 'DoChore')[0]!.what).toEqual({ kind: 'cancel-run', run: runOf(1) });
  expect(core.view.ended[0]!.reason).toBe(`${ref} was force-pushed to ${commitId(0xf)}`);
  expect(core.gate.entries).toEqual([]);
});

test('a deleted branch takes its entry out of the queue', () => {
  const core = queueOf(1);
  core.turn({ kind: 'RefChanged', project, ref, change: { kind: 'deleted' } });
  expect(core.view.ended[0]!.reason).toBe(`${ref} was deleted`);
});

test('a branch that goes on, is where its entry is, or is another’s changes nothing', () => {
  const core = queueOf(1);
  core.turn({ kind: 'RefChanged', project, ref, change: { kind: 'forward', to: commitId(0xf) } });
  core.turn({ kind: 'RefChanged', project, ref, change: { kind: 'forced', to: changeOf(1) } });
  core.turn({ kind: 'RefChanged', project, ref: 'refs/heads/other', change: { kind: 'deleted' } });
  expect(core.phase(1)).toBe('queued');
});

test('a branch that is landed again takes the place of its older commit, at the end of the queue', () => {
  const core = queueOf(2);
  const landed = core.land(3, { source: { kind: 'branch', ref } });
  expect(kinds(landed.events)).toEqual(['GateEjected', 'GateQueued']);
  expect(landed.answers[0]).toMatchObject({ kind: 'queued', place: 2 });
  expect(core.gate.entries.map((entry) => entry.entry)).toEqual([entryId(2), entryId(3)]);
  expect(core.view.ended[0]!.reason).toContain('takes its place');
});

test('a run that a person canceled ejects its entry, wherever it is in the queue', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.merged(2, mergeOf(1));
  core.started(runOf(2));
  const ended = core.ended(runOf(2), {
    status: 'canceled',
    stages: [{ ...green().stages[0]!, status: 'canceled', failure: { kind: 'canceled', by: 'grace' } }],
  });
  expect(kinds(ended.events)).toEqual(['GateRunEnded', 'GateEjected']);
  expect(core.view.ended[0]!.reason).toBe(`its run ${runOf(2)} was canceled by grace`);
});

test('who ejects says so, and an entry that has left cannot be ejected', () => {
  const core = queueOf(1);
  const ejection = { kind: 'Eject', ...at, entry: entryId(1), by: 'grace', reason: 'it waits' } as const;
  expect(core.turn(ejection).answers[0]).toEqual({ kind: 'done' });
  expect(core.view.ended[0]!.reason).toBe('ejected by grace: it waits');
  expect(core.turn(ejection).answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.turn({ ...ejection, entry: entryId(5) }).answers[0]).toMatchObject({ kind: 'not-found' });
});

test('an entry ejected while it is pushed has landed if the push did', () => {
  const core = queueOf(1);
  core.test(1);
  expect(core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' }).answers[0]).toMatchObject({
    kind: 'leaving',
  });
  expect(core.view.entries[0]!.waitingFor).toEqual([
    'it is being pushed to main',
    'it leaves the queue if its push does not succeed',
  ]);
  core.pushAnswered(1, { kind: 'landed' });
  expect(core.view.ended[0]!.status).toBe('landed');
});

test('an entry ejected while it is pushed leaves when the push is seen not to have landed', () => {
  const core = queueOf(1);
  core.test(1);
  core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' });
  const answered = core.pushAnswered(1, { kind: 'unknown', message: 'the connection broke' });
  expect(effectKinds(answered.effects)).toEqual(['FetchToVerify']);
  const fetched = core.fetched();
  expect(kinds(fetched.events)).toEqual(['GatePushFailed', 'GateEjected']);
  expect(core.gate.tip).toBe(tip);
});

test('a run is wanted until its entry leaves', () => {
  const core = queueOf(1);
  core.merged(1);
  expect(core.gates.runs.has(runOf(1))).toBe(true);
  core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' });
  expect(core.gates.runs.has(runOf(1))).toBe(false);
  expect(core.ended(runOf(1), green()).events).toEqual([]);
});
