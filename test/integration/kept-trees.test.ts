import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkout } from '../../agent/workspace/git-workspace.js';
import { KeptTrees } from '../../agent/workspace/kept-trees.js';
import type { Mirror } from '../../agent/workspace/mirror.js';
import { bundleTree } from '../../coordinator/source/bundle-tree.js';
import type { Source } from '../../shared/model/pipeline.js';
import { git, snapshot, temporaryDirectory, TestRepository } from '../support/repositories.js';

let directory: string;
let remove: () => Promise<void>;
let repository: TestRepository;
let keptDirectory: string;
let made = 0;
/** How often a bundle was asked for. */
let asked = 0;

beforeEach(async () => {
  ({ path: directory, remove } = await temporaryDirectory());
  repository = await TestRepository.make(path.join(directory, 'repository'));
  keptDirectory = path.join(directory, 'trees');
  asked = 0;
});
afterEach(() => remove());

const openKept = (maxBytes?: number): Promise<KeptTrees> =>
  KeptTrees.open({
    directory: keptDirectory,
    discard: (gone) => rm(gone, { recursive: true, force: true }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });

interface Submitted {
  readonly source: Source;
  readonly bundle: () => Promise<string>;
}

async function submitted(): Promise<Submitted> {
  const bundlePath = path.join(directory, `${(made += 1)}.bundle`);
  const source: Source = { kind: 'bundle', ...(await bundleTree(repository.directory, bundlePath)) };
  return {
    source,
    bundle: () => {
      asked += 1;
      return Promise.resolve(bundlePath);
    },
  };
}

const noMirror: Mirror = {
  withCommit: () => Promise.reject(new Error('a submitted tree needs no mirror')),
  projects: () => [],
  evictOldest: () => Promise.resolve(false),
};

async function workspaceOf(tree: Submitted, kept: KeptTrees, branch = 'main'): Promise<string> {
  const workspaceDir = path.join(directory, `workspace-${(made += 1)}`);
  const signal = AbortSignal.timeout(60_000);
  await checkout({ ...tree, workspaceDir, mirror: noMirror, branch, kept, place: 'agent build-7', signal });
  return workspaceDir;
}

/** All but the index, which holds the times of the files. */
async function contentOf(workspace: string): Promise<Map<string, unknown>> {
  const all = new Map<string, unknown>(await snapshot(workspace));
  all.delete('.git/index');
  return all;
}

test('a second workspace of a tree is as the first was, without its bundle', async () => {
  await repository.history(5);
  await repository.git('tag', 'v1');
  await repository.write({ 'dirty file.txt': 'dirty' });
  const kept = await openKept();
  const tree = await submitted();
  const first = await workspaceOf(tree, kept);
  const second = await workspaceOf(tree, kept);
  expect(asked).toBe(1);
  expect(await contentOf(second)).toEqual(await contentOf(first));
  expect(await git(second, 'status', '--porcelain')).toBe('');
  expect(await git(second, 'describe', '--tags')).toMatch(/^v1-1-g/);
  await git(second, 'fsck', '--full');
});

test('what a step does to its repository reaches no other workspace', async () => {
  await repository.history(2);
  const kept = await openKept();
  const tree = await submitted();
  const spoiled = await workspaceOf(tree, kept);
  const packs = path.join(spoiled, '.git', 'objects', 'pack');
  for (const name of await readdir(packs)) {
    await git(spoiled, 'config', 'core.fsmonitor', 'touch /nowhere');
    await rm(path.join(packs, name));
    await writeFile(path.join(packs, name), 'spoiled');
  }
  await appendFile(path.join(spoiled, '.git', 'HEAD'), 'spoiled');
  const next = await workspaceOf(tree, kept);
  expect(asked).toBe(1);
  await git(next, 'fsck', '--full');
  expect(await readFile(path.join(next, '.git', 'HEAD'), 'utf8')).toBe('ref: refs/heads/main\n');
  expect(await readFile(path.join(next, '.git', 'config'), 'utf8')).not.toContain('fsmonitor');
});

test('another branch is another repository, and another tree too', async () => {
  await repository.history(2);
  const kept = await openKept();
  const tree = await submitted();
  await workspaceOf(tree, kept);
  const other = await workspaceOf(tree, kept, 'other');
  expect(await git(other, 'symbolic-ref', '--short', 'HEAD')).toBe('other');
  await repository.write({ 'more.txt': 'more' });
  const later = await workspaceOf(await submitted(), kept);
  expect(await readFile(path.join(later, 'more.txt'), 'utf8')).toBe('more');
  expect(asked).toBe(3);
});

test('what was damaged or evicted is fetched again', async () => {
  await repository.history(2);
  const kept = await openKept();
  const tree = await submitted();
  await workspaceOf(tree, kept);
  const [name] = await readdir(keptDirectory);
  await rm(path.join(keptDirectory, name!), { recursive: true });
  await git(await workspaceOf(tree, kept), 'fsck', '--full');
  expect(asked).toBe(2);
  expect(await kept.evictOldest()).toBe(true);
  expect(await readdir(keptDirectory)).toEqual([]);
  expect(await kept.evictOldest()).toBe(false);
  await workspaceOf(tree, kept);
  expect(asked).toBe(3);
});

test('the least recently used goes when there is too much, and all at the next start', async () => {
  await repository.history(2);
  const [first, second] = [await submitted(), await (await repository.write({ a: 'a' }), submitted())];
  const bytes = (tree: Submitted): number => (tree.source.kind === 'bundle' ? tree.source.bytes : 0);
  const kept = await openKept(bytes(first) + 2 * bytes(second) - 1);
  await workspaceOf(first, kept);
  await workspaceOf(second, kept);
  await workspaceOf(first, kept);
  expect(asked).toBe(2);
  await repository.write({ b: 'b' });
  await workspaceOf(await submitted(), kept);
  await workspaceOf(first, kept);
  expect(asked).toBe(3);
  await workspaceOf(second, kept);
  expect(asked).toBe(4);
  await openKept();
  expect(await readdir(keptDirectory)).toEqual([]);
});

test('a tree larger than all that may be kept is not', async () => {
  await repository.history(2);
  const kept = await openKept(1);
  const tree = await submitted();
  await workspaceOf(tree, kept);
  await workspaceOf(tree, kept);
  expect(asked).toBe(2);
});
