import { expect, it } from 'vitest';
import { StoredBundles } from '../../../coordinator/api/stored-bundles.js';
import { sha } from '../scheduler/ids.js';

const { signal } = new AbortController();
const bundle = { digest: sha(1), bytes: 10 };

function storage() {
  const world = { nowMs: 0, stored: undefined as number | undefined, asked: 0 };
  const head = () => {
    world.asked += 1;
    const { stored } = world;
    return Promise.resolve(
      stored === undefined ? undefined : { bytes: stored, etag: '"1"', modifiedAt: new Date(0) },
    );
  };
  return { world, bundles: new StoredBundles({ head }, () => world.nowMs) };
}

it('asks for what is missing again and again, and for what is there once in five minutes', async () => {
  const { world, bundles } = storage();
  expect(await bundles.has(bundle, signal)).toBe(false);
  world.stored = 10;
  expect(await bundles.has(bundle, signal)).toBe(true);
  world.stored = undefined;
  world.nowMs = 5 * 60_000 - 1;
  expect(await bundles.has(bundle, signal)).toBe(true);
  expect(world.asked).toBe(2);
  world.nowMs += 1;
  expect(await bundles.has(bundle, signal)).toBe(false);
});

it('knows a tree that is there by its length too', async () => {
  const { world, bundles } = storage();
  world.stored = 9;
  expect(await bundles.has(bundle, signal)).toBe(false);
  world.stored = 10;
  expect(await bundles.has(bundle, signal)).toBe(true);
});
