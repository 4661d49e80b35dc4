/** Who may approve and reject, and exactly what: the use case on the real loop, with repository and directory in memory. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { User } from '../../../coordinator/access/directory.js';
import type { Right } from '../../../coordinator/access/rights.js';
import { approve, reject } from '../../../coordinator/api/approve.js';
import { deploymentAt, diff, rollback } from '../../../coordinator/api/environments.js';
import type { Services } from '../../../coordinator/api/services.js';
import type { CommitAuthors } from '../../../coordinator/source/commit-authors.js';
import { CheckoutError } from '../../../shared/git/checkout-failure.js';
import type { CommitId, RunId } from '../../../shared/model/ids.js';
import { parseMailAddress } from '../../../shared/model/mail-address.js';
import { runId } from '../scheduler/ids.js';
import { app, commitOf, DeploymentWorld } from './deployment-world.js';

const at = { project: app, environment: 'production' };
const { signal } = new AbortController();

let world: DeploymentWorld;
let made: CommitAuthors;
/** Ranges that were asked for. */
let asked: (readonly [CommitId | undefined, CommitId])[];
let onAsk: () => Promise<void>;
beforeEach(async () => {
  world = await new DeploymentWorld().start();
  made = { commits: new Set(), mails: new Set(['ada@example.org']), runs: new Set() };
  asked = [];
  onAsk = () => Promise.resolve();
});
afterEach(() => world.stop());

const user = (name: string): User => ({
  name,
  role: 'developer',
  mails: [parseMailAddress(`${name}@Example.org`)!],
  maySeeSecrets: false,
  projects: [],
  createdAt: 0,
  createdBy: 'ann',
});
const users = ['ada', 'bob', 'carl', 'dora'].map(user);

const services = (): Services => ({
  ...world.world.services,
  directory: {
    ...world.world.services.directory,
    user: (name: string) => users.find((one) => one.name === name.toLowerCase()),
    users: () => users,
  },
  repositories: {
    of: () => ({
      authors: async (from: CommitId | undefined, to: CommitId) => {
        asked.push([from, to]);
        await onAsk();
        return made;
      },
    }),
  } as never, // What approving asks of a repository.
});

/** A regular expression alone would match anything here. */
const saying = (pattern: RegExp): string => expect.stringMatching(pattern) as string;
const may = (name: string, right: Right = 'write') => ({ name, right });
async function approveAs(by: { name: string; right: Right }, deployment = 1) {
  const { view } = await deploymentAt(services(), at, deployment);
  const binding = view.binding ?? { record: 1, settings: 1 };
  return approve(services(), { at, deployment, binding, by }, signal);
}

describe('an approval', () => {
  it('is that of an admin where nobody is named', async () => {
    await world.set('production', { approval: { by: [], notAuthor: false } });
    const run = await world.deploy(1, 'production');
    await expect(approveAs(may('bob'))).rejects.toMatchObject({ kind: 'forbidden' });
    expect(await approveAs(may('boss', 'admin'))).toEqual({ deployment: 1, run, again: false });
    expect((await deploymentAt(services(), at, 1)).view).toMatchObject({
      approvedBy: 'boss',
      status: 'starting',
    });
  });

  it('is that of those who are named, and of no admin else', async () => {
    await world.set('production', { approval: { by: ['bob', 'carl'], notAuthor: false } });
    await world.deploy(1, 'production');
    await expect(approveAs(may('dora'))).rejects.toMatchObject({
      kind: 'forbidden',
      message: saying(/bob or carl/),
    });
    await expect(approveAs(may('boss', 'admin'))).rejects.toMatchObject({ kind: 'refused' });
    expect(await approveAs(may('carl'))).toMatchObject({ again: false });
    // Two at the same time: both have what they want.
    expect(await approveAs(may('bob'))).toMatchObject({ deployment: 1, again: true });
  });

  it('is of what was shown: after a change of settings or secrets it is refused', async () => {
    await world.set('production', { approval: { by: ['bob'], notAuthor: false } });
    await world.deploy(1, 'production');
    const before = (await deploymentAt(services(), at, 1)).view.binding!;
    await world.tell({
      kind: 'AmendDeployment',
      project: app.id,
      environment: 'production',
      deployment: 1,
      env: [],
      secrets: [{ name: 'KEY', hash: 'another' }],
    });
    const order = { at, deployment: 1, binding: before, by: may('bob') };
    await expect(approve(services(), order, signal)).rejects.toMatchObject({
      kind: 'refused',
      message: saying(/not what you looked at/),
    });
    await world.set('production', { approval: { by: ['bob', 'dora'], notAuthor: false } });
    await expect(approve(services(), order, signal)).rejects.toMatchObject({ kind: 'refused' });
    expect(await approveAs(may('bob'))).toMatchObject({ again: false });
  });

  it('is not given to what is over, does not wait, or never was', async () => {
    await world.set('production');
    await world.deploy(1, 'production');
    await expect(approveAs(may('boss', 'admin'))).rejects.toMatchObject({
      message: saying(/does not wait for approval/),
    });
    await world.world.coordinator.perform({ kind: 'Cancel', run: runId(1), by: 'ann' });
    await expect(approveAs(may('boss', 'admin'))).rejects.toMatchObject({
      message: saying(/has ended: it was canceled/),
    });
    await expect(approveAs(may('boss', 'admin'), 7)).rejects.toMatchObject({ kind: 'not-found' });
    const nowhere = { at: { project: app, environment: 'prod' }, deployment: 1 };
    await expect(
      approve(services(), { ...nowhere, binding: { record: 1, settings: 1 }, by: may('bob') }, signal),
    ).rejects.toMatchObject({ kind: 'not-found', message: saying(/it has production/) });
  });
});

describe('where authors may not approve', () => {
  const rule = { by: ['ada', 'bob', 'carl', 'dora'], notAuthor: true };
  beforeEach(() => world.set('production', { approval: rule }));

  it('neither do they once the very commit has gone there, in an earlier run or stage', async () => {
    await world.world.join(1);
    await world.deploy(1, 'production');
    await approveAs(may('bob'));
    await world.leased(runId(1));
    await world.begin(runId(1));
    await world.finish(runId(1));
    for (const n of [2, 3]) {
      await world.deploy(n, 'production', { record: { commit: commitOf(2) }, facts: { by: 'bob' } });
      await world.tell({
        kind: 'CommitsCompared',
        project: app.id,
        environment: 'production',
        one: commitOf(2),
        other: commitOf(1),
        answer: { kind: 'compared', order: 'newer' },
      });
      await expect(approveAs(may('ada'), n)).rejects.toMatchObject({ kind: 'refused' });
      await approveAs(may('carl'), n);
      await world.leased(runId(n));
      await world.begin(runId(n));
      await world.finish(runId(n));
    }
    expect(asked.slice(1).every(([from]) => from === commitOf(1))).toBe(true);
  });

  it('neither do whoever submitted, wrote or landed any of what is new', async () => {
    await world.deploy(1, 'production', { facts: { by: 'bob' } });
    const gate = runId(8);
    made = { ...made, runs: new Set([gate, runId(9)]) };
    world.world.index.rows.set(gate, {
      run: gate,
      by: 'carl',
      event: 'gate',
      projectId: app.id,
      retryOf: null,
    } as never);
    for (const name of ['ada', 'bob', 'carl']) {
      await expect(approveAs(may(name)), name).rejects.toMatchObject({
        kind: 'refused',
        message: saying(/wants the approval of somebody else/),
      });
    }
    expect(asked[0]).toEqual([undefined, commitOf(1)]);
    expect(await approveAs(may('dora'))).toMatchObject({ again: false });
  });

  it('nor whoever had queued what landed, as the gate remembers it', async () => {
    await world.deploy(1, 'production', { facts: { by: 'bob' } });
    made = { ...made, commits: new Set([commitOf(5), commitOf(1)]) };
    await world.world.coordinator.read(({ state }) => {
      const landed = (n: number, by: string) => ({
        by,
        end: { kind: 'landed', commit: commitOf(n), run: runId(9) },
      });
      const gate = {
        project: app.id,
        target: 'main',
        entries: [],
        ended: [landed(5, 'carl'), landed(6, 'dora')],
      };
      state.gates.all.set('a gate' as never, gate as never); // What is looked at of one.
    });
    await expect(approveAs(may('carl'))).rejects.toMatchObject({ kind: 'refused' });
    expect(await approveAs(may('dora'))).toMatchObject({ again: false });
  });

  it('nor whoever submitted the run that it repeats', async () => {
    await world.deploy(1, 'production', { facts: { by: 'dora' } });
    const first = runId(7);
    world.world.index.rows.set(first, { run: first, by: 'bob', retryOf: null } as never);
    await world.world.coordinator.read(({ state }) => {
      // As a retry of it would be.
      Object.assign(state.runs.get(runId(1))!, { retryOf: first });
    });
    await expect(approveAs(may('bob'))).rejects.toMatchObject({ kind: 'refused' });
    expect(await approveAs(may('carl'))).toMatchObject({ again: false });
  });

  it('a made-up trailer excludes nobody', async () => {
    await world.deploy(1, 'production', { facts: { by: 'bob' } });
    const other = runId(8);
    made = { ...made, runs: new Set([other]) };
    world.world.index.rows.set(other, {
      run: other,
      by: 'dora',
      event: 'push',
      projectId: app.id,
      retryOf: null,
    } as never);
    expect(await approveAs(may('dora'))).toMatchObject({ again: false });
  });

  it('nobody does while it cannot be found out', async () => {
    await world.deploy(1, 'production', { facts: { by: 'bob' } });
    onAsk = () =>
      Promise.reject(
        new CheckoutError({
          kind: 'checkout-failed',
          message: 'the repository is not reachable',
          transient: true,
        }),
      );
    await expect(approveAs(may('dora'))).rejects.toMatchObject({
      kind: 'refused',
      message: saying(/not reachable/),
    });
  });

  it('all that it has counts where what is there is gone from the remote', async () => {
    await landed(2);
    await world.deploy(3, 'production', { facts: { by: 'bob' } });
    await world.tell({ ...compared(3, 2), answer: { kind: 'compared', order: 'diverged' } });
    onAsk = () =>
      asked.at(-1)?.[0] === undefined
        ? Promise.resolve()
        : Promise.reject(
            new CheckoutError({ kind: 'checkout-failed', message: 'no such commit', transient: false }),
          );
    asked = [];
    expect(await approveAs(may('dora'), 2)).toMatchObject({ again: false });
    expect(asked).toEqual([
      [commitOf(2), commitOf(3)],
      [undefined, commitOf(3)],
    ]);
  });

  it('who they are is looked up again when another deployment went there meanwhile', async () => {
    await landed(2);
    const run = await world.deploy(4, 'production', { facts: { by: 'bob' } });
    await world.tell({ ...compared(4, 2), answer: { kind: 'compared', order: 'newer' } });
    onAsk = async () => {
      onAsk = () => Promise.resolve();
      // As if a rollback had begun in between.
      await world.world.coordinator.read(({ state }) => {
        const environment = [...state.deliveries.all.values()][0]!;
        environment.there = { deployment: 1, commit: commitOf(3), since: 0 };
      });
    };
    asked = [];
    expect(await approveAs(may('dora'), 2)).toMatchObject({ run, again: false });
    expect(asked).toEqual([
      [commitOf(2), commitOf(4)],
      [commitOf(3), commitOf(4)],
    ]);
  });
});

describe('a rejection', () => {
  beforeEach(() => world.set('production', { approval: { by: ['bob'], notAuthor: false } }));

  it('is also that of whoever submitted it, and ends it with the reason', async () => {
    const run = await world.deploy(1, 'production', { facts: { by: 'ada' } });
    const order = { at, deployment: 1, reason: 'too late' };
    await expect(reject(services(), { ...order, by: may('dora') })).rejects.toMatchObject({
      kind: 'forbidden',
    });
    await expect(reject(services(), { ...order, by: may('bob'), reason: ' ' })).rejects.toThrow(/say why/);
    expect(await reject(services(), { ...order, by: may('ada') })).toBe(run);
    expect((await deploymentAt(services(), at, 1)).view).toMatchObject({
      status: 'rejected',
      reason: 'ada rejected it: too late',
    });
    await expect(reject(services(), { ...order, by: may('bob') })).rejects.toMatchObject({ kind: 'refused' });
  });
});

describe('going back and comparing', () => {
  it('says whose run it is: of two that ask at the same time the first one’s', async () => {
    await world.set('production');
    await landed(1);
    await landed(2, 1);
    const order = (run: RunId) => ({ run, by: 'ann' });
    const first = await rollback(services(), at, order(runId(20)));
    expect(first).toEqual({ deployment: 3, run: runId(20), again: false });
    expect(await rollback(services(), at, order(runId(21)))).toEqual({ ...first, again: true });
  });

  it('compares what is there now, and knows when nothing is', async () => {
    await world.set('production');
    await world.set('staging');
    await landed(1);
    await expect(diff(services(), app, { left: 'production', right: 'staging' })).rejects.toMatchObject({
      kind: 'not-found',
      message: 'nothing was deployed to staging yet',
    });
    const same = await diff(services(), app, { left: 'production', right: 'production' });
    expect(same).toMatchObject({ isIdentical: true, left: 1, right: 1 });
  });
});

const compared = (one: number, other: number) =>
  ({
    kind: 'CommitsCompared',
    project: app.id,
    environment: 'production',
    one: commitOf(one),
    other: commitOf(other),
  }) as const;

/** Commit `n` is deployed and verified, whatever approval that takes; `after`: what was there before. */
async function landed(n: number, after?: number): Promise<void> {
  await world.world.join(1);
  const run = await world.deploy(n, 'production', { facts: { by: 'bob' } });
  if (after !== undefined) {
    await world.tell({ ...compared(n, after), answer: { kind: 'compared', order: 'newer' } });
  }
  const { view, settings } = await deploymentAt(services(), at, after === undefined ? 1 : 2);
  if (settings.approval !== undefined) await approveAs(may('dora'), view.deployment);
  await world.leased(run);
  await world.begin(run);
  await world.finish(run);
}
