import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../../agent/artifacts/canonical-json.js';
import { planPlacement } from '../../../agent/artifacts/placement.js';
import type { ArtifactError } from '../../../agent/artifacts/artifact-error.js';
import type { NeededArtifacts } from '../../../shared/model/agent.js';
import {
  linkStaysInside,
  safeRelativePath,
  type FileEntry,
  type Manifest,
} from '../../../shared/model/artifact.js';
import { parseManifest } from '../../../shared/model/manifest.js';
import { sha256Of } from '../../support/agent-world.js';

describe('a path of a manifest', () => {
  test.each(['a', 'a/b', '.hidden', '..a/b..', 'a b', '-x', '...'])(
    '%j may be joined to a directory',
    (name) => {
      expect(safeRelativePath(name)).toBe(name);
    },
  );
  test.each(['', '/', '/a', 'a/', 'a//b', '.', '..', './a', 'a/.', '../a', 'a/../b', 'a/..', 'a\0b'])(
    '%j may not',
    (name) => {
      expect(safeRelativePath(name)).toBeUndefined();
    },
  );
});

describe('a link', () => {
  test.each([
    ['a', 'b', true],
    ['a', './b/c', true],
    ['a', '.', true],
    ['d/a', '../b', true],
    ['d/a', '..', true],
    ['d/e/a', '../../b', true],
    ['a', '..', false],
    ['d/a', '../../b', false],
    ['a', '/etc/passwd', false],
    ['a', 'b/../c', false],
    ['d/a', 'x/../../b', false],
    ['d/a', '../x/..', false],
    ['a', '', false],
    ['a', 'b\0c', false],
  ])('at %s to %s stays inside: %s', (at, target, inside) => {
    expect(linkStaysInside(at, target)).toBe(inside);
  });

  test('that is allowed leads nowhere outside, whatever other links that are allowed there are', async () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const at = fc.array(name, { minLength: 1, maxLength: 3 });
    const target = fc.array(fc.constantFrom('a', 'b', 'c', '..', '.'), { minLength: 1, maxLength: 5 });
    const links = fc.array(fc.tuple(at, target), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(links, async (wanted) => {
        const directory = await realpath(await mkdtemp(path.join(os.tmpdir(), 'gantry-test-links-')));
        try {
          const root = path.join(directory, 'x', 'y', 'root');
          await mkdir(root, { recursive: true });
          for (const [where, to] of wanted) {
            if (!linkStaysInside(where.join('/'), to.join('/'))) continue;
            const file = path.join(root, ...where);
            // As an unpacker that follows no link: the parents are real directories, or there is no such link.
            const parents = await mkdir(path.dirname(file), { recursive: true }).then(
              async () => (await realpath(path.dirname(file))) === path.dirname(file),
              () => false, // something else is in the way
            );
            if (parents) await symlink(to.join('/'), file).catch(() => undefined); // taken already
          }
          for (const [where] of wanted) {
            const real = await realpath(path.join(root, ...where)).catch(() => root); // dangling, or a circle
            expect(real === root || real.startsWith(`${root}/`)).toBe(true);
          }
        } finally {
          await rm(directory, { recursive: true, force: true });
        }
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

const file = (name: string, more: Partial<FileEntry> = {}): FileEntry => ({
  path: name,
  mode: 0o644,
  size: 1,
  sha256: sha256Of('x'),
  ...more,
});
const manifestOf = (...files: readonly FileEntry[]): Manifest => ({
  v: 1,
  artifacts: [{ number: 1, name: 'a', form: 'tar', bytes: 1, sha256: sha256Of('x'), files }],
});
const need = (stage: number, title: string): NeededArtifacts => ({
  stage,
  attempt: 1,
  title,
  manifest: { sha256: sha256Of('m'), bytes: 1 },
});

describe('placing artifacts', () => {
  const conflict = (...lists: readonly (readonly FileEntry[])[]): ArtifactError['failure'] | undefined => {
    try {
      planPlacement(
        new Map(lists.map((files, index) => [need(index + 1, `stage-${index + 1}`), manifestOf(...files)])),
      );
      return undefined;
    } catch (error) {
      return (error as ArtifactError).failure; // planPlacement throws nothing else
    }
  };

  test('of different paths is fine', () => {
    expect(conflict([file('a/x')], [file('a/y')], [file('b')])).toBeUndefined();
  });

  test('names both stages and the path when they bring the same one', () => {
    expect(conflict([file('a/x')], [file('b'), file('a/x')])).toMatchObject({
      kind: 'artifact-conflict',
      path: 'a/x',
      message: expect.stringMatching(/stage-1 and stage-2 both bring it/) as string,
    });
  });

  test('finds a file where another has a directory, in either order', () => {
    expect(conflict([file('a')], [file('a/b/c')])).toMatchObject({ path: 'a' });
    expect(conflict([file('a/b/c')], [file('a')])).toMatchObject({ path: 'a' });
    expect(conflict([file('a/b/c')], [file('a/b')])).toMatchObject({ path: 'a/b' });
    expect(conflict([file('a', { link: 'b' })], [file('a/c')])).toMatchObject({ path: 'a' });
    expect(conflict([file('a/b'), file('a/c'), file('ab')])).toBeUndefined();
  });

  test('takes overlapping artifacts of one stage once, and links apart', () => {
    const first = file('a');
    const second = file('a');
    const plan = planPlacement(
      new Map([[need(1, 's'), manifestOf(first, second, file('l', { link: 'a' }))]]),
    );
    expect(plan.writes).toEqual(new Set([first]));
    expect(plan.writes.has(second)).toBe(false);
    expect(plan.links).toEqual([{ path: Buffer.from('l'), target: 'a' }]);
  });
});

describe('manifest.json', () => {
  test('is read as it was written, names that are not UTF-8 too', () => {
    const manifest = manifestOf(
      file('a', { where: { memberOffset: 0, memberBytes: 10, dataOffset: 512 } }),
      { pathBase64: Buffer.from([0x61, 0xff]).toString('base64'), mode: 0, size: 0, sha256: sha256Of('') },
      file('l', { link: 'a', size: 0 }),
    );
    expect(parseManifest(JSON.parse(canonicalJson(manifest)))).toEqual({ kind: 'manifest', manifest });
  });

  test('has one form: its digest does not depend on the order of keys', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
  });

  test.each([
    ['no object', [], /no object/],
    ['a later version', { v: 2, artifacts: [] }, /version 2/],
    ['a path that leaves', manifestOf(file('../x')), /leaves its directory/],
    ['an absolute path', manifestOf(file('/etc/passwd')), /leaves its directory/],
    [
      'such a path in base64',
      manifestOf({ ...file('x'), path: undefined, pathBase64: 'Li4veA==' }),
      /leaves/,
    ],
    ['no base64', manifestOf({ ...file('x'), path: undefined, pathBase64: '!' }), /no base64/],
    ['a link that leaves', manifestOf(file('l', { link: '../x' })), /link at "l" that leaves/],
    ['a size below 0', manifestOf(file('x', { size: -1 })), /no number/],
    ['a digest that is none', manifestOf(file('x', { sha256: 'abc' as never })), /no SHA-256/],
    ['no path', manifestOf({ ...file('x'), path: undefined } as never), /no text/],
  ])('with %s is refused', (_what, json, message) => {
    const result = parseManifest(JSON.parse(JSON.stringify(json)));
    expect(result).toMatchObject({ kind: 'invalid', message: expect.stringMatching(message) as string });
  });

  test('as anything at all is refused or read, never an exception', () => {
    fc.assert(fc.property(fc.jsonValue(), (json) => void parseManifest(json)));
  });
});
