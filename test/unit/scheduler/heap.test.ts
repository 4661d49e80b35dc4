import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from '../../../coordinator/scheduler/heap.js';
import { Timers } from '../../../coordinator/scheduler/timers.js';

test('A heap has the smallest item on top, whatever was added, moved and taken out', () => {
  const operations = fc.array(
    fc.record({ item: fc.nat(60), weight: fc.option(fc.nat(1000), { nil: undefined, freq: 2 }) }),
    { minLength: 100, maxLength: 400, size: 'max' },
  );
  fc.assert(
    fc.property(operations, (steps) => {
      const weights = new Map<number, number>();
      const heap = new Heap<number>((a, b) => (weights.get(a) ?? 0) < (weights.get(b) ?? 0));
      for (const { item, weight } of steps) {
        if (weight === undefined) {
          expect(heap.delete(item)).toBe(weights.has(item));
          weights.delete(item);
        } else {
          weights.set(item, weight);
          heap.update(item);
        }
        const top = heap.peek();
        const least = Math.min(Infinity, ...weights.values());
        if ((top === undefined ? Infinity : weights.get(top)) !== least) throw new Error('not the smallest');
      }
      expect(heap.values().toSorted()).toEqual([...weights.keys()].toSorted());
      const drained: number[] = [];
      for (let top = heap.peek(); top !== undefined; top = heap.peek()) {
        drained.push(weights.get(top)!);
        heap.delete(top);
      }
      expect(drained).toEqual(drained.toSorted((a, b) => a - b));
      expect(drained.length).toBe(weights.size);
    }),
  );
});

test('A timer is due once, at the time it was set to last', () => {
  const timers = new Timers<string>();
  timers.set('a', 10);
  timers.set('b', 5);
  timers.set('a', 3);
  timers.set('c', 4);
  timers.delete('c');
  expect(timers.nextMs).toBe(3);
  expect([timers.takeDue(2), timers.takeDue(4), timers.takeDue(4)]).toEqual([undefined, 'a', undefined]);
  expect([timers.takeDue(9), timers.nextMs]).toEqual(['b', undefined]);
});
