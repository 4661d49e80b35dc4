import { expect, test } from 'vitest';
import {
  at,
  effectKinds,
  entryId,
  failing,
  green,
  kinds,
  mergeOf,
  ofKind,
  queueOf,
  runOf,
  tip,
  type GateCore,
} from './core.js';

/** Three entries, each merged onto the result of the one before, and under test. */
function threeInFlight(): GateCore {
  const core = queueOf(4, { depth: 3 });
  core.merged(1);
  expect(ofKind(core.merged(2, mergeOf(1)).effects, 'Merge')[0]).toMatchObject({
    entry: entryId(3),
    base: mergeOf(2),
  });
  core.merged(3, mergeOf(2));
  for (const n of [1, 2, 3]) core.started(runOf(n));
  return core;
}

test('several are tested at once, and land in their order', () => {
  const core = threeInFlight();
  expect(core.phase(4)).toBe('queued');
  core.ended(runOf(3), green());
  core.ended(runOf(2), green());
  expect(core.view.entries[1]!.waitingFor).toEqual(['it is green, and lands after change1']);
  expect(ofKind(core.ended(runOf(1), green()).effects, 'Push')).toMatchObject([{ entry: entryId(1) }]);
  expect(effectKinds(core.pushAnswered(1, { kind: 'landed' }).effects)).toEqual([
    'Push',
    'Merge',
    'start-push-run',
  ]);
  core.pushAnswered(2, { kind: 'landed' });
  core.pushAnswered(3, { kind: 'landed' });
  expect(core.gate.tip).toBe(mergeOf(3));
  expect(core.view.ended.map((entry) => entry.rebuilds)).toEqual([0, 0, 0]);
});

test('when the head is ejected those behind it are built again without it', () => {
  const core = threeInFlight();
  const ended = core.ended(runOf(1), failing);
  expect(ended.events).toMatchObject([
    { kind: 'GateRunEnded', entry: entryId(1) },
    { kind: 'GateEjected', entry: entryId(1) },
    { kind: 'GateRebuilt', entry: entryId(2), reason: 'ahead-changed' },
    { kind: 'GateRebuilt', entry: entryId(3), reason: 'ahead-changed' },
  ]);
  expect(effectKinds(ended.effects)).toEqual(['Merge', 'notify', 'cancel-run', 'cancel-run']);
  expect(ofKind(ended.effects, 'Merge')).toMatchObject([{ entry: entryId(2), base: tip }]);
});

test('a failure on top of others waits for them, and those behind are built without it meanwhile', () => {
  const core = threeInFlight();
  const ended = core.ended(runOf(2), failing);
  expect(kinds(ended.events)).toEqual(['GateRunEnded', 'GateRebuilt']);
  expect(ofKind(ended.effects, 'Merge')).toMatchObject([{ entry: entryId(3), base: mergeOf(1) }]);
  expect(core.view.entries[1]!.waitingFor).toEqual([
    'on top of the entries ahead of it, stage test failed: it is ejected if they land, and tested without those that do not',
  ]);
  core.test(3, mergeOf(1), 1);
  core.ended(runOf(1), green());
  const landed = core.pushAnswered(1, { kind: 'landed' });
  expect(kinds(landed.events)).toEqual(['GateLanded', 'GateEjected', 'GatePushBegan']);
  core.pushAnswered(3, { kind: 'landed' }, 1);
  expect(core.gate.tip).toBe(mergeOf(3, 1));
});

test('a failure on top of one that is ejected is tested again, and lands', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.merged(2, mergeOf(1));
  core.started(runOf(1));
  core.started(runOf(2));
  core.ended(runOf(2), failing);
  core.ended(runOf(1), failing);
  expect(core.phase(2)).toBe('queued');
  core.test(2, tip, 1);
  core.pushAnswered(2, { kind: 'landed' }, 1);
  expect(core.gate.tip).toBe(mergeOf(2, 1));
});

test('a conflict with an entry ahead waits until that one has landed', () => {
  const core = queueOf(3, { depth: 3 });
  core.merged(1);
  const answered = core.mergeAnswered(2, mergeOf(1), { kind: 'conflict', files: ['a.txt'] });
  expect(kinds(answered.events)).toEqual(['GateConflicted']);
  // Those behind it are tested as if it were gone.
  expect(ofKind(answered.effects, 'Merge')).toMatchObject([{ entry: entryId(3), base: mergeOf(1) }]);
  expect(core.view.entries[1]).toMatchObject({
    status: 'conflict',
    waitingFor: [
      'it conflicts with an entry ahead of it in a.txt: it is merged again when that one has landed or left',
    ],
  });
  core.started(runOf(1));
  core.ended(runOf(1), green());
  core.pushAnswered(1, { kind: 'landed' });
  expect(core.view.ended[0]).toMatchObject({ entry: entryId(2), status: 'ejected' });
});

test('a conflict with an entry ahead is no conflict when that one leaves', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.mergeAnswered(2, mergeOf(1), { kind: 'conflict', files: ['a.txt'] });
  const ejected = core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' });
  expect(kinds(ejected.events)).toEqual(['GateEjected', 'GateRebuilt']);
  core.test(2, tip, 1);
  expect(core.phase(2)).toBe('pushing');
});

test('what an entry ahead contains waits for it, and ends without a run', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.mergeAnswered(2, mergeOf(1), { kind: 'contained' });
  expect(core.view.entries[1]!.waitingFor).toEqual([
    'an entry ahead of it contains it: it ends when that one has landed or left',
  ]);
  core.started(runOf(1));
  core.ended(runOf(1), green());
  core.pushAnswered(1, { kind: 'landed' });
  expect(core.view.ended.map((entry) => entry.status)).toEqual(['already-landed', 'landed']);
});

test('a merge onto what is no longer ahead is dropped', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' });
  expect(core.merged(2, mergeOf(1)).events).toEqual([]);
  expect(kinds(core.merged(2, tip).events)).toEqual(['GateMerged']);
});
