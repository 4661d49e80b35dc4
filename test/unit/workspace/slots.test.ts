import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Slots } from '../../../agent/workspace/slots.js';
import { runId } from '../../support/ids.js';

let data: string;
beforeEach(async () => {
  data = await mkdtemp(path.join(os.tmpdir(), 'gantry-test-slots-'));
});
// Not by Node's `rm`, which cannot remove what one of the tests makes.
afterEach(() => promisify(execFile)('rm', ['-rf', data]));

const ref = { run: runId(1), stage: 2, attempt: 3 };
const name = `${ref.run}-2-3`;

describe('slots', () => {
  test('are made empty and private, and again empty for the same attempt', async () => {
    const slots = await Slots.open(data);
    const slot = await slots.create(ref);
    expect(slot).toEqual({
      root: path.join(data, 'slots', name),
      workspace: path.join(data, 'slots', name, 'workspace'),
      out: path.join(data, 'slots', name, 'out'),
    });
    for (const directory of [slot.root, slot.workspace, slot.out])
      expect((await stat(directory)).mode & 0o7777).toBe(0o700);
    await writeFile(path.join(slot.workspace, 'left'), '');
    await slots.create(ref);
    expect(await readdir(slot.workspace)).toEqual([]);
    await slots.swept();
  });

  test('are there for more at once than were made ahead, and what was made ahead is not left to the next process', async () => {
    const slots = await Slots.open(data);
    const made = await Promise.all([1, 2, 3, 4, 5].map((stage) => slots.create({ ...ref, stage })));
    for (const { root } of made) expect((await readdir(root)).sort()).toEqual(['out', 'workspace']);
    expect(await slots.list()).toHaveLength(5);
    await writeFile(path.join(made[0]!.workspace, 'file'), '');
    await expect.poll(() => readdir(path.join(data, 'spares'))).toHaveLength(2);
    const next = await Slots.open(data);
    expect(await readdir(path.join(data, 'spares'))).toHaveLength(2);
    await Promise.all([slots.swept(), next.swept()]);
    expect(await readdir(path.join(data, 'trash'))).toEqual([]);
    const again = await next.create({ ...ref, stage: 1 });
    expect(await readdir(again.workspace)).toEqual([]);
    await next.swept();
  });

  test('that are discarded are out of the way at once and gone soon, whatever is in them', async () => {
    const slots = await Slots.open(data);
    const slot = await slots.create(ref);
    const outside = path.join(data, 'outside');
    await mkdir(outside);
    await writeFile(path.join(outside, 'file'), '');
    await symlink(outside, path.join(slot.workspace, 'link'));
    // Longer than a path may be: only a remover that descends by descriptor gets there.
    await promisify(execFile)(
      'perl',
      ['-e', 'my $n = "x" x 100; for (1..100) { mkdir $n; chdir $n or die }'],
      {
        cwd: slot.workspace,
      },
    );
    await writeFile(path.join(slot.out, 'file'), '');
    await slots.discard(slot.root);
    expect(await slots.list()).toEqual([]);
    await slots.discard(slot.root);
    await slots.swept();
    expect(await readdir(path.join(data, 'trash'))).toEqual([]);
    expect(await readdir(outside)).toEqual(['file']);
  });

  test('of attempts that nobody holds any more are discarded', async () => {
    const slots = await Slots.open(data);
    await slots.create(ref);
    await slots.create({ ...ref, attempt: 4 });
    await slots.discardAllBut(new Set([name]));
    expect(await slots.list()).toEqual([name]);
    await slots.swept();
  });

  test('trash of a killed predecessor is swept', async () => {
    await mkdir(path.join(data, 'trash', 'old'), { recursive: true });
    const slots = await Slots.open(data);
    await slots.swept();
    expect(await readdir(path.join(data, 'trash'))).toEqual([]);
  });

  test('trash that many throw away at once is all swept', async () => {
    const slots = await Slots.open(data);
    await Promise.all(
      Array.from({ length: 20 }, async (_, attempt) => {
        const slot = await slots.create({ ...ref, attempt: attempt + 1 });
        await slots.discard(slot.root);
      }),
    );
    await slots.swept();
    expect(await readdir(path.join(data, 'trash'))).toEqual([]);
  });
});

describe('the space on the disk', () => {
  test('is enough: nothing is evicted', async () => {
    const slots = await Slots.open(data);
    const free = await slots.freeBytes();
    expect(free).toBeGreaterThan(0);
    const evict = (): Promise<boolean> => Promise.reject(new Error('asked to evict'));
    expect(await slots.ensureFree(1, evict)).toBe(true);
  });

  test('is too little: evicts until nothing is left to evict, and says so', async () => {
    const slots = await Slots.open(data);
    let left = 3;
    const evict = (): Promise<boolean> => Promise.resolve((left -= 1) >= 0);
    expect(await slots.ensureFree(Number.MAX_SAFE_INTEGER, evict)).toBe(false);
    expect(left).toBe(-1);
  });
});
