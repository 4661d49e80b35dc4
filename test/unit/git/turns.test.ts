import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Turns } from '../../../shared/git/turns.js';

/** Work that ends when told, and the log of what began and ended. */
function workshop(): {
  log: string[];
  work: (name: string) => () => Promise<string>;
  end: (name: string) => Promise<void>;
} {
  const log: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    log,
    work: (name) => () => {
      log.push(`+${name}`);
      return new Promise((resolve) => {
        ends.set(name, () => {
          log.push(`-${name}`);
          resolve(name);
        });
      });
    },
    end: async (name) => {
      ends.get(name)?.();
      await setImmediate();
    },
  };
}

describe('turns', () => {
  test('readers go together, a writer alone, and nobody overtakes a waiting writer', async () => {
    const turns = new Turns();
    const { log, work, end } = workshop();
    const all = [
      turns.read(work('r1')),
      turns.read(work('r2')),
      turns.write(work('w')),
      turns.read(work('r3')),
    ];
    await setImmediate();
    expect(log).toEqual(['+r1', '+r2']);
    await end('r1');
    expect(log).toEqual(['+r1', '+r2', '-r1']);
    await end('r2');
    await end('w');
    await end('r3');
    expect(await Promise.all(all)).toEqual(['r1', 'r2', 'w', 'r3']);
    expect(log.slice(2)).toEqual(['-r1', '-r2', '+w', '-w', '+r3', '-r3']);
    expect(turns.idle).toBe(true);
  });

  test('who gives up while waiting does not hold the others', async () => {
    const turns = new Turns();
    const { log, work, end } = workshop();
    const cancel = new AbortController();
    const first = turns.read(work('r1'));
    const gone = turns.write(work('w'), cancel.signal);
    const behind = turns.read(work('r2'));
    await setImmediate();
    cancel.abort(new Error('not wanted'));
    await expect(gone).rejects.toThrow('not wanted');
    await setImmediate();
    expect(log).toEqual(['+r1', '+r2']);
    await end('r1');
    await end('r2');
    await Promise.all([first, behind]);
    await expect(turns.read(work('r4'), cancel.signal)).rejects.toThrow('not wanted');
    expect(turns.idle).toBe(true);
  });

  test('work that fails gives its turn back', async () => {
    const turns = new Turns();
    await expect(turns.write(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await turns.write(() => Promise.resolve(1))).toBe(1);
  });
});
