/** Real repositories for tests, made by the git program, with a history that is the same each time. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';

const execute = promisify(execFile);

const environment = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  LC_ALL: 'C.UTF-8',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada Lovelace',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_AUTHOR_DATE: '2020-01-01T00:00:00Z',
  GIT_COMMITTER_NAME: 'Ada Lovelace',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
  GIT_COMMITTER_DATE: '2020-01-01T00:00:00Z',
  GIT_CONFIG_COUNT: '4',
  GIT_CONFIG_KEY_0: 'init.defaultBranch',
  GIT_CONFIG_VALUE_0: 'main',
  GIT_CONFIG_KEY_1: 'protocol.file.allow',
  GIT_CONFIG_VALUE_1: 'always',
  GIT_CONFIG_KEY_2: 'advice.addEmbeddedRepo',
  GIT_CONFIG_VALUE_2: 'false',
  GIT_CONFIG_KEY_3: 'gc.auto',
  GIT_CONFIG_VALUE_3: '0',
};

export async function git(cwd: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute('git', args, { cwd, env: environment, maxBuffer: 64 * 1024 * 1024 });
  return stdout.replace(/\n$/, '');
}

export function commitIdOf(text: string): CommitId {
  const commit = parseCommitId(text);
  if (commit === undefined) throw new Error(`no commit id: ${text}`);
  return commit;
}

/** A working repository in a directory of its own. */
export class TestRepository {
  #commits = 0;

  constructor(readonly directory: string) {}

  static async make(directory: string): Promise<TestRepository> {
    await mkdir(directory, { recursive: true });
    await git(directory, 'init', '--quiet');
    return new TestRepository(directory);
  }

  git(...args: readonly string[]): Promise<string> {
    return git(this.directory, ...args);
  }

  async write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(this.directory, name);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content);
    }
  }

  /** Commits everything there is, dated a minute later than the commit before. */
  async commit(message = `commit ${this.#commits + 1}`): Promise<CommitId> {
    this.#commits += 1;
    const date = new Date(Date.UTC(2020, 0, 1) + this.#commits * 60_000).toISOString();
    await git(this.directory, 'add', '--all');
    await execute('git', ['commit', '--quiet', '--allow-empty', '-m', message], {
      cwd: this.directory,
      env: { ...environment, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
    });
    return commitIdOf(await git(this.directory, 'rev-parse', 'HEAD'));
  }

  /** `count` commits that change one file. */
  async history(count: number): Promise<CommitId[]> {
    const commits: CommitId[] = [];
    for (let n = 1; n <= count; n++) {
      await this.write({ 'history.txt': `${n}\n` });
      commits.push(await this.commit(`change ${n}`));
    }
    return commits;
  }
}

export async function temporaryDirectory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'gantry-test-git-'));
  return { path: directory, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** Every file below a directory with type, permission bits and content, as one digest per path; for "left untouched". */
export async function snapshot(directory: string): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  const visit = async (at: Buffer, shown: string): Promise<void> => {
    for (const name of (await readdir(at, { encoding: 'buffer' })).sort((a, b) => Buffer.compare(a, b))) {
      const file = Buffer.concat([at, Buffer.from('/'), name]);
      const key = `${shown}${name.toString('latin1')}`;
      const stats = await lstat(file);
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) {
        entries.set(`${key}/`, mode);
        await visit(file, `${key}/`);
      } else if (stats.isSymbolicLink()) {
        entries.set(key, `-> ${(await readlink(file, { encoding: 'buffer' })).toString('latin1')}`);
      } else if (stats.isFile()) {
        entries.set(
          key,
          `${mode} ${createHash('sha256')
            .update(await readFile(file))
            .digest('hex')}`,
        );
      } else {
        entries.set(key, `${mode} special`);
      }
    }
  };
  await visit(Buffer.from(directory), '');
  return entries;
}
