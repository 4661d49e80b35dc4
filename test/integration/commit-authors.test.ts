/** Who made what is new, asked of real repositories: authors, committers, co-authors, and histories that the copy has cut. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProjectRepository } from '../../coordinator/source/project-repository.js';
import { parseProjectId, type CommitId } from '../../shared/model/ids.js';
import { commitIdOf, git, temporaryDirectory, TestRepository } from '../support/repositories.js';

const project = parseProjectId('aaaaaaaaaaaaaaaa')!;
const { signal } = new AbortController();

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let work: TestRepository;
let repository: ProjectRepository;

beforeEach(async () => {
  directory = await temporaryDirectory();
  work = await TestRepository.make(path.join(directory.path, 'work'));
  const bare = path.join(directory.path, 'app.git');
  await git(directory.path, 'init', '--quiet', '--bare', bare);
  await git(bare, 'config', 'uploadpack.allowFilter', 'true');
  await git(bare, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
  await work.git('remote', 'add', 'origin', bare);
  repository = new ProjectRepository({
    project,
    url: bare,
    roots: [directory.path],
    cacheDirectory: path.join(directory.path, 'cache'),
    credential: () => Promise.resolve(undefined),
  });
});
afterEach(() => directory.remove());

interface Made {
  readonly author: string;
  readonly committer?: string;
  readonly message?: string;
}

/** Commits without content, each on the one before, made and pushed by one command each. */
async function pushed(commits: readonly Made[]): Promise<CommitId[]> {
  const input = commits
    .map(({ author, committer = author, message = 'a change' }, n) => {
      const at = `${1_577_836_800 + n} +0000`;
      return [
        'commit refs/heads/main',
        `author Somebody <${author}> ${at}`,
        `committer Somebody <${committer}> ${at}`,
        `data ${Buffer.byteLength(message)}`,
        message,
        '',
      ].join('\n');
    })
    .join('\n');
  const made = spawnSync('git', ['fast-import', '--quiet', '--force'], { cwd: work.directory, input });
  if (made.status !== 0) throw new Error(made.stderr.toString());
  await work.git('push', '--quiet', '--force', 'origin', 'main');
  return (await work.git('rev-list', '--reverse', 'main')).split('\n').map(commitIdOf);
}

describe('Whoever made what is new', () => {
  it('is an author, a committer, or a co-author of any of it, and of nothing before', async () => {
    const run = 'abcdefghijklmnop';
    const ids = await pushed([
      { author: 'before@example.org' },
      { author: 'Ada@Example.org', committer: 'gate@gantry.invalid' },
      {
        author: 'bob@example.org',
        message: `squashed\n\nCo-authored-by: Carl <carl@example.org>\nCo-authored-by: Dora <dora@example.org>\nGantry-Run: ${run}\n`,
      },
      { author: 'later@example.org' },
    ]);
    const made = await repository.authors(ids[0], ids[2]!, signal);
    expect([...made.mails].sort()).toEqual([
      'ada@example.org',
      'bob@example.org',
      'carl@example.org',
      'dora@example.org',
      'gate@gantry.invalid',
    ]);
    expect([...made.commits].sort()).toEqual([ids[1], ids[2]].sort());
    expect([...made.runs]).toEqual([run]);
  });

  it('is everybody who ever wrote something where nothing is there yet', async () => {
    const ids = await pushed([{ author: 'first@example.org' }, { author: 'second@example.org' }]);
    const made = await repository.authors(undefined, ids[1]!, signal);
    expect([...made.mails].sort()).toEqual(['first@example.org', 'second@example.org']);
  });

  it('is found however far back, and again after the copy was cut', async () => {
    const many = Array.from({ length: 700 }, (_, n) => ({
      author: n === 5 ? 'long-ago@example.org' : 'ada@example.org',
    }));
    const ids = await pushed(many);
    expect((await repository.authors(ids[0], ids[699]!, signal)).mails).toContain('long-ago@example.org');
    expect((await repository.authors(ids[6], ids[699]!, signal)).mails).not.toContain('long-ago@example.org');
    // Reading for a trigger brings the last commits only.
    await repository.read(ids[500]!, signal);
    const made = await repository.authors(undefined, ids[699]!, signal);
    expect(made.mails).toContain('long-ago@example.org');
    expect(made.commits.size).toBe(700);
  });

  it('is nobody where there is nothing new', async () => {
    const ids = await pushed([{ author: 'ada@example.org' }, { author: 'bob@example.org' }]);
    expect((await repository.authors(ids[1], ids[0]!, signal)).mails.size).toBe(0);
    expect((await repository.authors(ids[1], ids[1]!, signal)).commits.size).toBe(0);
  });

  it('cannot be said of a commit that is gone', async () => {
    const ids = await pushed([{ author: 'ada@example.org' }]);
    await expect(repository.authors(commitIdOf('1'.repeat(40)), ids[0]!, signal)).rejects.toThrow();
  });
});
