/** What every journal promises: one suite for JetStream and for the one in memory. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { JournalError, maxEntryBytes, type Journal } from '../../coordinator/journal/journal.js';
import { openNatsJournal } from '../../coordinator/journal/nats-journal.js';
import { ensureStreams } from '../../coordinator/journal/nats-streams.js';
import type { Entry, Event } from '../../shared/model/event.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { MemoryJournal, MemoryStore } from '../support/memory-journal.js';
import { connectTest, silent, startOpenNats, type NatsServer } from '../support/nats.js';
import { runId } from '../support/ids.js';

/** Writers of one empty journal. */
interface Bench {
  readonly open: () => Promise<Journal>;
}

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

const implementations: readonly { name: string; bench: () => Promise<Bench> }[] = [
  {
    name: 'JetStream',
    async bench() {
      const names = natsNames(`j${count++}`);
      const link = await connectTest(server);
      links.push(link);
      await ensureStreams({ link, names, replicas: 1, log: silent });
      return {
        async open() {
          const own = await connectTest(server);
          links.push(own);
          return openNatsJournal({ link: own, names });
        },
      };
    },
  },
  {
    name: 'memory',
    bench() {
      const store = new MemoryStore();
      return Promise.resolve({ open: () => Promise.resolve(new MemoryJournal(store)) });
    },
  },
];

const entry = (n: number, events: readonly Event[] = [{ kind: 'RunRecorded', run: runId(n) }]): Entry => ({
  v: 1,
  at: 1_000 + n,
  epoch: 1,
  events,
});

async function all(
  journal: Journal,
  after = 0,
): Promise<{ last: number; seen: (readonly [number, Entry])[] }> {
  const seen: (readonly [number, Entry])[] = [];
  const last = await journal.replay(after, (sequence, each) => void seen.push([sequence, each]));
  return { last, seen };
}

describe.each(implementations)('the journal on $name', ({ bench }) => {
  test('is empty at first', async () => {
    const journal = await (await bench()).open();
    expect(await all(journal)).toEqual({ last: 0, seen: [] });
  });

  test('gives back what was appended, in order, to every reader', async () => {
    const { open } = await bench();
    const journal = await open();
    for (let n = 1; n <= 20; n++)
      expect(await journal.append(entry(n), n - 1)).toEqual({ kind: 'stored', sequence: n });
    for (const reader of [journal, await open()]) {
      const { last, seen } = await all(reader);
      expect(last).toBe(20);
      expect(seen).toEqual(Array.from({ length: 20 }, (_none, index) => [index + 1, entry(index + 1)]));
    }
    expect((await all(journal, 17)).seen.map(([sequence]) => sequence)).toEqual([18, 19, 20]);
    expect(await all(journal, 20)).toEqual({ last: 20, seen: [] });
  });

  test('refuses an append that does not follow the last entry', async () => {
    const journal = await (await bench()).open();
    await journal.append(entry(1), 0);
    for (const wrong of [0, 2, 7]) expect((await journal.append(entry(9), wrong)).kind).toBe('refused');
    expect((await all(journal)).last).toBe(1);
  });

  test('fences the writer that was overtaken, for ever', async () => {
    const { open } = await bench();
    const [old, next] = [await open(), await open()];
    expect((await old.append(entry(1), 0)).kind).toBe('stored');
    const last = await next.replay(0, () => undefined);
    expect(await next.append(entry(100), last)).toEqual({ kind: 'stored', sequence: 2 });
    // The old one thinks that 1 is the last.
    expect((await old.append(entry(2), 1)).kind).toBe('refused');
    expect((await next.append(entry(101), 2)).kind).toBe('stored');
    expect((await old.append(entry(2), 1)).kind).toBe('refused');
    expect((await all(next)).seen.map(([, { at }]) => at)).toEqual([1_001, 1_100, 1_101]);
  });

  test('takes exactly one of two appends of the same place', async () => {
    const { open } = await bench();
    const [a, b] = [await open(), await open()];
    for (let last = 0; last < 50; last++) {
      const results = await Promise.all([a.append(entry(1), last), b.append(entry(2), last)]);
      expect(results.map(({ kind }) => kind).sort()).toEqual(['refused', 'stored']);
    }
    expect((await all(a)).last).toBe(50);
  });

  test('keeps an entry of the largest size, and throws at one that is larger', async () => {
    const journal = await (await bench()).open();
    const overhead = JSON.stringify(entry(1, [{ kind: 'EpochBegan', epoch: 1, seed: '' }])).length;
    const sized = (bytes: number): Entry =>
      entry(1, [{ kind: 'EpochBegan', epoch: 1, seed: 'x'.repeat(bytes - overhead) }]);
    expect((await journal.append(sized(maxEntryBytes), 0)).kind).toBe('stored');
    await expect(journal.append(sized(maxEntryBytes + 1), 1)).rejects.toThrow(JournalError);
    expect((await all(journal)).seen).toEqual([[1, sized(maxEntryBytes)]]);
  });

  test('keeps every character', async () => {
    const journal = await (await bench()).open();
    const strange = entry(1, [{ kind: 'EpochBegan', epoch: 1, seed: 'ü €\u0000\n"\\ 🏗️ \u2028' }]);
    await journal.append(strange, 0);
    expect((await all(journal)).seen).toEqual([[1, strange]]);
  });

  test('throws when it is shorter than what was known to be there', async () => {
    const journal = await (await bench()).open();
    await journal.append(entry(1), 0);
    await expect(all(journal, 2)).rejects.toThrow(JournalError);
  });
});
