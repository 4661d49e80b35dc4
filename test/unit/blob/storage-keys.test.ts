import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTemporary } from '../../../coordinator/storage/body-file.js';
import {
  entryOfName,
  fromByteString,
  pathOfKey,
  toByteString,
} from '../../../coordinator/storage/key-path.js';
import { listObjects } from '../../../coordinator/storage/listing.js';
import { ObjectTree } from '../../../coordinator/storage/object-tree.js';

/** Keys that collide, nest and sort awkwardly. */
const awkward = fc
  .array(
    fc.constantFrom(
      'a',
      'b',
      '/',
      '.',
      '..',
      '-',
      '0',
      'ü',
      '🚂',
      '\u0000',
      '%',
      'x'.repeat(79),
      'y'.repeat(80),
      '//',
    ),
    {
      minLength: 1,
      maxLength: 7,
    },
  )
  .map((parts) => parts.join(''))
  .filter((key) => Buffer.byteLength(key) <= 1024);
const anyKey = fc.oneof(awkward, fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }));

const isWhole = (text: string): boolean => Buffer.from(text).toString() === text;
const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

describe('the path of a key', () => {
  it('is made of plain names only, none longer than a file name may be', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        for (const name of pathOfKey(key)) {
          expect(name).toMatch(/^[odc][A-Za-z0-9._%-]*$/);
          expect(name.length).toBeLessThanOrEqual(255);
        }
      }),
    );
  });

  it('gives the key back, so that no two keys share one', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const bytes = pathOfKey(key).map(
          (name) => entryOfName(name)?.text ?? expect.fail('it is one of ours'),
        );
        expect(fromByteString(bytes.join(''))).toBe(key);
        expect(toByteString(key)).toBe(bytes.join(''));
      }),
    );
  });

  it('stays below what a path may be, even at its longest', () => {
    for (const key of ['/'.repeat(1024), '\u0001/'.repeat(512), '\u0001'.repeat(1024), 'ü/'.repeat(341)]) {
      expect(pathOfKey(key).join('/').length).toBeLessThan(3500);
    }
  });
});

describe('a listing', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'gantry-test-list-'));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  const put = async (tree: ObjectTree, key: string): Promise<void> => {
    const { path } = await writeTemporary(root, () =>
      Promise.resolve({
        v: 1,
        key,
        bytes: 0,
        etag: 'e',
        modifiedAt: 0,
        headers: {},
        meta: {},
        checksums: {},
      }),
    );
    await tree.commit(key, path);
  };

  /** What S3 says a listing is, without any thought of speed. */
  function model(
    keys: readonly string[],
    { prefix, delimiter }: { prefix: string; delimiter: string },
  ): string[] {
    const items = keys
      .filter((key) => key.startsWith(prefix))
      .map((key) => {
        const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
        return at < 0 ? key : `prefix:${key.slice(0, at + delimiter.length)}`;
      });
    return [...new Set(items)].sort((a, b) => order(a.replace('prefix:', ''), b.replace('prefix:', '')));
  }

  it('is what S3 says, for any keys, prefix, delimiter and page size, before and after deletions', async () => {
    let count = 0;
    const text = fc.oneof(
      fc.constant(''),
      fc.constant('/'),
      awkward.map((key) => key.slice(0, 3)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(awkward, { maxLength: 25 }),
        fc.array(fc.record({ prefix: text, delimiter: text, max: fc.integer({ min: 1, max: 5 }) }), {
          maxLength: 6,
        }),
        fc.nat(),
        async (keys, requests, deleted) => {
          count += 1;
          const tree = new ObjectTree(join(root, String(count)), () => Promise.resolve());
          for (const key of keys) await put(tree, key);
          const check = async (present: readonly string[]): Promise<void> => {
            for (const { prefix, delimiter, max } of [...requests, { prefix: '', delimiter: '', max: 3 }]) {
              // Half a character is no text: an S3 client cannot ask for it.
              if (!isWhole(prefix) || !isWhole(delimiter)) continue;
              const found: string[] = [];
              let after: string | undefined = '';
              while (after !== undefined) {
                const page = await listObjects(tree, { prefix, delimiter, max, after });
                const items = [
                  ...page.objects.map(({ key }) => key),
                  ...page.commonPrefixes.map((common) => `prefix:${common}`),
                ];
                expect(items.length).toBeLessThanOrEqual(max);
                expect(page.next === undefined || items.length === max).toBe(true);
                found.push(
                  ...items.sort((a, b) => order(a.replace('prefix:', ''), b.replace('prefix:', ''))),
                );
                after = page.next;
              }
              expect(found).toEqual(model(present, { prefix, delimiter }));
            }
          };
          await check(keys);
          const gone = keys.filter((_, index) => (index + deleted) % 3 === 0);
          for (const key of gone) await tree.delete(key);
          await check(keys.filter((key) => !gone.includes(key)));
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);

  it('leaves no directory behind when all is deleted', async () => {
    const tree = new ObjectTree(join(root, 'empty'), () => Promise.resolve());
    const keys = ['a/b/c', 'a/b', 'a', 'x'.repeat(400), 'a/b/c/d'];
    await Promise.all(keys.map((key) => put(tree, key)));
    await Promise.all(keys.map((key) => tree.delete(key)));
    expect(await readdir(join(root, 'empty'))).toEqual([]);
  });

  it('passes over files that are not its own', async () => {
    const tree = new ObjectTree(join(root, 'foreign'), () => Promise.resolve());
    await put(tree, 'a');
    await writeFile(join(root, 'foreign', 'lost+found'), '');
    const page = await listObjects(tree, { prefix: '', delimiter: '', max: 10, after: '' });
    expect(page.objects.map(({ key }) => key)).toEqual(['a']);
  });
});
