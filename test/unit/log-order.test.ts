import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { StepCursor } from '../../coordinator/logs/attempt-log.js';
import { LogOrder, type Piece } from '../../coordinator/logs/log-order.js';

const log = 'run/1/1/1';
const piece = (offset: number, end: number): Piece => ({ log, offset, end });

describe('pieces of a log behind one that was not stored', () => {
  test('do not count until they are stored again behind it', async () => {
    const order = new LogOrder();
    const append = (offset: number, problem?: string): Promise<string | undefined> =>
      order.append(
        piece(offset, offset + 1),
        () => Promise.resolve(problem),
        () => 0,
      );
    expect(await append(0)).toBeUndefined();
    expect(await Promise.all([append(1, 'full'), append(2), append(3)])).toEqual([
      'full',
      expect.stringContaining('before it'),
      expect.stringContaining('before it'),
    ]);
    // Out of order again: 2 is wanted first.
    expect(await append(1)).toBeUndefined();
    expect(await append(3)).toContain('before it');
    expect(await append(2)).toBeUndefined();
    expect(await append(3)).toBeUndefined();
    expect(await append(4)).toBeUndefined();
  });

  test('count when the gap was abandoned: its agent resumed at another coordinator', async () => {
    const order = new LogOrder();
    let now = 0;
    const append = (offset: number, problem?: string): Promise<string | undefined> =>
      order.append(
        piece(offset, offset + 1),
        () => Promise.resolve(problem),
        () => now,
      );
    expect(await append(0, 'full')).toBe('full');
    expect(await append(5)).toContain('before it');
    now += 31_000;
    expect(await append(5)).toBeUndefined();
  });

  test('whatever fails and whenever each is repeated, a reader gets what was acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 }),
        fc.array(fc.constantFrom('stored', 'refused', 'unanswered'), { maxLength: 60 }),
        fc.array(fc.nat(20), { maxLength: 200 }),
        async (sizes, failures, delays) => {
          const order = new LogOrder();
          const stored: Piece[] = [];
          const fails = [...failures];
          const waits = [...delays];
          let chain: Promise<unknown> = Promise.resolve();
          let acknowledged = 0;
          let start = 0;
          const senders: Promise<void>[] = [];
          for (const size of sizes) {
            const mine = piece(start, start + size);
            start += size;
            const send = async (): Promise<void> => {
              for (;;) {
                const problem = await order.append(
                  mine,
                  async () => {
                    const outcome = fails.shift() ?? 'stored';
                    // Like the server: stores in the order of the calls, answers later.
                    if (outcome !== 'refused') stored.push(mine);
                    await Promise.resolve();
                    return outcome === 'stored' ? undefined : outcome;
                  },
                  () => 0,
                );
                if (problem === undefined) return;
                for (let wait = waits.shift() ?? 1; wait > 0; wait--) await Promise.resolve();
              }
            };
            const sent = send();
            chain = chain.then(() => sent).then(() => (acknowledged = mine.end));
            senders.push(sent);
          }
          await Promise.all(senders);
          await chain;
          const cursor = new StepCursor();
          for (const { offset, end } of stored) cursor.next({ offset, bytes: new Uint8Array(end - offset) });
          expect(acknowledged).toBe(start);
          expect(cursor.offset).toBe(start);
        },
      ),
      { numRuns: 500 },
    );
  });
});
