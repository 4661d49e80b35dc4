/** Users and tokens on a real NATS server, as several coordinators see them, over restarts and at once. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  DirectoryFull,
  type AccessToken,
  type Directory,
  type User,
} from '../../coordinator/access/directory.js';
import { natsDirectory } from '../../coordinator/access/nats-directory.js';
import { makeDirectoryToken } from '../../coordinator/access/tokens.js';
import { maxTokens } from '../../coordinator/access/user-record.js';
import { parseMailAddress } from '../../shared/model/mail-address.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { eventually } from '../support/eventually.js';
import { connectTest, silent, startOpenNats, type NatsServer } from '../support/nats.js';

const names = natsNames('gantry');
const day = 86_400_000;
const hour = 3_600_000;
const start = 1_750_000_000_000;
let now = start;
let server: NatsServer;
const links: NatsLink[] = [];
const opened: Directory[] = [];

beforeEach(async () => {
  now = start;
  server = await startOpenNats();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((directory) => directory.close()));
  await Promise.all(links.splice(0).map((link) => link.close()));
  await server.dispose();
});

/** As a coordinator of its own has it. */
async function open(): Promise<Directory> {
  const link = await connectTest(server);
  links.push(link);
  const directory = await natsDirectory({ link, names, replicas: 1, now: () => now, log: silent });
  opened.push(directory);
  return directory;
}

const user = (name: string, changes: Partial<User> = {}): User => ({
  name,
  role: 'developer',
  mails: [],
  maySeeSecrets: false,
  projects: [],
  createdAt: now,
  createdBy: 'root',
  ...changes,
});
const token = (of: string, changes: Partial<AccessToken> = {}): AccessToken => {
  const { id, hash } = makeDirectoryToken();
  return {
    id,
    user: of,
    hash,
    scope: 'write',
    projects: [],
    createdAt: now,
    createdBy: 'root',
    note: '',
    ...changes,
  };
};
const ids = (directory: Directory): readonly string[] => directory.tokens().map(({ id }) => id);

describe('users', () => {
  it('are there when the call is answered, and at other coordinators soon after', async () => {
    const [here, there] = [await open(), await open()];
    const ann = user('ann', {
      role: 'admin',
      mails: [parseMailAddress('ann@example.org')!],
      projects: ['h/a'],
    });
    expect(await here.addUser(ann)).toBe('added');
    expect(here.user('ann')).toEqual(ann);
    await eventually('the other sees her', () => there.user('ann'));
    expect(there.users()).toEqual([ann]);
  });

  it('are one when their names differ in case only, and may be called anything that is a name', async () => {
    const directory = await open();
    expect(await directory.addUser(user('Ann'))).toBe('added');
    expect(await directory.addUser(user('ann'))).toBe('exists');
    expect(directory.user('ANN')?.name).toBe('Ann');
    // What would be no key of a bucket.
    for (const name of ['a.', 'a..b', 'a'.repeat(64)])
      expect(await directory.addUser(user(name))).toBe('added');
    expect(directory.users().length).toBe(4);
  });

  it('are there after the server and the coordinator were killed', async () => {
    const before = await open();
    await before.addUser(user('ann'));
    await before.addUser(user('bob'));
    await before.removeUser('bob', now);
    const made = token('ann');
    await before.addToken(made);
    await server.restart();
    const after = await open();
    expect(after.users().map(({ name }) => name)).toEqual(['ann']);
    expect(after.token(made.id)).toEqual(made);
    // The one that lived through it goes on too.
    await links[0]?.whenUp();
    expect(await before.addUser(user('carl'))).toBe('added');
    await eventually('it is followed again', () => after.user('carl'));
  });

  it('keep what two coordinators change of them at once', async () => {
    const [here, there] = [await open(), await open()];
    await here.addUser(user('ann'));
    await eventually('both see her', () => there.user('ann'));
    const made = Array.from({ length: 20 }, () => token('ann'));
    const tries = await Promise.allSettled([
      ...made.map((one, n) => (n % 2 === 0 ? here : there).addToken(one)),
      here.changeUser('ann', { role: 'admin' }),
      there.changeUser('ann', { projects: ['h/a'] }),
    ]);
    expect(tries.filter(({ status }) => status === 'rejected')).toEqual([]);
    for (const directory of [here, there]) {
      await eventually('nothing is lost', () => ids(directory).length === made.length);
      await eventually('nor a change', () => {
        const { role, projects } = directory.user('ann') ?? {};
        return role === 'admin' && projects?.join() === 'h/a';
      });
      expect([...ids(directory)].sort()).toEqual(made.map(({ id }) => id).sort());
    }
    // Of two that add the same name, one is told.
    const twice = await Promise.all([
      here.addUser(user('bob')),
      there.addUser(user('bob', { role: 'admin' })),
    ]);
    expect(twice.sort()).toEqual(['added', 'exists']);
    await eventually('both have the same', () => {
      const [one, other] = [here.user('bob')?.role, there.user('bob')?.role];
      return one !== undefined && one === other;
    });
  });

  it('that are not there cannot be changed', async () => {
    const directory = await open();
    expect(await directory.changeUser('ann', { role: 'admin' })).toBeUndefined();
    expect(await directory.removeUser('ann', now)).toBeUndefined();
    expect(await directory.addToken(token('ann'))).toBe('no-user');
    expect(await directory.revokeToken('a'.repeat(16), now)).toBeUndefined();
  });
});

describe('tokens', () => {
  it('end when they are revoked, here at once and everywhere soon after', async () => {
    const [here, there] = [await open(), await open()];
    await here.addUser(user('ann'));
    const [first, second] = [token('ann'), token('ann', { createdAt: now + 1 })];
    await here.addToken(first);
    await here.addToken(second);
    expect(ids(here)).toEqual([first.id, second.id]);
    await eventually('the other sees them', () => ids(there).length === 2);
    expect(await there.revokeToken(first.id, now)).toMatchObject({ id: first.id });
    expect(there.token(first.id)?.ended).toEqual({ at: now, why: 'revoked' });
    expect(await there.revokeToken(first.id, now)).toBeUndefined();
    await eventually('here too', () => here.token(first.id)?.ended);
    expect(ids(here)).toEqual([second.id]);
  });

  it('end with their user, and do not act for one who is added under the old name', async () => {
    const directory = await open();
    await directory.addUser(user('ann'));
    const old = token('ann');
    await directory.addToken(old);
    await directory.addToken(token('ann', { expiresAt: now - 1 }));
    expect(await directory.removeUser('ann', now)).toBe(1);
    expect(directory.user('ann')).toBeUndefined();
    expect(directory.token(old.id)?.ended?.why).toBe('user-removed');
    expect(await directory.addUser(user('ann', { role: 'admin' }))).toBe('added');
    expect(directory.token(old.id)?.ended?.why).toBe('user-removed');
    expect(directory.tokens()).toEqual([]);
    const fresh = token('ann');
    await directory.addToken(fresh);
    expect(ids(directory)).toEqual([fresh.id]);
  });

  it('that have ended are told apart for 30 days, and then forgotten', async () => {
    const directory = await open();
    await directory.addUser(user('ann'));
    await directory.addUser(user('bob'));
    const [revoked, expired, good, bobs] = [
      token('ann'),
      token('ann', { expiresAt: now + day }),
      token('ann'),
      token('bob'),
    ];
    for (const one of [revoked, expired, good, bobs]) await directory.addToken(one);
    await directory.revokeToken(revoked.id, now);
    await directory.removeUser('bob', now);
    now += 29 * day;
    await directory.changeUser('ann', { role: 'admin' });
    expect(directory.token(revoked.id)?.ended?.why).toBe('revoked');
    expect(ids(directory)).toEqual([good.id]);
    now += 3 * day;
    await directory.changeUser('ann', { role: 'developer' });
    expect(directory.token(revoked.id)).toBeUndefined();
    expect(directory.token(expired.id)).toBeUndefined();
    expect(directory.token(good.id)).toBeDefined();
    // What is left of a removed user goes at the next start of a coordinator.
    const later = await open();
    await eventually('nothing of bob is left', () => later.token(bobs.id) === undefined);
    expect(await later.addUser(user('bob'))).toBe('added');
  });

  it('remember the hour in which they were used, and are not brought back by it', async () => {
    const [here, there] = [await open(), await open()];
    await here.addUser(user('ann'));
    const made = token('ann');
    await here.addToken(made);
    now += 90 * 60_000;
    const used = now - (now % hour);
    here.noteUse(made.id, now);
    await eventually('it is noted', () => here.token(made.id)?.lastUsedAt === used);
    await eventually('everywhere', () => there.token(made.id)?.lastUsedAt === used);
    now += 2 * hour;
    const revoking = there.revokeToken(made.id, now);
    here.noteUse(made.id, now);
    await revoking;
    await eventually('it has ended', () => here.token(made.id)?.ended);
    here.noteUse(made.id, now);
    expect(here.token(made.id)?.ended?.why).toBe('revoked');
  });

  it('are at most so many of one user', async () => {
    const directory = await open();
    await directory.addUser(user('ann'));
    for (let n = 0; n < maxTokens; n += 1) await directory.addToken(token('ann'));
    await expect(directory.addToken(token('ann'))).rejects.toThrow(DirectoryFull);
    await directory.revokeToken(ids(directory)[0] ?? '', now);
    expect(await directory.addToken(token('ann'))).toBe('added');
  });
});

describe('an entry of a newer version', () => {
  it('lets nobody in, and is not replaced', async () => {
    const directory = await open();
    await directory.addUser(user('ann'));
    const made = token('ann');
    await directory.addToken(made);
    const [link] = links;
    const bucket = await link?.nc.jetstream().views.kv(names.accessBucket);
    for await (const key of (await bucket?.keys()) ?? []) {
      const entry = await bucket?.get(key);
      const value = { ...entry?.json<object>(), v: 2 };
      await bucket?.put(key, JSON.stringify(value));
    }
    await eventually('it is not known any more', () => directory.user('ann') === undefined);
    expect(directory.token(made.id)).toBeUndefined();
    await expect(directory.addUser(user('ann'))).rejects.toThrow(/newer version/);
    await expect(directory.changeUser('ann', { role: 'admin' })).rejects.toThrow(/newer version/);
  });
});
