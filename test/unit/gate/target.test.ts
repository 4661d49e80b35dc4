import { expect, test } from 'vitest';
import { isPushWanted } from '../../../coordinator/gate/state.js';
import {
  GateCore,
  at,
  commitId,
  effectKinds,
  entryId,
  green,
  kinds,
  mergeOf,
  ofKind,
  queueOf,
  runOf,
  target,
  tip,
} from './core.js';

const foreign = commitId(0xf1);
const seen = (core: GateCore, at_: typeof foreign | null) =>
  core.turn({ kind: 'TargetSeen', ...at, tip: at_ });

test('a push past the gate is told, and the queue is built again on it', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.merged(2, mergeOf(1));
  core.started(runOf(1));
  expect(effectKinds(seen(core, foreign).effects)).toEqual(['FetchToVerify']);
  const fetched = core.fetched({ tip: foreign, by: ['mallory'] });
  expect(fetched.events).toMatchObject([
    { kind: 'GateBypassed', from: tip, to: foreign, by: ['mallory'] },
    { kind: 'GateRebuilt', entry: entryId(1), reason: 'target-moved' },
    { kind: 'GateRebuilt', entry: entryId(2), reason: 'ahead-changed' },
  ]);
  expect(effectKinds(fetched.effects)).toEqual(['Merge', 'notify', 'cancel-run', 'cancel-run']);
  expect(ofKind(fetched.effects, 'Merge')[0]!.base).toBe(foreign);
  expect(core.view.entries.map((entry) => entry.rebuilds)).toEqual([1, 1]);
});

test('after three pushes past the gate it says who keeps pushing, until something lands', () => {
  const core = queueOf(1);
  for (let n = 1; n <= 3; n += 1) {
    expect(core.view.notes).toEqual([]);
    seen(core, commitId(0xf0 + n));
    core.fetched({ tip: commitId(0xf0 + n), by: [n === 2 ? 'eve' : 'mallory'] });
  }
  expect(core.view.notes).toEqual([
    expect.stringContaining('mallory, eve pushed to main past the gate 3 times since the last landing'),
  ]);
  core.test(1, commitId(0xf3));
  core.pushAnswered(1, { kind: 'landed' });
  expect(core.view.notes).toEqual([]);
});

test('a guarded branch is known before anything was queued', () => {
  const core = new GateCore({ targets: [target] });
  seen(core, tip);
  expect(core.gate.tip).toBe(tip);
  core.fetched();
  seen(core, foreign);
  expect(kinds(core.fetched({ tip: foreign }).events)).toEqual(['GateBypassed']);
  expect(kinds(core.turn({ kind: 'TargetSeen', ...at, target: 'other', tip }).events)).toEqual([]);
});

test('polls that say the same do not make a fetch worthless', () => {
  const core = queueOf(1);
  seen(core, foreign);
  const { doubts } = core.presence.targets.get(core.gate)!;
  expect(seen(core, foreign).effects).toEqual([]);
  expect(core.presence.targets.get(core.gate)!.doubts).toBe(doubts);
  expect(effectKinds(seen(core, commitId(0xf2)).effects)).toEqual(['FetchToVerify']);
  expect(core.presence.targets.get(core.gate)!.doubts).toBe(doubts + 1);
});

test('a target that was rewound pauses the gate, and resuming goes on from where it is', () => {
  const core = queueOf(1);
  core.merged(1);
  seen(core, foreign);
  const fetched = core.fetched({ tip: foreign, isForward: false });
  expect(kinds(fetched.events)).toEqual(['GatePaused']);
  expect(effectKinds(fetched.effects)).toEqual(['notify']);
  expect(core.view).toMatchObject({
    status: 'paused',
    paused: { reason: `the target was rewound from ${tip} to ${foreign}: resume to go on from there` },
  });
  expect(seen(core, foreign).effects).toEqual([]);
  expect(effectKinds(core.turn({ kind: 'Resume', ...at, by: 'grace' }).effects)).toEqual(['FetchToVerify']);
  const again = core.fetched({ tip: foreign });
  expect(kinds(again.events)).toEqual(['GateTargetSeen', 'GateRebuilt']);
  expect(ofKind(again.effects, 'Merge')[0]!.base).toBe(foreign);
});

test('a target that is gone pauses the gate, also when it never was, and is never pushed to', () => {
  const core = queueOf(1);
  core.test(1);
  core.pushAnswered(1, { kind: 'moved' });
  const fetched = core.fetchAnswered({ kind: 'deleted' });
  expect(kinds(fetched.events)).toEqual(['GatePushFailed', 'GatePaused']);
  expect(effectKinds(fetched.effects)).toEqual(['notify']);
  expect(core.phase(1)).toBe('green');
  expect(core.pass(3_600_000).effects.every((effect) => effect.kind === 'DoChore')).toBe(true);

  const fresh = new GateCore();
  fresh.land(1);
  fresh.fetchAnswered({ kind: 'deleted' });
  expect(fresh.view.paused!.reason).toBe('the target does not exist: create it and resume');
  expect(fresh.view.entries).toHaveLength(1);
});

test('a push whose answer was lost has landed if the target contains it', () => {
  const core = queueOf(1);
  core.test(1);
  core.pushAnswered(1, { kind: 'unknown', message: 'the connection broke' });
  expect(core.view.entries[0]!.waitingFor).toEqual([
    'it was pushed to main, and whether it landed is being looked at: the connection broke',
  ]);
  const fetched = core.fetched({ tip: foreign, containsCandidate: true, by: ['mallory'] });
  expect(fetched.events).toMatchObject([
    { kind: 'GateLanded', commit: mergeOf(1), from: tip },
    { kind: 'GateBypassed', from: mergeOf(1), to: foreign },
  ]);
  // The push had been made twice, and the other answer comes late.
  expect(core.pushAnswered(1, { kind: 'moved' }).events).toEqual([]);
});

test('a push whose answer was lost is made again if the target is where it was', () => {
  const core = queueOf(1);
  core.test(1);
  core.pushAnswered(1, { kind: 'unknown', message: 'the connection broke' });
  expect(core.fetched().events).toEqual([]);
  expect(effectKinds(core.pass(5_000).effects)).toEqual(['Push']);
  core.pushAnswered(1, { kind: 'landed' });
  expect(core.gate.tip).toBe(mergeOf(1));
});

test('a target that moved under the push is fetched, and the entry is built again on it', () => {
  const core = queueOf(1);
  core.test(1);
  core.pushAnswered(1, { kind: 'moved' });
  const fetched = core.fetched({ tip: foreign });
  expect(kinds(fetched.events)).toEqual(['GatePushFailed', 'GateBypassed', 'GateRebuilt']);
  core.test(1, foreign, 1);
  core.pushAnswered(1, { kind: 'landed' }, 1);
  expect(core.gate.tip).toBe(mergeOf(1, 1));
});

test.each([
  ['before the push', { tip, containsCandidate: false }, ['Push'], []],
  ['after it', { tip: mergeOf(1), containsCandidate: true }, ['start-push-run'], ['GateLanded']],
] as const)('a leader killed %s, before its record: it lands once', (_when, answer, effects, events) => {
  const core = queueOf(1);
  core.test(1);
  expect(core.phase(1)).toBe('pushing');
  expect(effectKinds(core.restart().effects)).toEqual(['FetchToVerify']);
  const fetched = core.fetched(answer);
  expect(effectKinds(fetched.effects)).toEqual(effects);
  expect(kinds(fetched.events)).toEqual(events);
});

test('content that a hook refuses is ejected with the server’s words', () => {
  const core = queueOf(2);
  core.test(1);
  const answered = core.pushAnswered(1, { kind: 'refused-content', message: 'no tabs, please' });
  expect(effectKinds(answered.effects)).toEqual(['Merge', 'notify']);
  expect(core.view.ended[0]!.reason).toBe('the server refuses its content: no tabs, please');
});

test('a server that refuses the gate pauses it, maintainers are told, and the queue is kept', () => {
  const core = queueOf(2);
  core.test(1);
  const answered = core.pushAnswered(1, { kind: 'refused-credentials', message: 'protected branch' });
  expect(kinds(answered.events)).toEqual(['GatePushFailed', 'GatePaused']);
  expect(effectKinds(answered.effects)).toEqual(['notify']);
  expect(core.view.entries).toHaveLength(2);
  expect(core.view.entries[0]!.waitingFor).toEqual([
    "the gate stands still: the server refuses the gate's push: protected branch",
  ]);
  core.turn({ kind: 'Resume', ...at, by: 'grace' });
  expect(ofKind(core.fetched().effects, 'Push')).toHaveLength(1);
});

test('a fetch that is refused pauses, one that fails is made again', () => {
  const core = new GateCore();
  core.land(1);
  core.fetchAnswered({ kind: 'unavailable', message: 'no route to host' });
  expect(core.view.notes).toEqual(['main cannot be fetched: no route to host']);
  expect(core.view.entries[0]!.waitingFor).toEqual(['main cannot be fetched: no route to host']);
  expect(effectKinds(core.pass(3_000).effects)).toEqual(['FetchToVerify']);
  expect(kinds(core.fetchAnswered({ kind: 'refused-credentials', message: '403' }).events)).toEqual([
    'GatePaused',
  ]);
});

test('a candidate whose commits were lost is built again', () => {
  const core = queueOf(2, { depth: 2 });
  core.merged(1);
  core.started(runOf(1));
  const answered = core.mergeAnswered(2, mergeOf(1), { kind: 'base-missing' });
  expect(answered.events).toMatchObject([
    { kind: 'GateRebuilt', entry: entryId(1), reason: 'candidate-lost' },
  ]);
  core.test(1, tip, 1);
  core.pushAnswered(1, { kind: 'candidate-lost' }, 1);
  expect(core.phase(1)).toBe('queued');
});

test('a paused gate begins nothing, and what a person paused a person resumes', () => {
  const core = queueOf(1);
  core.merged(1);
  core.started(runOf(1));
  core.turn({ kind: 'Pause', ...at, by: 'grace', reason: 'release day' });
  expect(kinds(core.ended(runOf(1), green()).events)).toEqual(['GateRunEnded']);
  expect(core.view.paused!.reason).toBe('paused by grace: release day');
  expect(core.land(2).answers[0]).toMatchObject({ kind: 'queued', paused: 'paused by grace: release day' });
  expect(core.pass(60_000).effects).toEqual([]);
  core.turn({ kind: 'Resume', ...at, by: 'grace' });
  expect(effectKinds(core.fetched().effects)).toEqual(['Push']);
});

test('what was begun when a person paused is settled, and not begun again', () => {
  const core = queueOf(1);
  core.test(1);
  core.turn({ kind: 'Pause', ...at, by: 'grace' });
  core.restart();
  expect(kinds(core.fetched().events)).toEqual(['GatePushFailed']);
  expect(core.phase(1)).toBe('green');
});

test('a push that was taken for failed and comes after all has landed its entry', () => {
  const core = queueOf(1);
  core.test(1);
  core.turn({ kind: 'Pause', ...at, by: 'grace' });
  core.restart();
  expect(kinds(core.fetched().events)).toEqual(['GatePushFailed']);
  const late = mergeOf(1);
  seen(core, late);
  expect(kinds(core.fetched({ tip: late, containsCandidate: true }).events)).toEqual(['GateLanded']);
  expect(core.gate.tip).toBe(late);
});

test('an entry that is ejected while its push rests leaves once the target was looked at again', () => {
  const core = queueOf(1);
  core.test(1);
  core.pushAnswered(1, { kind: 'unknown', message: 'no route to host' });
  expect(core.fetched().events).toEqual([]);
  const asked = core.turn({ kind: 'Eject', ...at, entry: entryId(1), by: 'grace' });
  expect(core.phase(1)).toBe('pushing');
  expect(effectKinds(asked.effects)).toEqual(['FetchToVerify']);
  expect(kinds(core.fetched().events)).toEqual(['GatePushFailed', 'GateEjected']);
});

const ejecting = { kind: 'Eject', ...at, entry: entryId(1), by: 'grace' } as const;
const pausing = { kind: 'Pause', ...at, by: 'grace' } as const;
const isWanted = ({ gates }: GateCore): boolean => isPushWanted(gates, { ...at, commit: mergeOf(1) });

test.each([
  ['ejected', ejecting, ['GatePushFailed', 'GateEjected']],
  ['kept back by a pause', pausing, ['GatePushFailed']],
] as const)('an entry %s before its push was made is not pushed any more', (_how, command, events) => {
  const core = queueOf(1);
  core.test(1);
  expect(isWanted(core)).toBe(true);
  expect(effectKinds(core.turn(command).effects)).toEqual(['FetchToVerify']);
  expect(isWanted(core)).toBe(false);
  core.pushAnswered(1, { kind: 'unknown', message: 'it was not wanted when its turn came' });
  expect(kinds(core.fetched().events)).toEqual(events);
});

/** The answer to a fetch that looked before the first entry's push. */
const withoutTheCandidate = (doubts: number) =>
  ({
    kind: 'FetchAnswered',
    ...at,
    doubt: doubts,
    known: tip,
    candidate: mergeOf(1),
    answer: { kind: 'fetched', tip, isForward: true, containsCandidate: false, by: [] },
  }) as const;

test.each([
  ['an ejection', ejecting],
  ['a pause', pausing],
])('a fetch from before %s does not settle the push that was made since', (_what, command) => {
  const core = queueOf(1);
  core.test(1);
  seen(core, foreign);
  const { doubts } = core.presence.targets.get(core.gate)!;
  core.turn(command);
  const late = core.turn(withoutTheCandidate(doubts));
  expect(late.events).toEqual([]);
  expect(kinds(core.pushAnswered(1, { kind: 'landed' }).events)).toEqual(['GateLanded']);
});

test('a push that was not made because of a pause is made soon after it', () => {
  const core = queueOf(1);
  core.test(1);
  core.turn(pausing);
  core.turn({ kind: 'Resume', ...at, by: 'grace' });
  core.pushAnswered(1, { kind: 'unknown', message: 'it was not wanted when its turn came' });
  expect(core.fetched().events).toEqual([]);
  expect(effectKinds(core.pass(5_000).effects)).toEqual(['Push']);
});

test('a fetch that answers an older doubt proves nothing', () => {
  const core = queueOf(1);
  seen(core, foreign);
  const { doubts } = core.presence.targets.get(core.gate)!;
  seen(core, commitId(0xf2));
  const late = core.turn({
    kind: 'FetchAnswered',
    ...at,
    doubt: doubts,
    known: tip,
    answer: { kind: 'fetched', tip: foreign, isForward: true, containsCandidate: false, by: [] },
  });
  expect(late.events).toEqual([]);
  expect(core.view.notes).toEqual(['main is being fetched, to see where it is']);
});

test('a fetch from before a landing does not take the landing back', () => {
  const core = queueOf(1);
  core.test(1);
  seen(core, mergeOf(1));
  const { doubts } = core.presence.targets.get(core.gate)!;
  core.pushAnswered(1, { kind: 'landed' });
  const late = core.turn(withoutTheCandidate(doubts));
  expect(late.events).toEqual([]);
  expect(effectKinds(late.effects)).toEqual(['FetchToVerify']);
  expect(core.gate.tip).toBe(mergeOf(1));
});
