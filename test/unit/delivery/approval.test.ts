import { expect, test } from 'vitest';
import type { EnvironmentSettings } from '../../../shared/model/environment.js';
import { at, commitId, day, DeliveryCore, kinds, ofKind, record, staging, told } from './core.js';

/** An environment that wants approval, with deployment 1 waiting for it. */
function waiting(settings: Partial<EnvironmentSettings> = {}): DeliveryCore {
  const core = new DeliveryCore();
  core.add(staging, { approval: { by: ['grace', 'linus'], notAuthor: true }, ...settings });
  core.request(1);
  return core;
}

test('continuous deployment is one without approval: it begins at once', () => {
  const core = new DeliveryCore();
  core.add(staging);
  expect(kinds(core.request(1).events)).toEqual(['DeployRequested', 'DeployCleared', 'DeployLocked']);
  expect(core.order(1)).toEqual({ kind: 'start' });
});

test('approval comes before lock and slot, and its approvers are told', () => {
  const core = new DeliveryCore();
  core.add(staging, { approval: { by: ['grace'], notAuthor: false } });
  const requested = core.request(1);
  expect(kinds(requested.events)).toEqual(['DeployRequested', 'DeployApprovalAsked']);
  expect(ofKind(requested.effects, 'Tell')[0]!.what.notice).toEqual({
    kind: 'approval-wanted',
    approvers: ['grace'],
  });
  expect(core.order(1)).toEqual({ kind: 'wait' });
  expect(core.environment().holder).toBeUndefined();
  expect(core.waitingFor(1)).toBe('it waits for the approval of grace (`gantry approve`)');
  const approved = core.approve(1);
  expect(approved.answers[0]).toEqual({ kind: 'deployment', deployment: 1, again: false });
  expect(kinds(approved.events)).toEqual(['DeployApproved', 'DeployLocked']);
  expect(core.order(1)).toEqual({ kind: 'start' });
});

test('two approvals at the same time are one', () => {
  const core = waiting();
  const turned = core.turn(core.approval(1), core.approval(1, { by: 'linus' }));
  expect(turned.answers).toEqual([
    { kind: 'deployment', deployment: 1, again: false },
    { kind: 'deployment', deployment: 1, again: true },
  ]);
  expect(core.view().open[0]!.approvedBy).toBe('grace');
  expect(kinds(turned.events)).toEqual(['DeployApproved', 'DeployLocked']);
});

test('of an approval and a rejection at the same time the first one counts', () => {
  const first = waiting();
  const reject = { kind: 'Reject', ...staging, deployment: 1, by: 'linus', reason: 'not today' } as const;
  const approved = first.turn(first.approval(1), reject);
  expect(approved.answers[1]).toMatchObject({ kind: 'refused' });
  expect(first.how(1)).toBe('locked');
  const other = waiting();
  const rejected = other.turn(reject, other.approval(1));
  expect(rejected.answers[1]).toEqual({
    kind: 'refused',
    message: 'deployment 1 of staging has ended: linus rejected it: not today',
  });
  expect(other.order(1)).toMatchObject({ kind: 'end', status: 'failed' });
});

test('an approval after the cancel is refused, in the same turn and later', () => {
  const core = waiting();
  core.sights.set(`${at(1).run}/${at(1).stage}`, { kind: 'waiting', canceledBy: 'ada' });
  const turned = core.turn(core.approval(1));
  expect(turned.answers[0]).toEqual({ kind: 'refused', message: 'its run was canceled by ada' });
  expect(core.how(1)).toBe('canceled');
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'canceled' });
  expect(core.approve(1).answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.environment().holder).toBeUndefined();
});

test('a cancel after the approval, before its attempt starts, lets the environment go', () => {
  const core = waiting();
  core.request(2);
  core.approve(2);
  expect(core.order(2)).toEqual({ kind: 'start' });
  core.see(at(2), { kind: 'ended', status: 'canceled', failure: { kind: 'canceled', by: 'ada' } });
  expect(core.how(2)).toBe('canceled');
  expect(core.environment().there).toBeUndefined();
});

test('who submitted, landed or wrote it may not approve, and may reject', () => {
  const core = waiting({ approval: { by: [], notAuthor: true } });
  expect(core.approve(1, { by: 'ada' }).answers[0]).toMatchObject({ kind: 'refused' });
  const authors = { since: null, users: ['linus'] };
  expect(core.approve(1, { by: 'linus', authors }).answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.how(1)).toBe('approval');
  const rejected = core.turn({
    kind: 'Reject',
    ...staging,
    deployment: 1,
    by: 'ada',
    reason: 'mine, and bad',
  });
  expect(rejected.answers[0]).toEqual({ kind: 'done' });
  expect(core.how(1)).toBe('rejected');
});

test('where authors may, they do', () => {
  const core = waiting({ approval: { by: [], notAuthor: false } });
  core.approve(1, { by: 'ada', authors: { since: null, users: ['ada'] } });
  expect(core.how(1)).toBe('locked');
});

test('whoever is not named approves and rejects nothing', () => {
  const core = waiting();
  expect(core.approve(1, { by: 'mallory' }).answers[0]).toMatchObject({ kind: 'refused' });
  const rejected = core.turn({ kind: 'Reject', ...staging, deployment: 1, by: 'mallory', reason: 'x' });
  expect(rejected.answers[0]).toMatchObject({ kind: 'refused' });
  expect(core.how(1)).toBe('approval');
});

test('authors since another deployment than the one that is there are not the authors of it', () => {
  const core = new DeliveryCore();
  core.add(staging);
  core.deploy(1);
  core.add(staging, { approval: { by: [], notAuthor: true } });
  core.request(2);
  const stale = core.approve(2, { authors: { since: null, users: [] } });
  expect(stale.answers[0]).toMatchObject({ kind: 'stale' });
  expect(core.approve(2, { authors: { since: commitId(1), users: [] } }).answers[0]).toMatchObject({
    kind: 'deployment',
  });
});

test('an approval is of what was looked at: other variables are asked for again', () => {
  const core = waiting();
  const seen = core.approval(1);
  const amended = core.turn({
    kind: 'AmendDeployment',
    ...staging,
    deployment: 1,
    env: [{ name: 'LEVEL', hash: 'h9' }],
    secrets: record(1).secrets,
  });
  expect(kinds(amended.events)).toEqual(['DeployAmended', 'DeployApprovalAsked']);
  expect(core.turn(seen).answers[0]).toMatchObject({ kind: 'stale' });
  expect(core.approve(1).answers[0]).toMatchObject({ kind: 'deployment' });
});

test('an approval that was given is void when the settings change before the environment is free', () => {
  const core = waiting();
  core.approve(1);
  core.request(2);
  core.approve(2);
  expect(core.how(2)).toBe('ready');
  const set = core.add(staging, {
    approval: { by: ['grace', 'linus'], notAuthor: true },
    url: 'https://example.org',
  });
  expect(kinds(set.events)).toEqual(['EnvironmentSet', 'DeployApprovalAsked']);
  expect(core.how(2)).toBe('approval');
  expect(core.view().open[1]!.approvedBy).toBeNull();
  // What has the environment was let through.
  expect(core.how(1)).toBe('locked');
});

test('settings that stay as they are leave approvals as they are', () => {
  const core = waiting();
  const same = core.add(staging, { approval: { by: ['grace', 'linus'], notAuthor: true } });
  expect(same.events).toEqual([]);
});

test('when approval is wanted no more, what waits for it goes on', () => {
  const core = waiting();
  core.add(staging);
  expect(core.how(1)).toBe('locked');
});

test('after seven days nobody approves it any more, however often the coordinator was replaced', () => {
  const core = waiting();
  core.pass(6 * day);
  core.restart();
  expect(core.how(1)).toBe('approval');
  core.pass(day);
  expect(core.how(1)).toBe('expired');
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'canceled' });
  expect(core.approve(1).answers[0]).toMatchObject({ kind: 'refused' });
});

test('an approved one that finds no free environment for seven days expires too', () => {
  const core = waiting();
  core.turn({ kind: 'HoldEnvironment', ...staging, by: 'grace' });
  core.approve(1);
  core.pass(7 * day - 1_000);
  expect(core.how(1)).toBe('ready');
  core.pass(2_000);
  expect(core.how(1)).toBe('expired');
});

test('a newer deployment that reaches the same approval takes the place of the older one', () => {
  const core = waiting();
  const newer = core.request(2);
  expect(core.how(1)).toBe('superseded');
  expect(core.how(2)).toBe('approval');
  expect(told(newer.effects)).toEqual(['approval-wanted']);
  expect(core.order(1)).toMatchObject({ kind: 'end', status: 'canceled' });
  expect(core.ended(1)!.end).toEqual({ kind: 'superseded', deployment: 2 });
});

test('an older deployment that comes later to the same approval does not take the newer one’s place', () => {
  const core = new DeliveryCore();
  core.add(staging, { approval: { by: [], notAuthor: false } });
  core.request(5);
  core.request(4);
  expect(core.how(1)).toBe('approval');
  expect(core.how(2)).toBe('superseded');
});

test('of two lines of commits, and of the same commit, the later request is the newer one', () => {
  const core = new DeliveryCore();
  core.add(staging, { approval: { by: [], notAuthor: false } });
  core.request(1);
  core.request(1_001);
  expect(core.how(1)).toBe('superseded');
  core.request(2_001, staging, { record: record(1_001) });
  expect(core.how(2)).toBe('superseded');
  expect(core.how(3)).toBe('approval');
});

test('what is approved does not give way to what still waits for approval', () => {
  const core = waiting();
  core.turn({ kind: 'HoldEnvironment', ...staging, by: 'grace' });
  core.approve(1);
  core.request(2);
  expect([core.how(1), core.how(2)]).toEqual(['ready', 'approval']);
  core.approve(2);
  expect([core.how(1), core.how(2)]).toEqual(['superseded', 'ready']);
});

test('what waits for approval and becomes older than what is there ends without anybody', () => {
  const core = waiting();
  core.request(3);
  core.approve(2);
  expect(core.how(2)).toBe('locked');
  core.request(2);
  expect(core.how(3)).toBe('approval');
  core.start(3);
  expect(core.ended(3)!.end).toEqual({ kind: 'outdated', deployment: 2, commit: commitId(3) });
});
