/** Which commit is the newer one, asked of real repositories: whole and cut histories, commits that are gone, a remote that is away. */
import { spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProjectRepository } from '../../coordinator/source/project-repository.js';
import { parseProjectId, type CommitId } from '../../shared/model/ids.js';
import { serveGit } from '../support/git-http.js';
import { commitIdOf, git, temporaryDirectory, TestRepository } from '../support/repositories.js';

const project = parseProjectId('aaaaaaaaaaaaaaaa')!;
const { signal } = new AbortController();

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let work: TestRepository;
let bare: string;

beforeEach(async () => {
  directory = await temporaryDirectory();
  work = await TestRepository.make(path.join(directory.path, 'work'));
  bare = path.join(directory.path, 'app.git');
  await git(directory.path, 'init', '--quiet', '--bare', bare);
  await git(bare, 'config', 'uploadpack.allowFilter', 'true');
  await git(bare, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
  await work.git('remote', 'add', 'origin', bare);
});
afterEach(() => directory.remove());

const repositoryAt = (url: string): ProjectRepository =>
  new ProjectRepository({
    project,
    url,
    roots: [directory.path],
    cacheDirectory: path.join(directory.path, 'cache'),
    credential: () => Promise.resolve(undefined),
  });

/** Commits without content, each on the one before: a long history made by one command. */
async function line(branch: string, commits: number): Promise<CommitId[]> {
  const input = Array.from({ length: commits }, (_, n) =>
    [
      `commit refs/heads/${branch}`,
      `committer Ada <ada@example.org> ${1_577_836_800 + n} +0000`,
      'data <<END',
      `${branch} ${n}`,
      'END',
      '',
    ].join('\n'),
  ).join('\n');
  const made = spawnSync('git', ['fast-import', '--quiet'], { cwd: work.directory, input });
  if (made.status !== 0) throw new Error(made.stderr.toString());
  await work.git('push', '--quiet', 'origin', branch);
  const ids = await work.git('rev-list', '--reverse', branch);
  return ids.split('\n').map(commitIdOf);
}

describe('The order of two commits', () => {
  it('is by what they contain, whichever is asked for first', async () => {
    const [first, ...others] = await work.history(3);
    const last = others.at(-1)!;
    await work.git('push', '--quiet', 'origin', 'HEAD:main');
    const repository = repositoryAt(bare);
    expect(await repository.order(last, first!, signal)).toBe('newer');
    expect(await repository.order(first!, last, signal)).toBe('older');
  });

  it('is found although more history lies between them than the copy usually has', async () => {
    const commits = await line('main', 500);
    const side = await line('side', 300);
    const repository = repositoryAt(bare);
    expect(await repository.order(commits.at(0)!, commits.at(-1)!, signal)).toBe('older');
    expect(await repository.order(commits.at(-1)!, commits.at(0)!, signal)).toBe('newer');
    expect(await repository.order(commits.at(-1)!, side.at(-1)!, signal)).toBe('diverged');
    // Reading for a trigger cuts the history again; asking still comes to the same.
    await repository.read(commits.at(300)!, signal);
    expect(await repository.order(commits.at(10)!, commits.at(-1)!, signal)).toBe('older');
  });

  it('is diverged from a commit that is gone, also from one that never was', async () => {
    const [first] = await work.history(2);
    await work.git('push', '--quiet', 'origin', 'HEAD:main');
    const repository = repositoryAt(bare);
    const gone = commitIdOf('1'.repeat(40));
    expect(await repository.order(first!, gone, signal)).toBe('diverged');
    expect(await repository.order(gone, first!, signal)).toBe('diverged');
  });

  it('is not known while the remote is away', async () => {
    const [first, second] = await work.history(2);
    await work.git('push', '--quiet', 'origin', 'HEAD:main');
    const server = await serveGit({ root: directory.path });
    const repository = repositoryAt(`${server.url}/app.git`);
    await server.close();
    await expect(repository.order(first!, second!, signal)).rejects.toThrow(/not reachable/);
  });

  it('is not known without the repository', async () => {
    const [first, second] = await work.history(2);
    await rm(bare, { recursive: true });
    await expect(repositoryAt(bare).order(first!, second!, signal)).rejects.toThrow();
  });
});
