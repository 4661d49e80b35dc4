import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bundleTree, type TreeBundle } from '../../coordinator/source/bundle-tree.js';
import { describeTree, TreeError } from '../../coordinator/source/git-tree.js';
import { git, snapshot, temporaryDirectory, TestRepository } from '../support/repositories.js';

let directory: string;
let remove: () => Promise<void>;
let work: string;
let bundle: string;

beforeEach(async () => {
  ({ path: directory, remove } = await temporaryDirectory());
  work = path.join(directory, 'work');
  bundle = path.join(directory, 'out.bundle');
});
afterEach(() => remove());

/** Reads the bundle by git alone, as somebody without our code would. */
async function unbundle(sent: TreeBundle): Promise<string> {
  const target = path.join(directory, `unbundled-${Math.random().toString(36).slice(2)}`);
  await git(directory, 'init', '--quiet', target);
  if (sent.shallow.length > 0) {
    await writeFile(path.join(target, '.git', 'shallow'), sent.shallow.map((id) => `${id}\n`).join(''));
  }
  await git(
    target,
    'fetch',
    '--quiet',
    bundle,
    'refs/gantry/submitted:refs/heads/sent',
    'refs/tags/*:refs/tags/*',
  );
  expect(await git(target, 'rev-parse', 'sent')).toBe(sent.commit);
  await git(target, 'checkout', '--quiet', 'sent');
  await git(target, 'fsck', '--full', '--strict');
  return target;
}

/** Files as `snapshot` gives them, without what git keeps. */
async function filesOf(target: string): Promise<Map<string, string>> {
  return new Map(
    [...(await snapshot(target))].filter(([name]) => !name.startsWith('.git/') && !name.endsWith('/')),
  );
}

describe('the tree of a repository', () => {
  test('without changes is sent as HEAD itself', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ 'a.txt': 'a\n' });
    const head = await repository.commit('First line\n\nMore of it.');
    const sent = await bundleTree(work, bundle);
    expect(sent).toMatchObject({
      commit: head,
      baseCommit: head,
      dirty: false,
      shallow: [],
      title: 'First line',
      author: 'Ada Lovelace <ada@example.org>',
      branch: 'main',
      projectName: work,
      untracked: { count: 0, bytes: 0 },
    });
    expect(await filesOf(await unbundle(sent))).toEqual(await filesOf(work));
  });

  test('is sent as it is: staged, changed, removed, untracked, but not what is ignored', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({
      'kept.txt': 'kept',
      'changed.txt': 'old',
      'removed.txt': 'x',
      'moved.txt': 'moved',
      '.gitignore': 'build/\n*.log\n',
    });
    const head = await repository.commit();
    await repository.write({
      'changed.txt': 'new',
      'staged.txt': 'staged',
      'dir/untracked.txt': '12345',
      'build/output': 'ignored',
      'x.log': 'ignored',
    });
    await repository.git('add', 'staged.txt');
    await repository.git('rm', '--quiet', 'removed.txt');
    await repository.git('mv', 'moved.txt', 'there.txt');
    await writeFile(path.join(work, '.git', 'info', 'exclude'), 'private\n');
    await repository.write({ private: 'ignored too' });
    const before = await snapshot(work);

    const sent = await bundleTree(work, bundle);

    expect(await snapshot(work)).toEqual(before);
    expect(sent).toMatchObject({
      baseCommit: head,
      dirty: true,
      title: 'commit 1 (with uncommitted changes)',
      untracked: { count: 1, bytes: 5 },
    });
    expect(sent.commit).not.toBe(head);
    const target = await unbundle(sent);
    expect([...(await filesOf(target)).keys()].sort()).toEqual(
      ['.gitignore', 'changed.txt', 'dir/untracked.txt', 'kept.txt', 'staged.txt', 'there.txt'].sort(),
    );
    expect(await readFile(path.join(target, 'changed.txt'), 'utf8')).toBe('new');
    expect(await git(target, 'rev-parse', 'sent^')).toBe(head);
  });

  test('keeps names of any bytes, links and the right to execute', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ committed: 'x' });
    await repository.commit();
    const odd = [
      Buffer.from('with space'),
      Buffer.from('quote"\'`$(x)'),
      Buffer.from('line\nend'),
      Buffer.from('tab\tand\\backslash'),
      Buffer.from('emoji-🏗️-ü'),
      Buffer.from('-rf'),
      Buffer.from([0x6c, 0xe4, 0xff, 0xfe]), // not UTF-8
    ];
    for (const name of odd) await writeFile(Buffer.concat([Buffer.from(`${work}/`), name]), name);
    await symlink('with space', path.join(work, 'link'));
    await symlink('/nowhere/at all', path.join(work, 'dangling'));
    await writeFile(path.join(work, 'run.sh'), '#!/bin/sh\n');
    await chmod(path.join(work, 'run.sh'), 0o755);
    await writeFile(path.join(work, 'empty'), '');

    const sent = await bundleTree(work, bundle);

    expect(sent.untracked.count).toBe(odd.length + 4);
    const files = await filesOf(await unbundle(sent));
    expect(files).toEqual(await filesOf(work));
    expect(files.get('run.sh')).toMatch(/^755 /);
  });

  test('is the same tree from a directory below the root', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ 'a/b/c.txt': 'c', 'top.txt': 'top' });
    await repository.commit();
    await repository.write({ 'a/new.txt': 'n' });
    const tree = await describeTree(path.join(work, 'a', 'b'));
    expect(tree).toMatchObject({ root: work, prefix: 'a/b' });
    const sent = await bundleTree(path.join(work, 'a', 'b'), bundle);
    expect(await filesOf(await unbundle(sent))).toEqual(await filesOf(work));
  });

  test('works before the first commit', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ 'a.txt': 'a', 'b.txt': 'b', '.gitignore': 'b.txt\n' });
    await repository.git('add', 'a.txt');
    const before = await snapshot(work);
    const sent = await bundleTree(work, bundle);
    expect(await snapshot(work)).toEqual(before);
    expect(sent).toMatchObject({ dirty: true, title: 'Files of work', branch: 'main', shallow: [] });
    expect(sent).not.toHaveProperty('baseCommit');
    expect([...(await filesOf(await unbundle(sent))).keys()]).toEqual(['.gitignore', 'a.txt']);
  });

  test('works with a detached HEAD', async () => {
    const repository = await TestRepository.make(work);
    const [first] = await repository.history(2);
    await repository.git('checkout', '--quiet', '--detach', first!);
    await repository.write({ new: 'n' });
    const sent = await bundleTree(work, bundle);
    expect(sent).toMatchObject({ baseCommit: first, dirty: true });
    expect(sent).not.toHaveProperty('branch');
    await unbundle(sent);
  });

  test('works in a worktree, and leaves the repository behind it alone', async () => {
    const repository = await TestRepository.make(path.join(directory, 'main'));
    await repository.history(3);
    await repository.git('worktree', 'add', '--quiet', '-b', 'side', work);
    await writeFile(path.join(work, 'new'), 'n');
    const before = await snapshot(repository.directory);
    const sent = await bundleTree(work, bundle);
    expect(await snapshot(repository.directory)).toEqual(before);
    expect(sent).toMatchObject({ branch: 'side', dirty: true });
    expect([...(await filesOf(await unbundle(sent))).keys()].sort()).toEqual(['history.txt', 'new']);
  });

  test('brings 50 commits, their tags, and says where the history is cut', async () => {
    const repository = await TestRepository.make(work);
    const commits = await repository.history(60);
    await repository.git('tag', '-a', '-m', 'old', 'v0', commits[5]!);
    await repository.git('tag', '-a', '-m', 'release', 'v1', commits[55]!);
    await repository.git('tag', 'light', commits[58]!);
    const sent = await bundleTree(work, bundle);
    expect(sent.shallow).toEqual([commits[10]]);
    const target = await unbundle(sent);
    expect(await git(target, 'rev-list', '--count', 'HEAD')).toBe('50');
    expect(await git(target, 'tag')).toBe('light\nv1');
    expect(await git(target, 'describe')).toBe(`v1-4-g${commits[59]!.slice(0, 7)}`);
  });

  test('brings a history with merges that can be walked to its cuts', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(20);
    for (let n = 0; n < 20; n++) {
      await repository.git('checkout', '--quiet', '-b', `side-${n}`);
      await repository.write({ [`side-${n}`]: 'x' });
      await repository.commit();
      await repository.git('checkout', '--quiet', 'main');
      await repository.write({ [`main-${n}`]: 'x' });
      await repository.commit();
      await repository.git('merge', '--quiet', '--no-ff', '-m', `merge ${n}`, `side-${n}`);
    }
    const sent = await bundleTree(work, bundle);
    const target = await unbundle(sent);
    const count = Number(await git(target, 'rev-list', '--count', 'HEAD'));
    expect(count).toBeGreaterThan(20);
    expect(count).toBeLessThanOrEqual(50);
    expect(await git(target, 'log', '--oneline', '--graph')).toContain('merge 19');
  });

  test('is taken from a shallow clone', async () => {
    const origin = await TestRepository.make(path.join(directory, 'origin'));
    await origin.history(20);
    await git(directory, 'clone', '--quiet', '--depth=5', `file://${origin.directory}`, work);
    await writeFile(path.join(work, 'new'), 'n');
    const before = await snapshot(work);
    const sent = await bundleTree(work, bundle);
    expect(await snapshot(work)).toEqual(before);
    expect(sent.shallow).toHaveLength(1);
    expect(sent.projectName).toBe(origin.directory);
    const target = await unbundle(sent);
    expect(await git(target, 'rev-list', '--count', 'HEAD')).toBe('6');
  });

  test.each(['blob:none', 'tree:0'])('is taken from a clone without %s, which is fetched', async (filter) => {
    const origin = await TestRepository.make(path.join(directory, 'origin'));
    await origin.write({ 'big.txt': 'b'.repeat(10_000), 'sub/x': 'x' });
    await origin.history(5);
    await origin.git('config', 'uploadpack.allowFilter', 'true');
    await git(directory, 'clone', '--quiet', `--filter=${filter}`, `file://${origin.directory}`, work);
    await git(work, 'config', 'protocol.file.allow', 'always');
    await writeFile(path.join(work, 'new'), 'n');
    const before = await snapshot(work);
    const sent = await bundleTree(work, bundle);
    expect(await snapshot(work)).toEqual(before);
    expect(await filesOf(await unbundle(sent))).toEqual(await filesOf(work));
  });

  test('is taken from a repository with split index, untracked cache and sparse checkout', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ 'kept/a': 'a', 'left-out/b': 'b', 'top.txt': 't' });
    await repository.commit();
    await repository.git('sparse-checkout', 'set', '--cone', 'kept');
    await repository.git('config', 'core.untrackedCache', 'true');
    await repository.git('config', 'core.fsmonitor', 'true');
    await repository.git('update-index', '--split-index');
    await repository.write({ 'kept/new': 'n', 'top.txt': 'changed' });
    await repository.git('-c', 'core.fsmonitor=false', 'status');
    const before = await snapshot(work);
    const sent = await bundleTree(work, bundle);
    expect(await snapshot(work)).toEqual(before);
    const files = await filesOf(await unbundle(sent));
    expect([...files.keys()].sort()).toEqual(['kept/a', 'kept/new', 'left-out/b', 'top.txt']);
  });

  test('of a repository that counts by SHA-256 is sent too', async () => {
    await git(directory, 'init', '--quiet', '--object-format=sha256', work);
    const repository = new TestRepository(work);
    await repository.write({ a: 'a' });
    await git(work, 'add', 'a');
    await git(work, 'commit', '--quiet', '-m', 'one');
    await repository.write({ b: 'b' });
    const sent = await bundleTree(work, bundle);
    expect(sent.commit).toHaveLength(64);
    const target = path.join(directory, 'target');
    await git(directory, 'init', '--quiet', '--object-format=sha256', target);
    await git(target, 'fetch', '--quiet', bundle, 'refs/gantry/submitted:refs/heads/sent');
    expect(await git(target, 'ls-tree', '--name-only', 'sent')).toBe('a\nb');
  });

  test('in the middle of a merge is sent with its conflicts', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ a: 'base' });
    await repository.commit();
    await repository.git('checkout', '--quiet', '-b', 'side');
    await repository.write({ a: 'side' });
    await repository.commit();
    await repository.git('checkout', '--quiet', 'main');
    await repository.write({ a: 'main' });
    await repository.commit();
    await repository.git('merge', 'side').catch(() => undefined); // the conflict
    const before = await snapshot(work);
    const sent = await bundleTree(work, bundle);
    expect(await snapshot(work)).toEqual(before);
    expect(await readFile(path.join(await unbundle(sent), 'a'), 'utf8')).toContain('<<<<<<<');
  });

  test('names its project by origin, whatever form its URL has, without credentials', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    await repository.git('remote', 'add', 'origin', 'git@GitHub.com:Owner/Name.git');
    expect(await describeTree(work)).toMatchObject({ projectName: 'github.com/Owner/Name' });
    await repository.git('remote', 'set-url', 'origin', 'https://me:hunter2@github.com/Owner/Name');
    const tree = await describeTree(work);
    expect(tree).toMatchObject({
      projectName: 'github.com/Owner/Name',
      origin: 'https://github.com/Owner/Name',
    });
    await repository.git('remote', 'set-url', 'origin', '../elsewhere.git');
    expect(await describeTree(work)).toMatchObject({ projectName: path.join(directory, 'elsewhere') });
  });

  test('sends of a repository inside it only the commit, and says so', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    const inner = await TestRepository.make(path.join(work, 'inner'));
    await inner.write({ secret: 'not sent' });
    const innerHead = await inner.commit();
    const tree = await describeTree(work);
    expect(tree.embedded).toEqual(['inner']);
    const sent = await bundleTree(work, bundle);
    const target = await unbundle(sent);
    expect(await git(target, 'ls-tree', 'HEAD', 'inner')).toContain(`160000 commit ${innerHead}`);
  });

  test('ignores variables that a hook of git sets', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    const other = await TestRepository.make(path.join(directory, 'other'));
    await other.history(3);
    process.env['GIT_DIR'] = path.join(other.directory, '.git');
    process.env['GIT_INDEX_FILE'] = path.join(other.directory, '.git', 'index');
    try {
      expect(await describeTree(work)).toMatchObject({ root: work });
      expect((await bundleTree(work, bundle)).dirty).toBe(false);
    } finally {
      delete process.env['GIT_DIR'];
      delete process.env['GIT_INDEX_FILE'];
    }
  });

  test('runs none of the hooks of the repository', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    const trace = path.join(directory, 'trace');
    for (const hook of ['pre-commit', 'post-index-change', 'reference-transaction', 'post-checkout']) {
      const file = path.join(work, '.git', 'hooks', hook);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, `#!/bin/sh\necho ${hook} >> ${trace}\n`);
      await chmod(file, 0o755);
    }
    await writeFile(path.join(work, 'new'), 'n');
    await bundleTree(work, bundle);
    await expect(readFile(trace)).rejects.toThrow('ENOENT');
  });
});

describe('a directory that is in no repository', () => {
  test('is sent as one commit of its files, honouring .gitignore', async () => {
    await mkdir(path.join(work, 'sub'), { recursive: true });
    await writeFile(path.join(work, 'a'), 'a');
    await writeFile(path.join(work, 'sub', 'b'), 'bb');
    await writeFile(path.join(work, 'x.log'), 'ignored');
    await writeFile(path.join(work, '.gitignore'), '*.log\n');
    const before = await snapshot(work);
    const tree = await describeTree(work);
    expect(tree).toMatchObject({ kind: 'directory', root: work, projectName: work, changed: false });
    expect(tree.untracked.map((file) => file.path.toString()).sort()).toEqual(['.gitignore', 'a', 'sub/b']);
    const sent = await bundleTree(work, bundle, { tree });
    expect(sent).toMatchObject({
      dirty: true,
      shallow: [],
      title: 'Files of work',
      untracked: { count: 3, bytes: 9 },
    });
    expect(await snapshot(work)).toEqual(before);
    const target = await unbundle(sent);
    expect([...(await filesOf(target)).keys()]).toEqual(['.gitignore', 'a', 'sub/b']);
  });

  test('may be empty', async () => {
    await mkdir(work);
    const sent = await bundleTree(work, bundle);
    expect((await filesOf(await unbundle(sent))).size).toBe(0);
  });
});

describe('what cannot be submitted says why', () => {
  test('a directory that is not there, a file, a bare repository, the inside of .git', async () => {
    await expect(describeTree(path.join(directory, 'missing'))).rejects.toThrow(/there is no directory/);
    await writeFile(path.join(directory, 'file'), '');
    await expect(describeTree(path.join(directory, 'file'))).rejects.toThrow(/is a file/);
    await git(directory, 'init', '--quiet', '--bare', 'bare.git');
    await expect(describeTree(path.join(directory, 'bare.git'))).rejects.toThrow(/--repo .* --commit/);
    await TestRepository.make(work);
    await expect(describeTree(path.join(work, '.git'))).rejects.toThrow(/inside a .git/);
    await expect(describeTree(path.join(directory, 'missing'))).rejects.toBeInstanceOf(TreeError);
  });

  test('a broken repository is not taken for a plain directory', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    await writeFile(path.join(work, '.git', 'config'), '[broken');
    await expect(describeTree(work)).rejects.toThrow(/git cannot read the repository.*bad config/);
  });

  test('a nested repository without a commit is named', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    const inner = await TestRepository.make(path.join(work, 'inner'));
    await inner.write({ x: 'x' });
    await expect(bundleTree(work, bundle)).rejects.toThrow(/inner/);
  });

  test('a missing object is told by git', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(2);
    // Of the history: what is on disk would be hashed again and found.
    const blob = await repository.git('rev-parse', 'HEAD~1:history.txt');
    await rm(path.join(work, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
    await expect(bundleTree(work, bundle)).rejects.toThrow(new RegExp(blob));
  });

  test('aborting ends it', async () => {
    const repository = await TestRepository.make(work);
    await repository.history(1);
    const reason = new Error('not wanted any more');
    await expect(bundleTree(work, bundle, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('files that look like secrets', () => {
  test('are named when they would be sent for the first time or changed', async () => {
    const repository = await TestRepository.make(work);
    await repository.write({ '.env.example': 'X=', 'old.key': 'k', 'docs.txt': 'x' });
    await repository.commit();
    await repository.write({
      '.env': 'PASSWORD=x',
      'deploy/.env.production': 'PASSWORD=x',
      'server.pem': '-----BEGIN RSA PRIVATE KEY-----\n',
      'cert.pem': '-----BEGIN CERTIFICATE-----\n',
      '.npmrc': '//registry.example/:_authToken=abc\n',
      'sub/.npmrc': 'registry=https://registry.example\n',
      'ssh/id_ed25519': 'x',
      'ssh/id_ed25519.pub': 'x',
      'ignored/.env': 'x',
      '.gitignore': 'ignored/\n',
    });
    const { secrets } = await describeTree(work);
    expect(secrets.map(({ path: file }) => file).sort()).toEqual(
      ['.env', '.npmrc', 'deploy/.env.production', 'server.pem', 'ssh/id_ed25519'].sort(),
    );
    await repository.write({ 'old.key': 'changed' });
    expect((await describeTree(work)).secrets).toContainEqual({ path: 'old.key', reason: 'private key' });
  });
});
