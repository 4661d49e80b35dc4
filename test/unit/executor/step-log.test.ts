import { appendFile, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findMarker, FollowedLog } from '../../../agent/executor/step-log.js';

const marker = '0123456789abcdef01234567';
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('findMarker', () => {
  test.each<[string, string, object]>([
    ['none', 'some output', { kind: 'none', safe: 11 }],
    ['at the end', `out${marker} 7\n`, { kind: 'found', at: 3, exitCode: 7 }],
    ['with leftovers behind', `out\n${marker} 255\nlate`, { kind: 'found', at: 4, exitCode: 255 }],
    ['its beginning', `out${marker.slice(0, 9)}`, { kind: 'none', safe: 3 }],
    ['its code not yet whole', `out${marker} 1`, { kind: 'none', safe: 3 }],
    ['printed by the step, followed by something else', `${marker}x`, { kind: 'none', safe: 25 }],
    ['printed by the step with an impossible code', `${marker} 256\n`, { kind: 'none', safe: 29 }],
    ['a forgery before the real one', `${marker} x\n${marker} 0\n`, { kind: 'found', at: 27, exitCode: 0 }],
  ])('%s', (_name, text, expected) => {
    expect(findMarker(bytes(text), bytes(marker))).toEqual(expected);
  });
});

describe('FollowedLog', () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gantry-step-log-'));
    path = join(directory, 'log');
    await writeFile(path, '');
  });
  afterEach(() => rm(directory, { recursive: true }));
  const follow = async (limitBytes = 1e9): Promise<FollowedLog> =>
    new FollowedLog({ handle: await open(path, 'r+'), marker, limitBytes });

  test('however the output and the marker are cut into writes, nothing but the output is ever told', async () => {
    const output = fc.array(
      fc.oneof(
        fc.string(),
        fc.constantFrom(marker, marker.slice(0, 7), `${marker} `, marker.slice(0, 23), '\n'),
      ),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(
        output,
        fc.nat({ max: 255 }),
        fc.array(fc.integer({ min: 1, max: 40 })),
        async (parts, code, cuts) => {
          // A marker in the output that is followed by a code and a newline would be a true one.
          const own = bytes(parts.join('').replaceAll(/ \d{1,3}\n/g, ' '));
          const all = Buffer.concat([own, bytes(`${marker} ${code}\nlate`)]);
          fc.pre(findMarker(all, bytes(marker)).kind === 'found');
          await writeFile(path, '');
          const log = await follow();
          let at = 0;
          for (const cut of [...cuts, all.length]) {
            await appendFile(path, all.subarray(at, at + cut));
            at = Math.min(all.length, at + cut);
            const available = await log.available();
            expect(available).toBeLessThanOrEqual(own.length);
            if (at >= own.length + 24 + 2 + String(code).length) expect(available).toBe(own.length);
          }
          expect(log.end).toEqual({ bytes: own.length, exitCode: code });
          const read = Buffer.alloc(own.length + 10);
          expect(await log.read(0, read)).toBe(own.length);
          expect(read.subarray(0, own.length).equals(own)).toBe(true);
          await log.close();
        },
      ),
      { numRuns: 200 },
    );
  });

  test('output larger than one read, with a marker across its border', async () => {
    const own = Buffer.alloc(256 * 1024 - 10, 'y');
    await writeFile(path, Buffer.concat([own, bytes(`${marker} 3\n`)]));
    const log = await follow();
    expect(await log.available()).toBe(own.length);
    expect(log.end).toEqual({ bytes: own.length, exitCode: 3 });
    await log.close();
  });

  test('nothing past the limit is told', async () => {
    await writeFile(path, 'x'.repeat(100));
    const log = await follow(30);
    expect(await log.available()).toBe(30);
    expect(log.overLimit).toBe(true);
    expect(await log.settle(137)).toEqual({ bytes: 30, exitCode: 137 });
    await log.close();
  });

  test('a possible beginning of a marker is output once it is known that none comes', async () => {
    await writeFile(path, `out${marker.slice(0, 5)}`);
    const log = await follow();
    expect(await log.available()).toBe(3);
    expect(await log.settle(137)).toEqual({ bytes: 8, exitCode: 137 });
    await log.close();
  });

  test('what was seen and then cut away reads as NUL bytes, so that no reader waits for ever', async () => {
    await writeFile(path, 'seen before');
    const log = await follow();
    expect(await log.available()).toBe(11);
    await truncate(path, 4);
    const buffer = Buffer.alloc(20, '?');
    expect(await log.read(0, buffer)).toBe(4);
    expect(await log.read(4, buffer)).toBe(7);
    expect(buffer.subarray(0, 7).equals(Buffer.alloc(7))).toBe(true);
    expect(await log.settle(0)).toEqual({ bytes: 11, exitCode: 0 });
    expect(log.cut).toBe(true);
    await log.close();
  });

  test('a waiter wakes when there is more, and at the latest after 50 ms or its own abort', async () => {
    const log = await follow();
    const abort = new AbortController();
    const waiting = log.changed(abort.signal);
    await appendFile(path, 'more');
    await log.scan();
    await waiting;
    const other = log.changed(abort.signal);
    abort.abort();
    await other;
    await log.changed(new AbortController().signal);
    await log.close();
    expect(await log.read(0, Buffer.alloc(1))).toBe(0);
  });
});
