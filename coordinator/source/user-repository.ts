import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { usersEnvironment } from '../../shared/git/git-environment.js';
import { GitError, gitText, runGit } from '../../shared/git/git-program.js';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';
import type { TreeDescription } from './git-tree.js';
import type { TemporaryRepository } from './temporary-repository.js';

/** What is read of the repository that the tree is in. */
export interface UserRepository {
  readonly root: string;
  readonly objects: string;
  readonly index: string;
  /** Its list of commits without parents, where it is a shallow clone itself; the file may not exist. */
  readonly shallow: string;
  readonly objectFormat: string;
}

export async function userRepository(
  tree: TreeDescription,
  signal: AbortSignal | undefined,
): Promise<UserRepository | undefined> {
  if (tree.kind === 'directory') return undefined;
  const at = ['--git-path', 'objects', '--git-path', 'index', '--git-path', 'shallow'];
  const answer = await gitText({
    args: ['rev-parse', '--show-object-format', ...at],
    environment: usersEnvironment(),
    cwd: tree.root,
    ...only(signal),
  });
  const [objectFormat = '', ...paths] = answer.split('\n');
  const [objects = '', index = '', shallow = ''] = paths.map((name) => path.resolve(tree.root, name));
  return { root: tree.root, objects, index, shallow, objectFormat };
}

/** A partial clone fetches what it lacks when asked; the temporary repository must know from where. */
export async function copyPromisor(
  user: UserRepository,
  temporary: TemporaryRepository,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { stdout } = await runGit({
    args: [
      'config',
      '-z',
      '--get-regexp',
      '^(remote\\..*\\.(url|promisor|partialclonefilter)|extensions\\.partialclone)$',
    ],
    environment: usersEnvironment(),
    cwd: user.root,
    ...only(signal),
  }).catch((error: unknown) => {
    if (error instanceof GitError && error.failure.kind === 'exit') return { stdout: Buffer.alloc(0) }; // no remote
    throw error;
  });
  const settings = stdout
    .toString('utf8')
    .split('\0')
    .map((entry) => entry.split('\n', 2))
    .filter((entry): entry is [string, string] => entry[1] !== undefined);
  if (!settings.some(([key]) => key.endsWith('.promisor'))) return;
  for (const [key, value] of settings) {
    await runGit({
      args: ['config', key, value],
      environment: usersEnvironment(),
      cwd: temporary.gitDir,
      ...only(signal),
    });
  }
  await runGit({
    args: ['config', 'core.repositoryFormatVersion', '1'],
    environment: usersEnvironment(),
    cwd: temporary.gitDir,
    ...only(signal),
  });
}

export async function writeShallow(temporary: TemporaryRepository, cuts: readonly CommitId[]): Promise<void> {
  const file = path.join(temporary.gitDir, 'shallow');
  if (cuts.length === 0) await rm(file, { force: true });
  else await writeFile(file, cuts.map((id) => `${id}\n`).join(''));
}

/** The list of a `shallow` file; empty when there is none. */
export async function readShallow(file: string): Promise<CommitId[]> {
  const text = await readFile(file, 'latin1').catch(() => '');
  return text.split('\n').flatMap((line) => parseCommitId(line.trim()) ?? []);
}

const only = (signal: AbortSignal | undefined): { signal?: AbortSignal } =>
  signal === undefined ? {} : { signal };
