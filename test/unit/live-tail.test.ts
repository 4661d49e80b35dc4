/** What a process knows of an attempt's newest chunks, and when it must say that it does not know. */
import { describe, expect, test } from 'vitest';
import { LiveTail, LiveTails } from '../../coordinator/logs/live-tail.js';

const chunk = (offset: number) => ({ step: 1, offset, at: 1, bytes: Buffer.from('x') });
const after = (tail: LiveTail, sequence: number): readonly number[] | undefined =>
  tail.after(sequence)?.map((each) => each.sequence);
const never = new AbortController().signal;

describe('a tail', () => {
  test('knows what follows the first chunk it heard of, and nothing of what was before', () => {
    const tail = new LiveTail();
    expect(after(tail, 0)).toBeUndefined();
    tail.add(7, chunk(0));
    expect(after(tail, 6)).toBeUndefined();
    expect(after(tail, 7)).toEqual([]);
    tail.add(9, chunk(1));
    tail.add(12, chunk(2));
    expect(after(tail, 7)).toEqual([9, 12]);
    expect(after(tail, 9)).toEqual([12]);
    expect(after(tail, 12)).toEqual([]);
  });

  test('forgets the oldest, and says so to a reader that stands before them', () => {
    const tail = new LiveTail();
    for (let sequence = 1; sequence <= 1000; sequence++) tail.add(sequence, chunk(sequence));
    const known = after(tail, 900);
    expect(known).toHaveLength(100);
    expect(after(tail, 100)).toBeUndefined();
  });

  test('knows nothing more once a chunk may be stored or not, or sequences began anew', () => {
    const tail = new LiveTail();
    for (const sequence of [1, 2, 3]) tail.add(sequence, chunk(sequence));
    tail.forget();
    expect(after(tail, 3)).toBeUndefined();
    tail.add(5, chunk(5));
    expect(after(tail, 3)).toBeUndefined();
    expect(after(tail, 5)).toEqual([]);
    tail.add(2, chunk(6));
    expect(after(tail, 5)).toEqual([]);
    expect(after(tail, 1)).toBeUndefined();
  });

  test('wakes who waits for a change, and lets go by time and by signal', async () => {
    const tail = new LiveTail();
    const changed = tail.changed(60_000, never);
    tail.add(1, chunk(0));
    expect(await changed).toBe(true);
    expect(await tail.changed(1, never)).toBe(false);
    const over = new AbortController();
    const waiting = tail.changed(60_000, over.signal);
    over.abort();
    expect(await waiting).toBe(false);
    expect(await tail.changed(60_000, over.signal)).toBe(false);
  });
});

test('a tail is kept while somebody follows its attempt', () => {
  const tails = new LiveTails();
  expect(tails.get('a')).toBeUndefined();
  const tail = tails.open('a');
  expect(tails.open('a')).toBe(tail);
  tails.close('a');
  expect(tails.get('a')).toBe(tail);
  tails.close('a');
  expect(tails.get('a')).toBeUndefined();
});
