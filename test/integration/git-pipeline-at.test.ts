import { readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readPipelineAt, type PipelineAt } from '../../coordinator/source/pipeline-at.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import { serveGit, type GitHttp } from '../support/git-http.js';
import { git, temporaryDirectory, TestRepository } from '../support/repositories.js';

let directory: string;
let remove: () => Promise<void>;
let origin: TestRepository;
const servers: GitHttp[] = [];

beforeEach(async () => {
  ({ path: directory, remove } = await temporaryDirectory());
  origin = await TestRepository.make(path.join(directory, 'origin'));
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  await remove();
});

const read = (
  commitish: string,
  url = origin.directory,
  signal = AbortSignal.timeout(60_000),
): Promise<PipelineAt> =>
  readPipelineAt({
    url,
    commitish,
    roots: [origin.directory],
    cacheDirectory: path.join(directory, 'cache'),
    signal,
  });

async function serve(options: Omit<Parameters<typeof serveGit>[0], 'root'> = {}): Promise<string> {
  const server = await serveGit({ root: directory, ...options });
  servers.push(server);
  return `${server.url}/origin`;
}

const messageOf = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.catch((reason: unknown) => reason);
  if (!(error instanceof CheckoutError)) throw new Error('no CheckoutError', { cause: error });
  expect(error.failure).toMatchObject({ kind: 'checkout-failed', transient: false });
  return error.message;
};

describe('the pipeline of a remote repository', () => {
  test.each(['a path', 'http'])('is read at a branch, tag, commit and HEAD, by %s', async (how) => {
    await origin.write({ '.gantry.yml': 'first: ü\n', 'other.txt': 'x' });
    const first = await origin.commit('First\n\nbody');
    await origin.git('tag', '-a', '-m', 'release', 'v1');
    await origin.git('tag', 'light');
    await origin.git('checkout', '--quiet', '-b', 'topic/one');
    await origin.write({ '.gantry.yml': 'second: 2\n' });
    const second = await origin.commit('Second');
    await origin.git('checkout', '--quiet', 'main');
    const url = how === 'http' ? await serve() : origin.directory;

    expect(await read('main', url)).toMatchObject({
      commit: first,
      text: 'first: ü\n',
      title: 'First',
      author: 'Ada Lovelace <ada@example.org>',
      ref: 'refs/heads/main',
      branch: 'main',
      url,
    });
    expect(await read('topic/one', url)).toMatchObject({
      commit: second,
      text: 'second: 2\n',
      branch: 'topic/one',
    });
    expect(await read('v1', url)).toMatchObject({ commit: first, ref: 'refs/tags/v1', tag: 'v1' });
    expect(await read('light', url)).toMatchObject({ commit: first, tag: 'light' });
    expect(await read('refs/heads/topic/one', url)).toMatchObject({ commit: second, branch: 'topic/one' });
    expect(await read('HEAD', url)).toMatchObject({ commit: first, branch: 'main' });
    expect(await read(second, url)).toMatchObject({ commit: second, branch: 'topic/one' });
  });

  test('is read at a commit that is no longer at the end of a branch', async () => {
    await origin.write({ '.gantry.yml': 'old\n' });
    const old = await origin.commit();
    await origin.history(3);
    const at = await read(old);
    expect(at).toMatchObject({ commit: old, text: 'old\n' });
    expect(at).not.toHaveProperty('ref');
    expect(await read(old, await serve())).toMatchObject({ commit: old, text: 'old\n' });
  });

  test('is absent when the commit has no such file', async () => {
    const [head] = await origin.history(1);
    expect(await read('main')).toMatchObject({ commit: head, text: undefined });
  });

  test('is read without fetching the other files, where the server can do that', async () => {
    await origin.write({ '.gantry.yml': 'x\n', 'big.bin': Buffer.alloc(3_000_000, 'abc') });
    await origin.commit();
    const big = await origin.git('rev-parse', 'HEAD:big.bin');
    await read('main');
    const cache = path.join(directory, 'cache', (await readdir(path.join(directory, 'cache')))[0]!);
    const objects = await git(cache, 'cat-file', '--batch-check', '--batch-all-objects');
    expect(objects).not.toContain(big);
  });

  test('is read from one cache by many at once', async () => {
    await origin.write({ '.gantry.yml': 'x\n' });
    const head = await origin.commit();
    const all = await Promise.all(Array.from({ length: 6 }, () => read('main')));
    expect(all.map(({ commit }) => commit)).toEqual(Array.from({ length: 6 }, () => head));
  });

  test('is read although the cache is broken', async () => {
    await origin.write({ '.gantry.yml': 'x\n' });
    await origin.commit();
    await read('main');
    const cache = path.join(directory, 'cache', (await readdir(path.join(directory, 'cache')))[0]!);
    await writeFile(path.join(cache, 'config'), '[broken');
    expect(await read('main')).toMatchObject({ text: 'x\n' });
  });
});

describe('what is asked for wrongly is told', () => {
  test('a branch that is not there, with those that are', async () => {
    await origin.history(1);
    expect(await messageOf(read('mian'))).toMatch(/no branch or tag "mian"; there are the branches main/);
    expect(await messageOf(read('--upload-pack=touch x'))).toMatch(/no branch or tag/);
    expect(await messageOf(read('$(touch x)'))).toMatch(/no branch or tag/);
  });

  test('a part of a commit id, a commit that is not there, an empty repository', async () => {
    expect(await messageOf(read('HEAD'))).toMatch(/no commits yet/);
    const [head] = await origin.history(1);
    expect(await messageOf(read(head!.slice(0, 8)))).toMatch(/all of its 40 characters/);
    expect(await messageOf(read('0123456789012345678901234567890123456789'))).toMatch(
      /has no 0123456789.*push it first/,
    );
  });

  test('no repository, or one outside of the roots', async () => {
    expect(await messageOf(read('main', '/nowhere'))).toMatch(/not below a repository root/);
    expect(await messageOf(read('main'))).toMatch(/no branch or tag/);
    await origin.write({ 'plain/x': 'x' });
    expect(await messageOf(read('main', path.join(origin.directory, 'plain')))).toMatch(/no git repository/);
    expect(await messageOf(read('main', await serve({ answer: 404 })))).toMatch(/no git repository/);
    expect(await messageOf(read('main', await serve({ answer: 401 })))).toMatch(
      /the coordinator does not have/,
    );
  });

  test('a pipeline file that is a link or a directory', async () => {
    await symlink('/etc/passwd', path.join(origin.directory, '.gantry.yml'));
    await origin.commit();
    expect(await messageOf(read('main'))).toMatch(/symbolic link/);
    await origin.git('rm', '--quiet', '.gantry.yml');
    await origin.write({ '.gantry.yml/x': 'x' });
    await origin.commit();
    expect(await messageOf(read('main'))).toMatch(/not a file, but a tree/);
  });

  test('a pipeline file of more than a megabyte', async () => {
    await origin.write({ '.gantry.yml': Buffer.alloc(1_100_000, 'x') });
    await origin.commit();
    expect(await messageOf(read('main'))).toMatch(/1100000 bytes/);
  });

  test('aborting ends it with the reason', async () => {
    const url = await serve({ answer: 'hang' });
    await expect(read('main', url, AbortSignal.timeout(300))).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});
