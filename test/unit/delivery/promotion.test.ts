import { expect, test } from 'vitest';
import { pinnedRuns } from '../../../coordinator/delivery/remembered.js';
import { diffRecords } from '../../../coordinator/delivery/diff.js';
import { stagesMovedBy } from '../../../coordinator/delivery/stage-order.js';
import type { EnvironmentSettings } from '../../../shared/model/environment.js';
import { at, commitId, DeliveryCore, production, record, runId, sha, staging, token } from './core.js';

function both(settings: Partial<EnvironmentSettings> = {}): DeliveryCore {
  const core = new DeliveryCore();
  core.add(staging);
  core.add(production, { promotesFrom: 'staging', ...settings });
  return core;
}

test('production takes what staging verified, the same by digest', () => {
  const core = both();
  core.deploy(1);
  core.request(1, production);
  expect(core.how(1, production)).toBe('locked');
  expect(core.environment(production).open[0]!.promotedFrom).toBe(1);
});

test('production refuses a rebuild of the same commit, one image of it, and another commit with the same artifacts', () => {
  const core = both();
  core.deploy(1);
  const rebuilt = record(1, { artifacts: [{ name: 'package/wheel', sha256: sha(99), run: runId(1) }] });
  core.request(10, production, { record: rebuilt });
  const image = record(1, { images: [{ name: 'app', digest: `sha256:${sha(98)}` }] });
  core.request(11, production, { record: image });
  core.request(12, production, { record: record(1, { commit: commitId(2) }) });
  for (const deployment of [1, 2, 3]) expect(core.how(deployment, production)).toBe('not-promoted');
  expect(core.order(10, production)).toMatchObject({ kind: 'end', status: 'failed' });
});

test('production refuses what staging has not verified: not deployed, failed, unknown, or taken back', () => {
  const core = both();
  core.request(1, production);
  expect(core.how(1, production)).toBe('not-promoted');
  core.request(2);
  core.start(2);
  core.request(20, production, { record: record(2) });
  expect(core.how(2, production)).toBe('not-promoted');
  core.lose(2);
  core.request(21, production, { record: record(2) });
  expect(core.how(3, production)).toBe('not-promoted');
  core.finish(2);
  core.deploy(3);
  core.rollback(90);
  core.request(3, production);
  expect(core.how(4, production)).toBe('not-promoted');
  core.request(2, production);
  expect(core.how(5, production)).toBe('locked');
});

test('what waits for approval is refused when staging goes back from it', () => {
  const core = both({ approval: { by: [], notAuthor: false } });
  core.deploy(1);
  core.deploy(2);
  core.request(2, production);
  expect(core.how(1, production)).toBe('approval');
  core.rollback(90);
  expect(core.how(1, production)).toBe('not-promoted');
});

test('a person who gives a reason forces it, and it stays on record', () => {
  const core = both();
  core.request(1, production, { force: { by: 'grace', reason: 'staging burnt down' } });
  expect(core.how(1, production)).toBe('locked');
  expect(core.view(production).open[0]!.forced).toBe('grace: staging burnt down');
});

test('no force brings back what is older than what is there', () => {
  const core = both();
  core.deploy(2);
  core.deploy(2, production);
  core.request(1, production, { force: { by: 'grace', reason: 'I like it better' } });
  expect(core.ended(2, production)!.end).toEqual({ kind: 'outdated', deployment: 1, commit: commitId(2) });
});

test('what is older than what is there is refused, the same again and another line are not', () => {
  const core = both();
  core.deploy(5);
  core.request(4);
  expect(core.how(2)).toBe('outdated');
  core.request(50, staging, { record: record(5) });
  expect(core.how(3)).toBe('locked');
  core.start(50);
  core.finish(50);
  core.request(1_005);
  expect(core.how(4)).toBe('locked');
});

test('a deployment that changed nothing makes nothing outdated', () => {
  const core = both();
  core.deploy(3);
  core.request(5);
  core.start(5);
  core.finish(5, {
    status: 'failed',
    failure: { kind: 'image-unavailable', image: 'x', message: 'no such image', transient: false },
    hasBegunSteps: false,
  });
  core.request(4);
  expect(core.how(3)).toBe('locked');
});

test('while it is not known which commit is newer, nothing is deployed, and it is asked for again', () => {
  const core = both();
  core.deploy(1);
  core.compares = false;
  const requested = core.request(2);
  expect(requested.effects).toMatchObject([{ kind: 'CompareCommits', one: commitId(2), other: commitId(1) }]);
  const unavailable = { kind: 'unavailable', message: 'no disk' } as const;
  const pair = { one: commitId(2), other: commitId(1) };
  core.turn({ kind: 'CommitsCompared', ...staging, ...pair, answer: unavailable });
  expect(core.waitingFor(2)).toBe(
    `whether it is newer than ${commitId(1)} is being looked up (the last try: no disk)`,
  );
  core.turn({ kind: 'CommitsCompared', ...staging, ...pair, answer: { kind: 'compared', order: 'newer' } });
  expect(core.how(2)).toBe('locked');
});

test('a newer deployment behind the same lock takes the place of an older one that waits there', () => {
  const core = both();
  core.request(1);
  core.start(1);
  core.request(2);
  core.request(3);
  expect([core.how(1), core.how(2), core.how(3)]).toEqual(['running', 'superseded', 'ready']);
  core.request(2, staging, { run: at(22).run });
  core.finish(1);
  expect(core.how(3)).toBe('locked');
});

test('a change, a tree sent by hand with a branch’s name, and a run of the gate deploy nothing', () => {
  const core = both();
  for (const source of [
    { event: 'change', trust: 'change', branch: 'main' },
    { event: 'submit', trust: 'submit', branch: 'main' },
    { event: 'gate', trust: 'branch', branch: 'main' },
    { event: 'push', trust: 'fork', branch: 'main' },
  ] as const) {
    core.request(core.journal.length + 10, staging, { source });
    expect(core.view().history[0]).toMatchObject({ status: 'refused', beganAt: null });
  }
  expect(core.environment().holder).toBeUndefined();
});

test('an environment takes deployments of its branches only', () => {
  const core = new DeliveryCore();
  core.add(staging, { branches: ['main'] });
  core.request(1, staging, { source: { event: 'push', trust: 'branch', branch: 'topic' } });
  core.request(2, staging, { source: { event: 'tag', trust: 'branch' } });
  core.request(3);
  expect([core.how(1), core.how(2), core.how(3)]).toEqual(['branch-refused', 'branch-refused', 'locked']);
});

test('an environment that names no branches takes the default one alone, and no tag', () => {
  const core = new DeliveryCore();
  core.add(staging);
  core.request(1, staging, { source: { event: 'push', trust: 'branch', branch: 'topic' } });
  core.request(2, staging, { source: { event: 'tag', trust: 'branch' } });
  core.request(3);
  expect([core.how(1), core.how(2), core.how(3)]).toEqual(['branch-refused', 'branch-refused', 'locked']);
  expect(core.view().history.map(({ reason }) => reason)).toEqual([
    'the environment takes deployments of the default branch, main, only, and the run is of none (`gantry environments set --branches`)',
    'the environment takes deployments of the default branch, main, only, and the run is of branch topic (`gantry environments set --branches`)',
  ]);
  core.usual = undefined;
  core.request(4);
  expect(core.view().history[0]?.reason).toContain('which is not known yet');
});

test('an environment that takes any branch takes tags too', () => {
  const core = new DeliveryCore();
  core.add(staging, { branches: ['**'] });
  core.request(1, staging, { source: { event: 'tag', trust: 'branch' } });
  expect(core.how(1)).toBe('locked');
});

test('a deployment whose names would fill the journal is refused', () => {
  const core = both();
  const steps = Array.from({ length: 900 }, (_, n) => ({ name: `${n} `.padEnd(150, 'x'), sha256: sha(n) }));
  expect(core.request(1, staging, { record: record(1, { steps }) }).answers[0]).toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('too long') as string,
  });
});

test('the same stage again is the same deployment, and an unknown environment is named with the way to add it', () => {
  const core = new DeliveryCore();
  expect(core.request(1).answers[0]).toEqual({
    kind: 'not-found',
    message: 'there is no environment staging: add it with `gantry environments add staging`',
  });
  core.add(staging);
  expect(core.request(1).answers[0]).toEqual({ kind: 'deployment', deployment: 1, again: false });
  core.deploy(1);
  expect(core.request(1).answers[0]).toEqual({ kind: 'deployment', deployment: 1, again: true });
  expect(core.environment().requested).toBe(1);
});

test('a held environment takes nothing but a rollback until somebody resumes it', () => {
  const core = both();
  core.deploy(1);
  core.deploy(2);
  core.turn({ kind: 'HoldEnvironment', ...staging, by: 'grace', reason: 'fair' });
  core.request(3);
  expect(core.waitingFor(3)).toBe('staging was held by grace (fair): `gantry environments resume staging`');
  core.rollback(90);
  expect(core.how(4)).toBe('locked');
  core.turn({ kind: 'ResumeEnvironment', ...staging, by: 'grace' });
  expect(core.how(3)).toBe('ready');
});

test('settings are checked: who comes before must be there, and not come behind', () => {
  const core = new DeliveryCore();
  expect(core.add(production, { promotesFrom: 'staging' }).answers[0]).toMatchObject({ kind: 'refused' });
  core.add(staging);
  core.add(production, { promotesFrom: 'staging' });
  expect(core.add(staging, { promotesFrom: 'production' }).answers[0]).toMatchObject({ kind: 'refused' });
  const name = { ...staging, environment: 'a b' };
  const settings = core.environment().settings;
  expect(core.turn({ kind: 'SetEnvironment', ...name, settings, by: 'grace' }).answers[0]).toMatchObject({
    kind: 'refused',
  });
});

test('an environment is removed when nothing is open there and nothing is promoted from it', () => {
  const core = both();
  core.request(1);
  const remove = { kind: 'RemoveEnvironment', ...staging, by: 'grace' } as const;
  expect(core.turn(remove).answers[0]).toMatchObject({
    kind: 'refused',
    message: 'staging has a deployment that is not over: cancel, reject or settle it first',
  });
  core.see(at(1), { kind: 'ended', status: 'canceled', failure: { kind: 'canceled', by: 'ada' } });
  expect(core.turn(remove).answers[0]).toMatchObject({ kind: 'refused' });
  core.turn({ kind: 'RemoveEnvironment', ...production, by: 'grace' });
  expect(core.turn(remove).answers[0]).toEqual({ kind: 'done' });
  expect(core.deliveries.all.size).toBe(0);
  expect(core.deliveries.runs.size).toBe(0);
});

test('the current and the last five verified deployments are pinned, and what waits; the state has an end', () => {
  const core = both();
  for (let n = 1; n <= 80; n += 1) core.deploy(n);
  core.request(81);
  core.start(81);
  core.finish(81, { status: 'failed', failure: { kind: 'exit-code', step: 1, exitCode: 1 } });
  core.request(82);
  const runs = [...pinnedRuns(core.environment())];
  expect(runs.toSorted()).toEqual([76, 77, 78, 79, 80, 81, 82].map(runId).toSorted());
  expect(core.environment().ended.length).toBe(30);
  expect(core.deliveries.runs.size).toBe(31);
  expect(core.view().current).toMatchObject({ commit: commitId(81), status: 'failed' });
  expect(core.view().lastVerified).toMatchObject({ commit: commitId(80) });
});

test('what a rollback may go back to is pinned, whatever was verified and taken back since', () => {
  const core = both();
  for (let n = 1; n <= 6; n += 1) core.deploy(n);
  const end = { status: 'succeeded', hasBegunSteps: true } as const;
  for (let n = 91; n <= 94; n += 1) {
    core.rollback(n);
    core.see({ run: runId(n), stage: 3 }, { kind: 'finished', attempt: 1, token: token(500), end });
  }
  // Back at 2: the next one goes to 1.
  expect(core.view().current).toMatchObject({ commit: commitId(2) });
  expect(pinnedRuns(core.environment())).toContain(runId(1));
  core.rollback(95);
  expect(core.environment().open[0]!.record.commit).toBe(commitId(1));
});

test('the scheduler is told which stages to look at again', () => {
  const core = both();
  const { events } = core.request(1);
  expect(stagesMovedBy(core.deliveries, events)).toContainEqual(at(1));
});

test('two deployments are identical but for what is declared', () => {
  const left = record(1);
  expect(diffRecords(left, record(1), [])).toEqual({ isIdentical: true, differences: [], declared: [] });
  const right = record(1, {
    env: [{ name: 'LEVEL', hash: 'other' }],
    secrets: [],
    images: [{ name: 'app', digest: 'sha256:other' }],
  });
  const diff = diffRecords(left, right, ['LEVEL']);
  expect(diff.isIdentical).toBe(false);
  expect(diff.declared).toEqual([{ what: 'env', name: 'LEVEL', left: 'h1', right: 'other' }]);
  expect(diff.differences.map(({ what, name }) => [what, name])).toEqual([
    ['image', 'app'],
    ['secret', 'DB_PASSWORD'],
  ]);
  expect(diffRecords(left, right, ['LEVEL', 'DB_PASSWORD', 'app']).isIdentical).toBe(true);
  expect(diffRecords(left, record(2), ['commit']).differences[0]).toMatchObject({ what: 'commit' });
});

test('a variable of a step is declared by its own name, and a secret of another name is not', () => {
  const left = record(1, { env: [{ name: './deploy.sh.URL', hash: '1' }] });
  const right = record(1, { env: [{ name: './deploy.sh.URL', hash: '2' }] });
  expect(diffRecords(left, right, ['URL']).isIdentical).toBe(true);
  expect(diffRecords(left, right, ['./deploy.sh.URL']).isIdentical).toBe(true);
  expect(diffRecords(left, right, ['deploy.sh.URL', 'RL', 'sh.URL']).isIdentical).toBe(false);
  const named = [{ name: 'a.URL', sha256: sha(2) }];
  expect(diffRecords(record(1), record(1, { steps: named }), ['URL']).isIdentical).toBe(false);
});

test('the order of steps counts, that of variables does not', () => {
  const [a, b] = [
    { name: 'a', sha256: sha(1) },
    { name: 'b', sha256: sha(2) },
  ];
  const moved = diffRecords(record(1, { steps: [a, b] }), record(1, { steps: [b, a] }), []);
  expect(moved.differences).toEqual([{ what: 'step', name: 'a', left: 'step 1', right: 'step 2' }]);
  const [x, y] = [
    { name: 'X', hash: '1' },
    { name: 'Y', hash: '2' },
  ];
  expect(diffRecords(record(1, { env: [x, y] }), record(1, { env: [y, x] }), []).isIdentical).toBe(true);
});
