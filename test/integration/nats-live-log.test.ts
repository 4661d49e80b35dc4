/** Live logs are exact: every byte once, in order, whatever happens to the server and to single pieces. */
import { createHash } from 'node:crypto';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { liveLog, StepCursor } from '../../coordinator/logs/attempt-log.js';
import { LogRefused } from '../../coordinator/logs/live-log.js';
import { natsLiveLog, type NatsLiveLog } from '../../coordinator/logs/nats-live-log.js';
import { ensureStreams } from '../../coordinator/journal/nats-streams.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import { beforeBreak } from '../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../shared/nats/nats-connection.js';
import { natsNames } from '../../shared/nats/names.js';
import { eventually } from '../support/eventually.js';
import { runId } from '../support/ids.js';
import { connectTest, silent, startNats, startOpenNats, type NatsServer } from '../support/nats.js';

const names = natsNames('gantry');
const ref: AttemptRef = { run: runId(1), stage: 2, attempt: 1 };
const never = new AbortController().signal;

let server: NatsServer;
let link: NatsLink;
let live: NatsLiveLog;

beforeEach(async () => {
  server = await startOpenNats();
  await open();
});
afterEach(async () => {
  live.close();
  await link.close();
  await server.dispose();
});
async function open(): Promise<void> {
  link = await connectTest(server);
  await ensureStreams({ link, names, replicas: 1, log: silent });
  live = natsLiveLog({ link, names, mayPurge: true });
}

/** Sends a step's bytes as a coordinator does: pipelined, each piece again until it counts. */
async function ship(step: number, text: Buffer, pieceBytes: number): Promise<void> {
  const inFlight = new Set<Promise<void>>();
  for (let offset = 0; offset < text.length; offset += pieceBytes) {
    const bytes = text.subarray(offset, offset + pieceBytes);
    const send = async (): Promise<void> => {
      for (;;) {
        try {
          await live.append({ ...ref, step, offset, bytes, at: 1_700_000_000_000 + offset });
          return;
        } catch (error) {
          if (!(error instanceof LogRefused)) throw error;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    const sent = send();
    inFlight.add(sent);
    void sent.finally(() => inFlight.delete(sent));
    if (inFlight.size >= 128) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
}

async function readBack(
  follow: { until: ReadonlyMap<number, number> } | undefined,
): Promise<Map<number, Buffer>> {
  const over = new AbortController();
  const cursors = new Map<number, StepCursor>();
  const texts = new Map<number, Buffer[]>();
  for await (const piece of liveLog(live, ref, cursors, {
    follow: follow !== undefined,
    signal: over.signal,
  })) {
    if ('gap' in piece) continue;
    texts.set(piece.step, [...(texts.get(piece.step) ?? []), Buffer.from(piece.bytes)]);
    if (
      follow !== undefined &&
      [...follow.until].every(([step, bytes]) => cursors.get(step)?.offset === bytes)
    )
      over.abort();
  }
  return new Map([...texts].map(([step, pieces]) => [step, Buffer.concat(pieces)]));
}

const lines = (from: number, count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, (_none, index) => `line ${from + index}\n`).join(''));
const digest = (bytes: Buffer | undefined): string =>
  createHash('sha256')
    .update(bytes ?? Buffer.from('nothing'))
    .digest('hex');

test('comes back byte for byte, of several steps, binary and empty pieces too', async () => {
  const binary = Buffer.from(Array.from({ length: 70_000 }, (_none, index) => (index * 31) & 0xff));
  await Promise.all([ship(1, lines(0, 20_000), 64 * 1024), ship(2, binary, 999)]);
  const texts = await readBack(undefined);
  expect(digest(texts.get(1))).toBe(digest(lines(0, 20_000)));
  expect(digest(texts.get(2))).toBe(digest(binary));
});

test('of an attempt without a log is empty, and other attempts are not seen', async () => {
  await live.append({ ...ref, attempt: 2, step: 1, offset: 0, bytes: Buffer.from('x'), at: 1 });
  await live.append({ ...ref, stage: 22, step: 1, offset: 0, bytes: Buffer.from('x'), at: 1 });
  expect(await readBack(undefined)).toEqual(new Map());
});

test('keeps the time of each piece', async () => {
  await live.append({ ...ref, step: 3, offset: 0, bytes: Buffer.from('x'), at: 1_700_000_000_123 });
  for await (const chunk of live.read(ref, { follow: false, signal: never }))
    expect(chunk).toMatchObject({ step: 3, offset: 0, at: 1_700_000_000_123 });
});

test('followed from before its first line, over three kills of the server, has every line once', async () => {
  const text = lines(0, 1_000_000);
  const manager = await link.nc.jetstreamManager();
  const following = readBack({ until: new Map([[1, text.length]]) });
  let shipped = false;
  const shipping = ship(1, text, 4 * 1024).then(() => (shipped = true));
  for (let kill = 0; kill < 3; kill++) {
    const at = async (): Promise<number> => {
      await link.whenUp();
      return (
        (await beforeBreak(link, () => manager.streams.info(names.logsStream)).catch(() => undefined))?.state
          .messages ?? 0
      );
    };
    await eventually('some pieces', async () => shipped || (await at()) > 100 + kill * 500);
    expect(shipped).toBe(false);
    await server.restart();
  }
  await shipping;
  expect(digest((await following).get(1))).toBe(digest(text));
  expect(digest((await readBack(undefined)).get(1))).toBe(digest(text));
});

test('a reader that stands still while 20 MB are written gets them all, and the server waits for it', async () => {
  const text = lines(0, 1_500_000);
  const over = new AbortController();
  const reader = live.read(ref, { follow: true, signal: over.signal })[Symbol.asyncIterator]();
  const first = reader.next();
  await ship(1, text, 64 * 1024);
  const parts: Buffer[] = [];
  const cursor = new StepCursor();
  for (let next = await first; next.done !== true; next = await reader.next()) {
    const fresh = cursor.next(next.value);
    if (fresh !== undefined && fresh !== 'gap') parts.push(Buffer.from(fresh));
    if (cursor.offset === text.length) over.abort();
  }
  expect(digest(Buffer.concat(parts))).toBe(digest(text));
});

/** Reads on until `bytes` of step 1 are there, one chunk at a time. */
function follower(log: NatsLiveLog): {
  readonly until: (bytes: number) => Promise<Buffer>;
  readonly end: () => void;
} {
  const over = new AbortController();
  const chunks = log.read(ref, { follow: true, signal: over.signal })[Symbol.asyncIterator]();
  const cursor = new StepCursor();
  const parts: Buffer[] = [];
  return {
    until: async (bytes) => {
      while (cursor.offset < bytes) {
        const next = await chunks.next();
        if (next.done === true) throw new Error('the log ended');
        const fresh = cursor.next(next.value);
        if (fresh !== undefined && fresh !== 'gap') parts.push(Buffer.from(fresh));
      }
      return Buffer.concat(parts);
    },
    end: () => over.abort(),
  };
}

test('what is stored here reaches its followers without being read back', async () => {
  const manager = await link.nc.jetstreamManager();
  const consumers = async (): Promise<number> =>
    (await manager.streams.info(names.logsStream)).state.consumer_count;
  const { until, end } = follower(live);
  const text = (n: number): string => `piece ${String(n).padStart(3)}\n`;
  const piece = (n: number): Promise<void> =>
    live.append({ ...ref, step: 1, offset: n * 10, bytes: Buffer.from(text(n)), at: n });
  const first = until(10);
  await eventually('it follows', async () => (await consumers()) === 1);
  await piece(0);
  await first;
  const second = until(20);
  await piece(1);
  await second;
  const rest = until(1000);
  await eventually('it needs NATS no more', async () => (await consumers()) === 0);
  for (let n = 2; n < 100; n++) await piece(n);
  expect(await consumers()).toBe(0);
  expect((await rest).toString()).toBe(Array.from({ length: 100 }, (_none, n) => text(n)).join(''));
  end();
});

test('an attempt that goes to another coordinator and back is followed from the first without a gap', async () => {
  const elsewhere = natsLiveLog({ link, names, mayPurge: true });
  try {
    const text = lines(0, 3_000);
    const { until, end } = follower(live);
    const bytes = 1000;
    for (let offset = 0; offset < text.length; offset += bytes) {
      const turn = Math.floor(offset / bytes / 5) % 2 === 0 ? live : elsewhere;
      const piece = text.subarray(offset, offset + bytes);
      await turn.append({ ...ref, step: 1, offset, bytes: piece, at: 1 });
      // Not after each one, so that some of the others' come when this one has gone on.
      if (turn === live && offset % 3 === 0) await until(offset + piece.length);
    }
    expect(digest(await until(text.length))).toBe(digest(text));
    end();
  } finally {
    elsewhere.close();
  }
});

test('a reader ends at once when it is aborted', async () => {
  const over = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const { step } of live.read(ref, { follow: true, signal: over.signal })) seen.push(step);
  })();
  await live.append({ ...ref, step: 1, offset: 0, bytes: Buffer.from('x'), at: 1 });
  over.abort();
  await reading;
  const manager = await link.nc.jetstreamManager();
  await eventually(
    'no consumer is left',
    async () => (await manager.streams.info(names.logsStream)).state.consumer_count === 0,
  );
});

test('purged, it is gone, and the others are not', async () => {
  const other = { ...ref, attempt: 2 };
  await live.append({ ...ref, step: 1, offset: 0, bytes: Buffer.from('x'), at: 1 });
  await live.append({ ...other, step: 1, offset: 0, bytes: Buffer.from('y'), at: 1 });
  await live.purge(ref);
  expect(await readBack(undefined)).toEqual(new Map());
  const chunks: string[] = [];
  for await (const chunk of live.read(other, { follow: false, signal: never }))
    chunks.push(Buffer.from(chunk.bytes).toString());
  expect(chunks).toEqual(['y']);
});

test('a full store refuses with LogRefused, leaves room for the journal, and takes pieces again after a purge', async () => {
  live.close();
  await link.close();
  await server.dispose();
  server = await startNats(
    ({ port, storeDir }) =>
      `listen: 127.0.0.1:${port}\njetstream { store_dir: "${storeDir}", max_file_store: ${80 * 1024 * 1024} }\nauthorization { user: test, password: test }\n`,
  );
  await open();
  const bytes = Buffer.alloc(64 * 1024, 'x');
  let offset = 0;
  const fill = async (): Promise<void> => {
    for (; ; offset += bytes.length) await live.append({ ...ref, step: 1, offset, bytes, at: 1 });
  };
  await expect(fill()).rejects.toThrow(LogRefused);
  expect(offset).toBeGreaterThan(10 * 1024 * 1024);
  expect(offset).toBeLessThan(45 * 1024 * 1024);
  const ack = await link.nc.jetstream().publish(names.journalSubject, 'x'.repeat(500_000));
  expect(ack.seq).toBe(1);
  await live.purge(ref);
  await live.append({ ...ref, step: 1, offset, bytes, at: 1 });
});
