/** What every vault promises: one suite for JetStream and for the one in memory; then what only sealing can promise. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { natsVault } from '../../coordinator/secrets/nats-vault.js';
import type { Vault, VaultSlot } from '../../coordinator/secrets/vault.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { projectId } from '../support/ids.js';
import { MemoryVault } from '../support/memory-vault.js';
import { connectTest, startOpenNats, type NatsServer } from '../support/nats.js';

let server: NatsServer;
const links: NatsLink[] = [];
let count = 0;

beforeAll(async () => {
  server = await startOpenNats();
});
afterAll(async () => {
  await Promise.all(links.map((link) => link.close()));
  await server.dispose();
});

const connect = async (): Promise<NatsLink> => {
  const link = await connectTest(server);
  links.push(link);
  return link;
};
async function openNats(options: { prefix: string; key: Buffer }): Promise<Vault> {
  const names = natsNames(options.prefix);
  return natsVault({ link: await connect(), names, replicas: 1, key: options.key, now: () => Date.now() });
}

/** Opens the same vault again and again. */
const implementations: readonly { name: string; bench: () => () => Promise<Vault> }[] = [
  {
    name: 'JetStream',
    bench() {
      const options = { prefix: `v${count++}`, key: randomBytes(32) };
      return () => openNats(options);
    },
  },
  {
    name: 'memory',
    bench() {
      const vault = new MemoryVault();
      return () => Promise.resolve(vault);
    },
  },
];

const slot = (changes: Partial<VaultSlot> = {}): VaultSlot => ({
  project: projectId(1),
  space: 'secret',
  name: 'TOKEN',
  ...changes,
});

describe.each(implementations)('$name', ({ bench }) => {
  test('a value is read as it was set, by everybody', async () => {
    const open = bench();
    const one = await open();
    const other = await open();
    const value = 'ä line\nand another\r\n\u{1f511} ';
    await one.set(slot(), value, 'ann');
    expect(await other.read(slot())).toBe(value);
    await other.set(slot(), 'second', 'bob');
    expect(await one.read(slot())).toBe('second');
    expect(await one.read(slot({ name: 'OTHER' }))).toBeUndefined();
  });

  test('slots are apart: by project, space and name, whatever the name holds', async () => {
    const vault = await bench()();
    const slots = [
      slot(),
      slot({ project: projectId(2) }),
      slot({ space: 'webhook' }),
      slot({ name: 'token' }),
      slot({ name: '*' }),
      slot({ name: '>' }),
      slot({ name: 'a.b c/../ü' }),
    ];
    for (const [index, each] of slots.entries()) await vault.set(each, `value ${index}`, 'ann');
    for (const [index, each] of slots.entries()) expect(await vault.read(each)).toBe(`value ${index}`);
    await vault.remove(slot({ name: '*' }));
    expect(await vault.read(slot())).toBe('value 0');
    expect(await vault.read(slot({ name: '*' }))).toBeUndefined();
  });

  test('a list names what is there in order, with who and when, and no values', async () => {
    const vault = await bench()();
    const before = Date.now();
    await vault.set(slot({ name: 'B' }), 'value b', 'ann');
    await vault.set(slot({ name: 'A' }), 'value a', 'bob');
    await vault.set(slot({ name: 'C' }), 'value c', 'ann');
    await vault.set(slot({ space: 'credential', name: 'fetch' }), 'other', 'ann');
    expect(await vault.remove(slot({ name: 'C' }))).toBe(true);
    const list = await vault.list(projectId(1), 'secret');
    expect(list.map(({ slot: { name }, changedBy }) => [name, changedBy])).toEqual([
      ['A', 'bob'],
      ['B', 'ann'],
    ]);
    for (const { changedAt } of list) expect(changedAt).toBeGreaterThanOrEqual(before);
    expect(JSON.stringify(list)).not.toContain('value');
    expect(await vault.list(projectId(2), 'secret')).toEqual([]);
  });

  test('removing tells whether there was something, and a removed one can be set again', async () => {
    const vault = await bench()();
    expect(await vault.remove(slot())).toBe(false);
    await vault.set(slot(), 'once', 'ann');
    expect(await vault.remove(slot())).toBe(true);
    expect(await vault.remove(slot())).toBe(false);
    expect(await vault.read(slot())).toBeUndefined();
    await vault.set(slot(), 'again', 'ann');
    expect(await vault.read(slot())).toBe('again');
  });

  test('a project that is gone takes everything of it along, and nothing of another', async () => {
    const vault = await bench()();
    await vault.set(slot(), 'value', 'ann');
    await vault.set(slot({ space: 'hook', name: 'in' }), 'value', 'ann');
    await vault.set(slot({ project: projectId(2) }), 'stays', 'ann');
    await vault.removeProject(projectId(1));
    expect(await vault.list(projectId(1), 'secret')).toEqual([]);
    expect(await vault.read(slot({ space: 'hook', name: 'in' }))).toBeUndefined();
    expect(await vault.read(slot({ project: projectId(2) }))).toBe('stays');
  });
});

describe('sealed in JetStream', () => {
  const bucketOf = async (prefix: string) =>
    (await connect()).nc.jetstream().views.kv(natsNames(prefix).secretsBucket);
  const keyOf = (name: string, space = 'secret'): string =>
    `${projectId(1)}.${space}.${Buffer.from(name).toString('base64url')}`;

  test('what is stored holds no value, and the same value twice looks different', async () => {
    const prefix = `v${count++}`;
    const vault = await openNats({ prefix, key: randomBytes(32) });
    await vault.set(slot({ name: 'A' }), 'correct horse battery', 'ann');
    await vault.set(slot({ name: 'B' }), 'correct horse battery', 'ann');
    const bucket = await bucketOf(prefix);
    const stored = await Promise.all(
      ['A', 'B'].map(
        async (name) => (await bucket.get(keyOf(name)))?.json<{ sealed: string }>().sealed ?? '',
      ),
    );
    for (const text of stored) {
      expect(Buffer.from(text, 'base64').toString('latin1')).not.toContain('horse');
      expect(text.length).toBeGreaterThan(20);
    }
    expect(stored[0]).not.toBe(stored[1]);
  });

  test('moved to another slot it does not open, nor when who set it was changed', async () => {
    const prefix = `v${count++}`;
    const vault = await openNats({ prefix, key: randomBytes(32) });
    await vault.set(slot({ name: 'A' }), 'correct horse battery', 'ann');
    const bucket = await bucketOf(prefix);
    const text = (await bucket.get(keyOf('A')))?.string() ?? '';
    await bucket.put(keyOf('B'), text.replace('"name":"A"', '"name":"B"'));
    await bucket.put(keyOf('A', 'webhook'), text);
    await expect(vault.read(slot({ name: 'B' }))).rejects.toThrow(/cannot be opened/);
    await expect(vault.read(slot({ name: 'A', space: 'webhook' }))).rejects.toThrow(/cannot be opened/);
    await bucket.put(keyOf('A'), text.replace('"by":"ann"', '"by":"bob"'));
    await expect(vault.read(slot({ name: 'A' }))).rejects.toThrow(/cannot be opened/);
  });

  test('with another key it says what to do, and nothing of the value', async () => {
    const prefix = `v${count++}`;
    const vault = await openNats({ prefix, key: randomBytes(32) });
    await vault.set(slot(), 'correct horse battery', 'ann');
    const other = await openNats({ prefix, key: randomBytes(32) });
    const error = await other.read(slot()).catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/secret "TOKEN".*another key sealed it.*secrets\.key/);
    expect(String(error)).not.toContain('horse');
    // It can still be seen, replaced and removed.
    expect(await other.list(projectId(1), 'secret')).toHaveLength(1);
    await other.set(slot(), 'new value', 'ann');
    expect(await other.read(slot())).toBe('new value');
  });

  test('32 KiB of any text fit, and survive a restart of the server', async () => {
    const prefix = `v${count++}`;
    const vault = await openNats({ prefix, key: Buffer.alloc(32, 7) });
    const value = '\u{1f511}'.repeat(8 * 1024);
    await vault.set(slot(), value, 'ann');
    await server.restart();
    expect(await vault.read(slot())).toBe(value);
  });
});
