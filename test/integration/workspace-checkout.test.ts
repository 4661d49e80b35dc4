import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GitMirror } from '../../agent/workspace/git-mirror.js';
import { checkout } from '../../agent/workspace/git-workspace.js';
import { bundleTree } from '../../coordinator/source/bundle-tree.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { Source } from '../../shared/model/pipeline.js';
import { eventually } from '../support/eventually.js';
import { serveGit, type GitHttp } from '../support/git-http.js';
import { commitIdOf, git, snapshot, temporaryDirectory, TestRepository } from '../support/repositories.js';

let directory: string;
let remove: () => Promise<void>;
let origin: TestRepository;
let mirror: GitMirror;
const servers: GitHttp[] = [];
const place = 'agent build-7';

const openMirror = (): Promise<GitMirror> =>
  GitMirror.open({
    directory: path.join(directory, 'mirrors'),
    roots: [path.join(directory, 'origin')],
    place,
    discard: (gone) => rm(gone, { recursive: true, force: true }),
  });

beforeEach(async () => {
  ({ path: directory, remove } = await temporaryDirectory());
  origin = await TestRepository.make(path.join(directory, 'origin'));
  mirror = await openMirror();
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  await remove();
});

async function serve(options: Omit<Parameters<typeof serveGit>[0], 'root'> = {}): Promise<GitHttp> {
  const server = await serveGit({ root: directory, ...options });
  servers.push(server);
  return server;
}

let made = 0;
/** Checks out into a new directory and gives its path. */
async function workspaceOf(
  source: Source,
  options: { branch?: string; bundle?: () => Promise<string>; depth?: number; signal?: AbortSignal } = {},
): Promise<string> {
  const workspaceDir = path.join(directory, `workspace-${(made += 1)}`);
  const signal = options.signal ?? AbortSignal.timeout(60_000);
  await checkout({ source, workspaceDir, mirror, place, ...options, signal });
  return workspaceDir;
}

const sourceOf = (commit: CommitId, ref?: string, url = origin.directory): Source => ({
  kind: 'git',
  url,
  commit,
  ...(ref === undefined ? {} : { ref }),
});

async function failureOf(work: Promise<unknown>): Promise<CheckoutError['failure']> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CheckoutError)) throw new Error('no CheckoutError', { cause: error });
  return error.failure;
}

describe('a commit of a remote', () => {
  test('is checked out on its branch with 50 commits and the tags among them', async () => {
    const commits = await origin.history(60);
    await origin.git('tag', '-a', '-m', 'old', 'v0', commits[5]!);
    await origin.git('tag', '-a', '-m', 'release', 'v1', commits[55]!);
    const workspace = await workspaceOf(sourceOf(commits[59]!, 'refs/heads/main'), { branch: 'main' });
    expect(await git(workspace, 'status', '--porcelain=v1', '--branch')).toBe('## main...origin/main');
    expect(await git(workspace, 'rev-list', '--count', 'HEAD')).toBe('50');
    expect(await git(workspace, 'tag')).toBe('v1');
    expect(await git(workspace, 'describe')).toBe(`v1-4-g${commits[59]!.slice(0, 7)}`);
    expect(await git(workspace, 'remote', 'get-url', 'origin')).toBe(origin.directory);
    expect(await readFile(path.join(workspace, 'history.txt'), 'utf8')).toBe('60\n');
    await git(workspace, 'fsck', '--full');
  });

  test('without a known branch is a detached HEAD that git works with', async () => {
    const commits = await origin.history(3);
    const workspace = await workspaceOf(sourceOf(commits[1]!));
    expect(await git(workspace, 'status', '--porcelain=v1', '--branch')).toBe('## HEAD (no branch)');
    expect(await git(workspace, 'rev-parse', 'HEAD')).toBe(commits[1]);
    expect(await git(workspace, 'diff', 'HEAD')).toBe('');
    expect(await git(workspace, 'diff', '--stat', 'HEAD~1')).toContain('history.txt');
  });

  test('has a repository that stands alone: nothing of this machine is in it', async () => {
    const [, head] = await origin.history(2);
    const server = await serve();
    const workspace = await workspaceOf(sourceOf(head!, 'refs/heads/main', `${server.url}/origin`), {
      branch: 'main',
    });
    const kept = await snapshot(path.join(workspace, '.git'));
    expect(
      [...kept.keys()].filter((name) => !name.startsWith('objects/') && !name.endsWith('/')).sort(),
    ).toEqual(['HEAD', 'config', 'index', 'refs/heads/main', 'refs/remotes/origin/main'].sort());
    await expect(stat(path.join(workspace, '.git', 'objects', 'info', 'alternates'))).rejects.toThrow(
      'ENOENT',
    );
    for (const file of [...kept.keys()].filter(
      (name) => !name.startsWith('objects/') && !name.endsWith('/'),
    )) {
      expect(await readFile(path.join(workspace, '.git', file), 'latin1')).not.toContain(directory);
    }
    // No object is a hard link into the mirror: a step could write through it.
    for (const entry of await readdir(path.join(workspace, '.git', 'objects'), {
      recursive: true,
      withFileTypes: true,
    })) {
      if (entry.isFile()) expect((await stat(path.join(entry.parentPath, entry.name))).nlink).toBe(1);
    }
    await rm(path.join(directory, 'mirrors'), { recursive: true });
    await rm(origin.directory, { recursive: true });
    await git(workspace, 'fsck', '--full');
    await git(workspace, 'log', '-p');
  });

  test('is fetched once, however many ask for it at the same time', async () => {
    const [head] = await origin.history(1);
    const server = await serve();
    const source = sourceOf(head!, 'refs/heads/main', `${server.url}/origin`);
    await Promise.all(Array.from({ length: 8 }, () => workspaceOf(source)));
    const fetches = server.requests.filter(({ path: asked }) => asked.includes('info/refs'));
    expect(fetches).toHaveLength(1);
  });

  test('is still there after the branch was rewritten and the remote forgot it', async () => {
    const [first] = await origin.history(1);
    await workspaceOf(sourceOf(first!, 'refs/heads/main'));
    await origin.git('commit', '--quiet', '--amend', '-m', 'other');
    await origin.git('reflog', 'expire', '--expire=now', '--all');
    await origin.git('gc', '--quiet', '--prune=now');
    const second = commitIdOf(await origin.git('rev-parse', 'HEAD'));
    await workspaceOf(sourceOf(second, 'refs/heads/main'));
    const workspace = await workspaceOf(sourceOf(first!, 'refs/heads/main'));
    expect(await git(workspace, 'rev-parse', 'HEAD')).toBe(first);
  });

  test('is found when it is on no branch, or on another one than was said', async () => {
    await origin.history(2);
    await origin.git('checkout', '--quiet', '-b', 'side');
    await origin.write({ side: 's' });
    const side = await origin.commit();
    await origin.git('checkout', '--quiet', 'main');
    expect(await git(await workspaceOf(sourceOf(side, 'refs/heads/main')), 'rev-parse', 'HEAD')).toBe(side);
    await origin.git('checkout', '--quiet', '--detach');
    await origin.write({ lost: 'l' });
    const lost = await origin.commit();
    await origin.git('checkout', '--quiet', 'main');
    const workspace = await workspaceOf(sourceOf(lost, 'refs/heads/gone'));
    expect(await git(workspace, 'rev-parse', 'HEAD')).toBe(lost);
  });

  test('is found after a branch became the directory of another', async () => {
    await origin.history(1);
    await origin.git('checkout', '--quiet', '-b', 'topic');
    const first = await origin.commit();
    await workspaceOf(sourceOf(first, 'refs/heads/topic'));
    await origin.git('branch', '-m', 'topic', 'topic/one');
    const second = await origin.commit();
    const workspace = await workspaceOf(sourceOf(second, 'refs/heads/topic/one'), { branch: 'topic/one' });
    expect(await git(workspace, 'symbolic-ref', '--short', 'HEAD')).toBe('topic/one');
  });

  test('brings what its files are: names of any bytes, links, the right to execute', async () => {
    await symlink('history.txt', path.join(origin.directory, 'link'));
    await writeFile(path.join(origin.directory, 'run.sh'), '#!/bin/sh\n');
    await chmod(path.join(origin.directory, 'run.sh'), 0o755);
    for (const name of [Buffer.from('a "quoted"\nname 🏗️'), Buffer.from([0xe4, 0x6c])]) {
      await writeFile(Buffer.concat([Buffer.from(`${origin.directory}/`), name]), name);
    }
    const [head] = await origin.history(1);
    const workspace = await workspaceOf(sourceOf(head!));
    const files = (all: Map<string, string>): [string, string][] =>
      [...all].filter(([name]) => !name.startsWith('.git/'));
    expect(files(await snapshot(workspace))).toEqual(files(await snapshot(origin.directory)));
  });

  test('names of branches full of shell become a branch or none, and nothing else', async () => {
    const [head] = await origin.history(1);
    const trace = path.join(directory, 'trace');
    const shell = `$(touch\${IFS}${trace})`;
    const workspace = await workspaceOf(sourceOf(head!), { branch: shell });
    expect(await git(workspace, 'symbolic-ref', '--short', 'HEAD')).toBe(shell);
    for (const branch of ['--upload-pack=x', '../../../config', 'a..b', 'HEAD', 'a b', 'x.lock', '']) {
      const detached = await workspaceOf(sourceOf(head!), { branch });
      expect(await git(detached, 'status', '--porcelain=v1', '--branch')).toBe('## HEAD (no branch)');
    }
    await expect(stat(trace)).rejects.toThrow('ENOENT');
  });

  test('runs nothing that the repository brings: no filter, no hook, no submodule', async () => {
    const trace = path.join(directory, 'trace');
    const inner = await TestRepository.make(path.join(directory, 'inner'));
    await inner.history(1);
    await origin.write({
      '.gitattributes': '*.txt filter=lfs diff=evil\n',
      'big.txt': 'version https://git-lfs.github.com/spec/v1\n',
    });
    await origin.git('submodule', '--quiet', 'add', inner.directory, 'sub');
    const head = await origin.commit();
    const global = path.join(directory, 'gitconfig');
    await writeFile(global, `[filter "lfs"]\n smudge = touch ${trace}\n required = true\n`);
    process.env['GIT_CONFIG_GLOBAL'] = global;
    try {
      const workspace = await workspaceOf(sourceOf(head));
      expect(await readFile(path.join(workspace, 'big.txt'), 'utf8')).toContain('git-lfs');
      expect(await readdir(path.join(workspace, 'sub'))).toEqual([]);
    } finally {
      delete process.env['GIT_CONFIG_GLOBAL'];
    }
    await expect(stat(trace)).rejects.toThrow('ENOENT');
  });

  test('is read from a repository of another user, whose configuration runs nothing', async () => {
    const [head] = await origin.history(2);
    const trace = path.join(directory, 'trace');
    const script = path.join(directory, 'evil.sh');
    await writeFile(script, `#!/bin/sh\ntouch ${trace}\nexec "$@"\n`);
    await chmod(script, 0o755);
    for (const key of ['uploadpack.packObjectsHook', 'core.fsmonitor', 'core.sshCommand', 'core.gitProxy']) {
      await origin.git('config', key, script);
    }
    await promisify(execFile)('chown', ['-R', '1000:1000', origin.directory]);
    const workspace = await workspaceOf(sourceOf(head!, 'refs/heads/main'));
    expect(await git(workspace, 'rev-parse', 'HEAD')).toBe(head);
    await expect(stat(trace)).rejects.toThrow('ENOENT');
  });

  test('with a path that would be part of .git is refused', async () => {
    await origin.history(1);
    const blob = await origin.git('hash-object', '-w', 'history.txt');
    const hooks = await makeTree(`100755 blob ${blob}\tpost-checkout`);
    const dotGit = await makeTree(`040000 tree ${hooks}\thooks`);
    for (const name of ['.git', '.GIT', 'git~1']) {
      const tree = await makeTree(`040000 tree ${dotGit}\t${name}`);
      const commit = commitIdOf(await origin.git('commit-tree', '-m', 'evil', tree));
      await origin.git('update-ref', 'refs/heads/evil', commit);
      const failure = await failureOf(workspaceOf(sourceOf(commit, 'refs/heads/evil')));
      expect(failure).toMatchObject({ kind: 'checkout-failed', transient: false });
      expect(failure.message).toMatch(/path that git refuses/);
    }
  });

  test('with a link and a directory of one name does not write through the link', async () => {
    await origin.history(1);
    const outside = path.join(directory, 'outside');
    await mkdir(outside);
    await writeFile(path.join(directory, 'target'), outside);
    const link = await origin.git('hash-object', '-w', path.join(directory, 'target'));
    const blob = await origin.git('hash-object', '-w', 'history.txt');
    const below = await makeTree(`100644 blob ${blob}\towned`);
    const tree = await makeTree(`120000 blob ${link}\ta\n040000 tree ${below}\ta`);
    const commit = commitIdOf(await origin.git('commit-tree', '-m', 'x', tree));
    await origin.git('update-ref', 'refs/heads/x', commit);
    // Whether git takes such a tree is its own affair.
    await workspaceOf(sourceOf(commit, 'refs/heads/x')).catch((error: unknown) => {
      expect(error).toBeInstanceOf(CheckoutError);
    });
    expect(await readdir(outside)).toEqual([]);
  });

  test('works for user 1000 as for root, mounted anywhere', async () => {
    await origin.history(3);
    await origin.git('tag', '-a', '-m', 'one', 'v1');
    await origin.write({ more: 'x' });
    const head = await origin.commit();
    const workspace = await workspaceOf(sourceOf(head, 'refs/heads/main'), { branch: 'main' });
    const moved = path.join(directory, 'mounted-elsewhere');
    await promisify(execFile)('mv', [workspace, moved]);
    await promisify(execFile)('chmod', ['755', directory]);
    for (const uid of [0, 1000]) {
      await promisify(execFile)('chown', ['-R', '-h', `${uid}:${uid}`, moved]);
      const run = async (...args: string[]): Promise<string> =>
        (
          await promisify(execFile)('git', args, {
            cwd: moved,
            uid,
            gid: uid,
            env: { PATH: process.env['PATH'], HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1' },
          })
        ).stdout;
      expect((await run('log', '--oneline')).split('\n')).toHaveLength(5);
      expect(await run('describe')).toMatch(/^v1-1-g/);
      expect(await run('diff', 'HEAD')).toBe('');
      expect(await run('status', '--porcelain')).toBe('');
    }
  });

  async function makeTree(entries: string): Promise<string> {
    return (await execute('git', ['mktree'], `${entries}\n`)).trim();
  }

  async function execute(program: string, args: readonly string[], input: string): Promise<string> {
    const child = promisify(execFile)(program, args, { cwd: origin.directory });
    child.child.stdin?.end(input);
    return (await child).stdout;
  }
});

describe('a repository that counts by SHA-256', () => {
  test('is mirrored, checked out and sent', async () => {
    const root = path.join(origin.directory, 'sha256');
    await git(directory, 'init', '--quiet', '--object-format=sha256', root);
    const repository = new TestRepository(root);
    await repository.write({ a: 'a' });
    const head = await repository.commit();
    const workspace = await workspaceOf(sourceOf(head, 'refs/heads/main', root), { branch: 'main' });
    expect(await git(workspace, 'rev-parse', 'HEAD')).toBe(head);
    await repository.write({ b: 'b' });
    const bundlePath = path.join(directory, 'tree.bundle');
    const sent = await bundleTree(root, bundlePath);
    const second = await workspaceOf(
      { kind: 'bundle', ...sent },
      { bundle: () => Promise.resolve(bundlePath) },
    );
    expect(await git(second, 'status', '--porcelain')).toBe('');
  });
});

describe('a mirror', () => {
  test('with locks of a killed git works again', async () => {
    const [first] = await origin.history(1);
    await workspaceOf(sourceOf(first!, 'refs/heads/main'));
    const bare = path.join(directory, 'mirrors', (await readdir(path.join(directory, 'mirrors')))[0]!);
    for (const lock of [
      'packed-refs.lock',
      'config.lock',
      'refs/heads/main.lock',
      'shallow.lock',
      'HEAD.lock',
    ]) {
      await writeFile(path.join(bare, lock), '');
    }
    await writeFile(path.join(bare, 'objects', 'pack', 'tmp_pack_abc123'), 'half');
    mirror = await openMirror();
    await origin.write({ more: 'x' });
    const second = await origin.commit();
    await workspaceOf(sourceOf(second, 'refs/heads/main'));
    expect((await readdir(bare, { recursive: true })).filter((name) => /\.lock$|tmp_/.test(name))).toEqual(
      [],
    );
  });

  test.each([
    [
      'an emptied pack',
      async (bare: string) => eachFile(path.join(bare, 'objects'), (file) => writeFile(file, '')),
    ],
    ['no HEAD', (bare: string) => rm(path.join(bare, 'HEAD'))],
    ['no objects', (bare: string) => rm(path.join(bare, 'objects'), { recursive: true })],
    ['a broken config', (bare: string) => writeFile(path.join(bare, 'config'), '[broken')],
    ['broken refs', (bare: string) => eachFile(path.join(bare, 'refs'), (file) => writeFile(file, 'x'))],
  ])('with %s is made anew, once', async (_what, damage) => {
    const commits = await origin.history(3);
    await workspaceOf(sourceOf(commits[2]!, 'refs/heads/main'));
    const mirrors = path.join(directory, 'mirrors');
    await damage(path.join(mirrors, (await readdir(mirrors))[0]!));
    const again = await workspaceOf(sourceOf(commits[2]!, 'refs/heads/main'));
    expect(await git(again, 'rev-parse', 'HEAD')).toBe(commits[2]);
    await damage(path.join(mirrors, (await readdir(mirrors))[0]!));
    await origin.write({ more: 'x' });
    const next = await origin.commit();
    expect(await git(await workspaceOf(sourceOf(next, 'refs/heads/main')), 'rev-parse', 'HEAD')).toBe(next);
  });

  test('of which a fetch was aborted serves the next', async () => {
    const [head] = await origin.history(1);
    const hanging = await serve({ answer: 'hang' });
    const cancel = new AbortController();
    const source = sourceOf(head!, 'refs/heads/main', `${hanging.url}/origin`);
    const begun = workspaceOf(source, { signal: cancel.signal });
    await eventually('git asked the server', () => hanging.requests.length > 0);
    const reason = new Error('not wanted any more');
    cancel.abort(reason);
    await expect(begun).rejects.toBe(reason);
    await workspaceOf(sourceOf(head!, 'refs/heads/main'));
  });

  test('gives what it has while a fetch hangs', async () => {
    const [first, second] = await origin.history(2);
    const server = await serve();
    const url = `${server.url}/origin`;
    await workspaceOf(sourceOf(first!, undefined, url));
    server.answer = 'hang';
    const before = server.requests.length;
    const cancel = new AbortController();
    const missing = commitIdOf('0123456789012345678901234567890123456789');
    const hanging = workspaceOf(sourceOf(missing, undefined, url), { signal: cancel.signal });
    const ended = expect(hanging).rejects.toThrow('enough');
    await eventually('git asked the server', () => server.requests.length > before);
    expect(await git(await workspaceOf(sourceOf(first!, undefined, url)), 'rev-parse', 'HEAD')).toBe(first);
    cancel.abort(new Error('enough'));
    await ended;
    server.answer = undefined;
    expect(await git(await workspaceOf(sourceOf(second!, undefined, url)), 'rev-parse', 'HEAD')).toBe(second);
  });

  test('is listed the most recently used first, also after a restart, and the oldest is evicted', async () => {
    const [head] = await origin.history(1);
    const server = await serve();
    await workspaceOf(sourceOf(head!));
    await workspaceOf(sourceOf(head!, undefined, `${server.url}/origin`));
    const [newest, oldest] = mirror.projects();
    mirror = await openMirror();
    expect(mirror.projects()).toEqual([newest, oldest]);
    await workspaceOf(sourceOf(head!));
    expect(mirror.projects()).toEqual([oldest, newest]);
    expect(await mirror.evictOldest()).toBe(true);
    expect(mirror.projects()).toEqual([oldest]);
    expect(await readdir(path.join(directory, 'mirrors'))).toHaveLength(1);
    expect(await mirror.evictOldest()).toBe(true);
    expect(await mirror.evictOldest()).toBe(false);
  });

  test('in use is not evicted', async () => {
    const [head] = await origin.history(1);
    const signal = AbortSignal.timeout(30_000);
    await mirror.withCommit({ url: origin.directory, commit: head!, signal }, async ({ directory: bare }) => {
      expect(await mirror.evictOldest()).toBe(false);
      await stat(bare);
    });
    expect(await mirror.evictOldest()).toBe(true);
  });

  test('of many fetches keeps few packs and all commits', async () => {
    const commits: CommitId[] = [];
    for (let n = 0; n < 45; n++) {
      // More than 100 objects, or git would store them loose.
      await origin.write(
        Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`f${n}-${i}`, `${n} ${i}`])),
      );
      commits.push(await origin.commit());
      const signal = AbortSignal.timeout(30_000);
      const request = { url: origin.directory, commit: commits.at(-1)!, ref: 'refs/heads/main', signal };
      await mirror.withCommit(request, () => Promise.resolve());
    }
    const mirrors = path.join(directory, 'mirrors');
    const packs = await readdir(path.join(mirrors, (await readdir(mirrors))[0]!, 'objects', 'pack'));
    expect(packs.filter((name) => name.endsWith('.pack')).length).toBeLessThan(10);
    expect(await git(await workspaceOf(sourceOf(commits[0]!)), 'rev-parse', 'HEAD')).toBe(commits[0]);
  }, 120_000);

  async function eachFile(root: string, change: (file: string) => Promise<unknown>): Promise<void> {
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name);
      if (!entry.isFile()) continue;
      await chmod(file, 0o644);
      await change(file);
    }
  }
});

describe('a commit that cannot be had', () => {
  test('is not there: the message says to push it', async () => {
    await origin.history(1);
    const missing = commitIdOf('0123456789012345678901234567890123456789');
    const failure = await failureOf(workspaceOf(sourceOf(missing, 'refs/heads/main')));
    expect(failure).toMatchObject({ kind: 'checkout-failed', transient: false });
    expect(failure.message).toMatch(/has no commit 0123456789012345678901234567890123456789: push it first/);
  });

  test('demands credentials: nobody is asked, and the agent is named', async () => {
    const [head] = await origin.history(1);
    const trace = path.join(directory, 'asked');
    const askpass = path.join(directory, 'askpass.sh');
    await writeFile(askpass, `#!/bin/sh\necho asked >> ${trace}\necho secret\n`);
    await chmod(askpass, 0o755);
    const before = { ...process.env };
    Object.assign(process.env, { GIT_ASKPASS: askpass, SSH_ASKPASS: askpass, DISPLAY: ':0' });
    try {
      const server = await serve({ answer: 401 });
      const failure = await failureOf(
        workspaceOf(sourceOf(head!, 'refs/heads/main', `${server.url}/origin`)),
      );
      expect(failure).toMatchObject({ kind: 'checkout-failed', transient: false });
      expect(failure.message).toMatch(/demands credentials that agent build-7 does not have/);
      expect(server.requests.some(({ authorized }) => authorized)).toBe(false);
    } finally {
      for (const name of ['GIT_ASKPASS', 'SSH_ASKPASS', 'DISPLAY']) {
        if (before[name] === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = before[name];
      }
    }
    await expect(stat(trace)).rejects.toThrow('ENOENT');
  });

  test.each([
    [403, false, /demands credentials/],
    [404, false, /no git repository/],
    [500, true, /not reachable/],
  ] as const)('is behind a server that answers %i', async (answer, transient, message) => {
    const [head] = await origin.history(1);
    const server = await serve({ answer });
    const failure = await failureOf(workspaceOf(sourceOf(head!, 'refs/heads/main', `${server.url}/origin`)));
    expect(failure).toMatchObject({ kind: 'checkout-failed', transient });
    expect(failure.message).toMatch(message);
  });

  test('is at a path where there is no repository', async () => {
    const [head] = await origin.history(1);
    const plain = path.join(origin.directory, 'plain');
    await mkdir(plain);
    const failure = await failureOf(workspaceOf(sourceOf(head!, undefined, plain)));
    expect(failure).toMatchObject({ kind: 'checkout-failed', transient: false });
    expect(failure.message).toMatch(/agent build-7 finds no git repository at .*plain/);
  });

  test('is behind a port where nobody listens', async () => {
    const [head] = await origin.history(1);
    const server = await serve();
    await server.close();
    servers.length = 0;
    const failure = await failureOf(workspaceOf(sourceOf(head!, 'refs/heads/main', `${server.url}/origin`)));
    expect(failure).toMatchObject({ kind: 'checkout-failed', transient: true });
    expect(failure.message).toMatch(/not reachable from agent build-7/);
  });

  test('is behind a redirect to another server: an http remote stays where it is', async () => {
    const [head] = await origin.history(1);
    const target = await serve();
    const server = await serve({ redirect: target.url });
    await failureOf(workspaceOf(sourceOf(head!, 'refs/heads/main', `${server.url}/origin`)));
    expect(target.requests).toEqual([]);
  });

  test('is outside of the roots, or at a URL that is not allowed', async () => {
    const [head] = await origin.history(1);
    const elsewhere = await TestRepository.make(path.join(directory, 'elsewhere'));
    for (const url of [elsewhere.directory, 'http://example.org/a', 'ext::sh -c id', 'https://u:p@host/a']) {
      const failure = await failureOf(workspaceOf(sourceOf(head!, undefined, url)));
      expect(failure).toMatchObject({ kind: 'checkout-failed', transient: false });
      expect(failure.message).toMatch(/^agent build-7: /);
    }
  });
});

describe('a submitted tree', () => {
  test('is checked out from its bundle as it was, and the mirror learns nothing of it', async () => {
    const commits = await origin.history(60);
    await origin.git('tag', '-a', '-m', 'release', 'v1', commits[55]!);
    await origin.write({ 'history.txt': 'dirty', 'new "file"\n': 'n' });
    const bundlePath = path.join(directory, 'tree.bundle');
    const sent = await bundleTree(origin.directory, bundlePath);
    const source: Source = { kind: 'bundle', ...sent };
    const workspace = await workspaceOf(source, {
      branch: 'main',
      bundle: () => Promise.resolve(bundlePath),
    });
    expect(await git(workspace, 'rev-parse', 'HEAD')).toBe(sent.commit);
    expect(await git(workspace, 'symbolic-ref', '--short', 'HEAD')).toBe('main');
    expect(await git(workspace, 'describe')).toMatch(/^v1-5-g/);
    expect(await git(workspace, 'rev-list', '--count', 'HEAD')).toBe('50');
    expect(await git(workspace, 'diff', 'HEAD')).toBe('');
    expect(await git(workspace, 'status', '--porcelain')).toBe('');
    expect(await readFile(path.join(workspace, 'history.txt'), 'utf8')).toBe('dirty');
    await git(workspace, 'fsck', '--full');
    expect(mirror.projects()).toEqual([]);
    expect(await git(workspace, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main\nrefs/tags/v1');
    expect((await snapshot(path.join(workspace, '.git'))).has('hooks/')).toBe(false);
  });

  test('of another commit than the run is about is refused', async () => {
    const [head] = await origin.history(1);
    await origin.write({ dirty: 'd' });
    const bundlePath = path.join(directory, 'tree.bundle');
    const sent = await bundleTree(origin.directory, bundlePath);
    const source: Source = { kind: 'bundle', ...sent, commit: head! };
    expect(
      (await failureOf(workspaceOf(source, { bundle: () => Promise.resolve(bundlePath) }))).message,
    ).toMatch(/submit it again/);
  });

  test('that is cut off or no bundle at all is refused', async () => {
    await origin.history(3);
    const bundlePath = path.join(directory, 'tree.bundle');
    const sent = await bundleTree(origin.directory, bundlePath);
    const whole = await readFile(bundlePath);
    for (const content of [whole.subarray(0, whole.length - 30), Buffer.from('no bundle')]) {
      await writeFile(bundlePath, content);
      const failure = await failureOf(
        workspaceOf({ kind: 'bundle', ...sent }, { bundle: () => Promise.resolve(bundlePath) }),
      );
      expect(failure.kind).toBe('checkout-failed');
    }
  });
});
