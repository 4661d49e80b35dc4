import { copyFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isolatedEnvironment, usersEnvironment } from '../../shared/git/git-environment.js';
import { gitText, runGit, type GitCommand } from '../../shared/git/git-program.js';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';
import { TreeError, type TreeDescription } from './git-tree.js';
import type { TemporaryRepository } from './temporary-repository.js';
import type { UserRepository } from './user-repository.js';

/** The tree of the files as they are, by a copy of the index; what is new is written to the temporary repository. */
export async function writeTree(
  tree: TreeDescription,
  user: UserRepository | undefined,
  temporary: TemporaryRepository,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (user !== undefined) {
    await copyFile(user.index, temporary.index).catch((error: unknown) => {
      // A repository in which nothing was ever added has no index.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    });
  }
  const where: readonly string[] =
    user === undefined
      ? [`--git-dir=${temporary.gitDir}`, `--work-tree=${tree.root}`, '-c', 'core.bare=false']
      : [];
  const environment = {
    ...usersEnvironment({
      // Both would write into the user's repository.
      'core.splitIndex': 'false',
      'core.untrackedCache': 'false',
      'core.safecrlf': 'false',
      'advice.addEmbeddedRepo': 'false',
    }),
    GIT_INDEX_FILE: temporary.index,
    ...(user === undefined ? {} : { GIT_OBJECT_DIRECTORY: temporary.objects }),
  };
  const command = (...args: string[]): GitCommand => ({
    args: [...where, ...args],
    environment,
    cwd: tree.root,
    ...only(signal),
  });
  await runGit(command('add', '--all', '--', '.'));
  return gitText(command('write-tree'));
}

export async function commitFor(
  tree: TreeDescription,
  treeId: string,
  temporary: TemporaryRepository,
  signal: AbortSignal | undefined,
): Promise<{ commit: CommitId; dirty: boolean }> {
  const inTemporary = (...args: string[]): GitCommand => ({
    args,
    // The user's, because a clone without trees may have to fetch one with their access.
    environment: usersEnvironment({ 'i18n.commitEncoding': 'UTF-8' }),
    cwd: temporary.gitDir,
    ...only(signal),
  });
  let message = `Files of ${path.basename(tree.root)}`;
  if (tree.head !== undefined) {
    if (treeId === (await gitText(inTemporary('rev-parse', '--verify', `${tree.head}^{tree}`)))) {
      return { commit: tree.head, dirty: false };
    }
    const [title] = await describeCommit(temporary, tree.head, signal);
    message = `${title} (with uncommitted changes)`;
  }
  const making = inTemporary(
    'commit-tree',
    ...(tree.head === undefined ? [] : ['-p', tree.head]),
    '-F',
    '-',
    treeId,
  );
  const made = await gitText({
    ...making,
    environment: { ...making.environment, ...(await identity(tree.root, signal)) },
    input: Buffer.from(`${message}\n`),
  });
  const commit = parseCommitId(made);
  if (commit === undefined) throw new TreeError(`git commit-tree answered ${made}`);
  return { commit, dirty: true };
}

/** Who makes the commit: as git is configured, else who is logged in. */
async function identity(root: string, signal: AbortSignal | undefined): Promise<Record<string, string>> {
  const ask = (key: string): Promise<string> =>
    gitText({
      args: ['config', '--get', key],
      environment: usersEnvironment(),
      cwd: root,
      ...only(signal),
    }).catch(
      () => '', // not set
    );
  const login = os.userInfo().username;
  const name = process.env['GIT_AUTHOR_NAME'] ?? ((await ask('user.name')) || login);
  const email = process.env['GIT_AUTHOR_EMAIL'] ?? ((await ask('user.email')) || `${login}@${os.hostname()}`);
  return {
    GIT_AUTHOR_NAME: name,
    GIT_AUTHOR_EMAIL: email,
    GIT_COMMITTER_NAME: name,
    GIT_COMMITTER_EMAIL: email,
  };
}

/** Title (first line, at most 200 characters) and author of a commit. */
export async function describeCommit(
  temporary: TemporaryRepository,
  commit: CommitId,
  signal: AbortSignal | undefined,
): Promise<[title: string, author: string]> {
  const text = await gitText({
    args: [
      'log',
      '-1',
      '--no-show-signature',
      '--encoding=UTF-8',
      '--format=%s%x00%an <%ae>',
      '--end-of-options',
      commit,
    ],
    environment: isolatedEnvironment(),
    cwd: temporary.gitDir,
    ...only(signal),
  });
  const [title = '', author = ''] = text.split('\0');
  return [Array.from(title).slice(0, 200).join(''), author];
}

const only = (signal: AbortSignal | undefined): { signal?: AbortSignal } =>
  signal === undefined ? {} : { signal };
