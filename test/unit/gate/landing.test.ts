import { expect, test } from 'vitest';
import {
  GateCore,
  at,
  changeOf,
  commitId,
  effectKinds,
  entryId,
  failing,
  green,
  kinds,
  mergeOf,
  ofKind,
  project,
  queueOf,
  runOf,
  tip,
} from './core.js';

test('a change is fetched for, merged, tested, pushed and landed, and its push run is started', () => {
  const core = new GateCore();
  const landed = core.land(1);
  expect(landed.answers).toEqual([{ kind: 'queued', entry: entryId(1), place: 1, again: false }]);
  expect(landed.effects).toEqual([{ kind: 'FetchToVerify', ...at, doubt: 1 }]);

  const fetched = core.fetched();
  expect(kinds(fetched.events)).toEqual(['GateTargetSeen']);
  expect(ofKind(fetched.effects, 'Merge')[0]).toMatchObject({
    entry: entryId(1),
    base: tip,
    of: { commit: changeOf(1), method: 'merge', by: 'ada' },
  });

  const merged = core.merged(1);
  expect(ofKind(merged.effects, 'StartRun')[0]).toMatchObject({
    run: runOf(1),
    candidate: { commit: mergeOf(1) },
  });
  expect(core.started(runOf(1)).effects).toEqual([]);

  const ended = core.ended(runOf(1), green());
  expect(kinds(ended.events)).toEqual(['GateRunEnded', 'GatePushBegan']);
  expect(ended.effects).toEqual([
    { kind: 'Push', ...at, entry: entryId(1), commit: mergeOf(1), expected: tip },
  ]);

  const pushed = core.pushAnswered(1, { kind: 'landed' });
  expect(kinds(pushed.events)).toEqual(['GateLanded']);
  expect(core.gate.tip).toBe(mergeOf(1));
  expect(pushed.effects).toEqual([
    {
      kind: 'DoChore',
      ...at,
      chore: 1,
      what: { kind: 'start-push-run', from: tip, to: mergeOf(1), gateRun: runOf(1), by: 'ada' },
    },
  ]);
  expect(core.view).toMatchObject({
    status: 'idle',
    tip: mergeOf(1),
    entries: [],
    ended: [{ status: 'landed', landedAs: mergeOf(1), run: runOf(1) }],
  });
});

test('with depth 1 the second is merged onto what the first landed as, and not before', () => {
  const core = queueOf(2);
  expect(core.view.entries[1]!.waitingFor).toEqual([
    'the gate tests one entry at a time, and others are ahead of it',
  ]);
  core.test(1);
  expect(core.phase(2)).toBe('queued');
  const pushed = core.pushAnswered(1, { kind: 'landed' });
  expect(ofKind(pushed.effects, 'Merge')[0]).toMatchObject({ entry: entryId(2), base: mergeOf(1) });
  core.test(2, mergeOf(1));
  core.pushAnswered(2, { kind: 'landed' });
  expect(core.gate.tip).toBe(mergeOf(2));
});

test('a change that fails is ejected, its lander is told, and the next is tested without it', () => {
  const core = queueOf(2);
  core.merged(1);
  core.started(runOf(1));
  const ended = core.ended(runOf(1), failing);
  expect(kinds(ended.events)).toEqual(['GateRunEnded', 'GateEjected']);
  expect(effectKinds(ended.effects)).toEqual(['Merge', 'notify']);
  expect(ofKind(ended.effects, 'DoChore')[0]!.what).toMatchObject({
    kind: 'notify',
    notice: {
      kind: 'ejected',
      entry: { by: 'ada', title: 'change 1' },
      ejection: { kind: 'failed', run: runOf(1), failure: { kind: 'exit-code' } },
    },
  });
  expect(ofKind(ended.effects, 'Merge')[0]).toMatchObject({ entry: entryId(2), base: tip });
  expect(core.view.ended[0]!.reason).toBe('stage test failed: step 1 exited with code 1');
});

test('a conflict with the target ejects, and names the files', () => {
  const core = queueOf(1);
  const answered = core.mergeAnswered(1, tip, { kind: 'conflict', files: ['a.txt', 'b.txt'] });
  expect(kinds(answered.events)).toEqual(['GateConflicted', 'GateEjected']);
  expect(core.view.ended[0]!.reason).toBe('it conflicts with the target in a.txt, b.txt');
});

test('what the target contains already ends without a run', () => {
  const core = queueOf(1);
  const answered = core.mergeAnswered(1, tip, { kind: 'contained' });
  expect(kinds(answered.events)).toEqual(['GateContained', 'GateAlreadyLanded']);
  expect(answered.effects).toEqual([]);
  expect(core.view.ended[0]).toMatchObject({ status: 'already-landed', run: null });
});

test('a commit that is not to be had any more is ejected', () => {
  const core = queueOf(1);
  core.mergeAnswered(1, tip, { kind: 'commit-missing', message: 'no such object' });
  expect(core.view.ended[0]!.reason).toBe('its commit cannot be fetched: no such object');
});

test('a merge that cannot be done is done later, and says why', () => {
  const core = queueOf(1);
  expect(core.mergeAnswered(1, tip, { kind: 'unavailable', message: 'the disk is full' }).effects).toEqual(
    [],
  );
  expect(core.view.entries[0]!.waitingFor).toEqual(['it could not be merged yet: the disk is full']);
  expect(effectKinds(core.pass(3_000).effects)).toEqual(['Merge']);
  core.mergeAnswered(1, tip, { kind: 'unavailable', message: 'the disk is full' });
  expect(core.pass(3_000).effects).toEqual([]);
  expect(effectKinds(core.pass(3_000).effects)).toEqual(['Merge']);
});

test('the same request again is the same entry, and a commit is in the queue once', () => {
  const core = queueOf(1);
  expect(core.land(1).answers).toEqual([{ kind: 'queued', entry: entryId(1), place: 1, again: true }]);
  expect(core.land(2, { commit: changeOf(1) }).answers).toEqual([
    { kind: 'queued', entry: entryId(1), place: 1, again: true },
  ]);
  expect(core.land(1, { commit: changeOf(9) }).answers[0]).toMatchObject({ kind: 'refused' });
  core.test(1);
  core.pushAnswered(1, { kind: 'landed' });
  expect(core.land(1).answers[0]).toMatchObject({ kind: 'ended', end: { kind: 'landed' } });
  expect(core.gate.entries).toEqual([]);
});

test('nothing lands where there is no gate, nor a target on itself', () => {
  const core = new GateCore();
  expect(core.land(1, { source: { kind: 'branch', ref: 'refs/heads/main' } }).answers[0]).toMatchObject({
    kind: 'refused',
  });
  core.settings = undefined;
  expect(core.land(1).answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.events).toEqual([]);
});

test('a queue has a bound', () => {
  const core = new GateCore();
  for (let n = 1; n <= 1_000; n += 1) core.land(n);
  expect(core.land(1_001).answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.gate.entries).toHaveLength(1_000);
});

test('a proposal’s ref is deleted when it landed or was ejected, and is not queued again meanwhile', () => {
  const source = { kind: 'proposal', ref: 'refs/for/main/login' } as const;
  const core = new GateCore();
  core.land(1, { source, method: 'squash' });
  core.fetched();
  expect(core.entry(1)!.method).toBe('squash');
  core.merged(1);
  core.started(runOf(1));
  const ended = core.ended(runOf(1), failing);
  const deletion = ofKind(ended.effects, 'DoChore').find(({ what }) => what.kind === 'delete-ref')!;
  expect(deletion.what).toEqual({ kind: 'delete-ref', ref: source.ref, old: changeOf(1) });
  // A poll sees the ref still.
  expect(core.land(2, { source, commit: changeOf(1) }).answers[0]).toMatchObject({
    kind: 'ended',
    entry: entryId(1),
  });
  core.turn({ kind: 'ChoreDone', ...at, chore: deletion.chore });
  expect(core.land(3, { source, commit: changeOf(1) }).answers[0]).toMatchObject({
    kind: 'queued',
    entry: entryId(3),
  });
});

test('a chore is done again until it is confirmed, also by the next leader', () => {
  const core = queueOf(1);
  core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' });
  expect(effectKinds(core.pass(61_000).effects)).toEqual(['notify']);
  expect(effectKinds(core.restart().effects)).toEqual(['FetchToVerify', 'notify']);
  expect(kinds(core.turn({ kind: 'ChoreDone', ...at, chore: 1 }).events)).toEqual(['GateChoreDone']);
  expect(core.turn({ kind: 'ChoreDone', ...at, chore: 1 }).events).toEqual([]);
  expect(core.gate.chores.size).toBe(0);
});

test('gates of other targets and projects do not mix', () => {
  const core = queueOf(1);
  core.land(2, { target: 'release/1.0' });
  expect([...core.gates.all.keys()]).toEqual([`${project}/main`, `${project}/release/1.0`]);
  expect(core.gate.entries).toHaveLength(1);
});

test('an answer that belongs to nothing changes nothing', () => {
  const core = queueOf(1);
  const before = core.events.length;
  core.merged(1, commitId(0xbad));
  core.merged(7);
  core.started(runOf(1));
  core.ended(runOf(1), green());
  core.pushAnswered(1, { kind: 'moved' });
  core.turn({ kind: 'ChoreDone', ...at, chore: 5 });
  expect(core.events).toHaveLength(before);
});
