import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { parseCommitId, type CommitId } from '../../shared/model/ids.js';
import { usersEnvironment } from '../../shared/git/git-environment.js';
import { GitError, gitText, gitTextIfAny, runGit, type GitCommand } from '../../shared/git/git-program.js';
import { normalizeRepositoryUrl, withoutCredentials } from '../../shared/git/repository-url.js';
import { looksSecret, type SecretReason } from './secret-files.js';
import { withTemporaryRepository } from './temporary-repository.js';

/** A tree cannot be submitted; the message says what to do. */
export class TreeError extends Error {
  override readonly name = 'TreeError';
}

export interface UntrackedFile {
  /** Relative to the root, bytes as on disk. */
  readonly path: Buffer;
  readonly bytes: number;
}

/** What `submit` would send, and what a person should know about it first. */
export interface TreeDescription {
  /** `directory`: not below any git repository; all files that `.gitignore` does not exclude count as untracked. */
  readonly kind: 'git' | 'directory';
  /** The whole tree of this directory is sent: the repository's root, else the directory itself. Absolute. */
  readonly root: string;
  /** The directory that was asked for, relative to the root; empty where it is the root. */
  readonly prefix: string;
  /** Absent when HEAD is detached, and outside of git. */
  readonly branch?: string;
  /** Absent in a repository without commits, and outside of git. */
  readonly head?: CommitId;
  /** Of the remote `origin`, without credentials. */
  readonly origin?: string;
  /** Name of the project: the normalized URL of `origin`, else the root. */
  readonly projectName: string;
  /** Whether tracked files differ from HEAD (in the index or on disk). */
  readonly changed: boolean;
  readonly untracked: readonly UntrackedFile[];
  /** Repositories inside the tree: only the commit they are at is sent, not their files. */
  readonly embedded: readonly string[];
  /** Files about to be sent, new or changed, that look like secrets. */
  readonly secrets: readonly { readonly path: string; readonly reason: SecretReason }[];
}

/**
 * Looks at the tree of `dir` and changes nothing. Throws `TreeError` where there is nothing that could be submitted: no
 * such directory, a bare repository, a repository of another user.
 */
export async function describeTree(dir: string, signal?: AbortSignal): Promise<TreeDescription> {
  const directory = path.resolve(dir);
  try {
    return await describe(directory, signal);
  } catch (error) {
    throw asTreeError(error, directory);
  }
}

/** What git said about the tree, for whoever asked for it. */
export function asTreeError(error: unknown, directory: string): unknown {
  if (!(error instanceof GitError)) return error;
  return new TreeError(`git failed in ${directory}: ${error.stderr || error.message}`, { cause: error });
}

async function describe(directory: string, signal: AbortSignal | undefined): Promise<TreeDescription> {
  const repository = await findRepository(directory, signal);
  if (repository === undefined) return describeDirectory(directory, signal);
  const { root } = repository;
  const git = gitIn(root, signal);
  const [branch, head, origin, others] = await Promise.all([
    symbolicHead(git),
    headCommit(git),
    originUrl(git),
    listFiles(git, ['--others', '--exclude-standard']),
  ]);
  const changedFiles = await changedTracked(git, head !== undefined);
  const { files, embedded } = await sizes(root, others);
  return {
    kind: 'git',
    root,
    prefix: path.relative(root, directory),
    ...(branch === undefined ? {} : { branch }),
    ...(head === undefined ? {} : { head }),
    ...(origin === undefined ? {} : { origin }),
    projectName: projectName(origin, root),
    changed: changedFiles.length > 0,
    untracked: files,
    embedded,
    secrets: await secretsIn(root, [...files.map((file) => file.path), ...changedFiles]),
  };
}

async function describeDirectory(root: string, signal: AbortSignal | undefined): Promise<TreeDescription> {
  return withTemporaryRepository({}, async (repository) => {
    const git: Git = (args) => ({
      args: [`--git-dir=${repository.gitDir}`, `--work-tree=${root}`, '-c', 'core.bare=false', ...args],
      environment: usersEnvironment(),
      cwd: root,
      ...(signal === undefined ? {} : { signal }),
    });
    const { files, embedded } = await sizes(root, await listFiles(git, ['--others', '--exclude-standard']));
    return {
      kind: 'directory',
      root,
      prefix: '',
      projectName: root,
      changed: false,
      untracked: files,
      embedded,
      secrets: await secretsIn(
        root,
        files.map((file) => file.path),
      ),
    };
  });
}

/** Makes the command that runs git with these arguments in one tree. */
export type Git = (args: readonly string[]) => GitCommand;

export const gitIn =
  (root: string, signal: AbortSignal | undefined): Git =>
  (args) => ({
    args,
    environment: usersEnvironment(),
    cwd: root,
    ...(signal === undefined ? {} : { signal }),
  });

/** The repository that `directory` is in, or undefined where it is in none. */
async function findRepository(
  directory: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly root: string } | undefined> {
  const stats = await lstat(directory).catch(() => undefined);
  if (stats === undefined) throw new TreeError(`there is no directory ${directory}`);
  try {
    const answer = await gitText(
      gitIn(directory, signal)(['rev-parse', '--is-bare-repository', '--is-inside-git-dir']),
    );
    if (answer.startsWith('true')) {
      throw new TreeError(
        `${directory} is a bare repository and has no files to submit: use --repo ${directory} --commit REF`,
      );
    }
    if (answer.endsWith('true'))
      throw new TreeError(`${directory} is inside a .git directory: submit the directory above it`);
    return { root: await gitText(gitIn(directory, signal)(['rev-parse', '--show-toplevel'])) };
  } catch (error) {
    if (!(error instanceof GitError)) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') {
        throw new TreeError(`${directory} is a file: give the directory that holds it`, { cause: error });
      }
      throw error;
    }
    if (error.failure.kind === 'git-missing') {
      const isFile = !(await lstat(directory)).isDirectory();
      throw new TreeError(
        isFile ? `${directory} is a file: give the directory that holds it` : error.message,
        { cause: error },
      );
    }
    // "not a git repository (or any of the parent directories)" is the answer "no"; anything else is a broken
    // repository or one that git does not trust, and sending it as a plain directory would be a surprise.
    if (/not a git repository \(or any/i.test(error.stderr)) return undefined;
    if (/dubious ownership/i.test(error.stderr)) {
      throw new TreeError(
        `the repository at ${directory} belongs to another user: run "git config --global --add safe.directory ${directory}" if you trust it`,
        { cause: error },
      );
    }
    throw new TreeError(`git cannot read the repository at ${directory}: ${error.stderr}`, { cause: error });
  }
}

async function symbolicHead(git: Git): Promise<string | undefined> {
  const ref = await gitTextIfAny(git(['symbolic-ref', '-q', 'HEAD']));
  return ref?.startsWith('refs/heads/') === true ? ref.slice('refs/heads/'.length) : undefined;
}

async function headCommit(git: Git): Promise<CommitId | undefined> {
  const commit = await gitTextIfAny(git(['rev-parse', '-q', '--verify', 'HEAD^{commit}']));
  return commit === undefined ? undefined : parseCommitId(commit);
}

async function originUrl(git: Git): Promise<string | undefined> {
  // Two questions, because `get-url` applies the user's `insteadOf`, but fails for other reasons too.
  if ((await gitTextIfAny(git(['config', '--get', 'remote.origin.url']))) === undefined) return undefined;
  return withoutCredentials(await gitText(git(['remote', 'get-url', 'origin'])));
}

function projectName(origin: string | undefined, root: string): string {
  if (origin === undefined) return root;
  try {
    const local = origin.startsWith('.') ? path.resolve(root, origin) : origin;
    return normalizeRepositoryUrl(local).name;
  } catch {
    // An origin that no agent could fetch (git://, a remote helper) still names the project.
    return origin;
  }
}

/** Paths, relative to the root, of tracked files that differ from HEAD and are still there. */
async function changedTracked(git: Git, hasHead: boolean): Promise<Buffer[]> {
  const staged = hasHead
    ? splitNul(
        (await runGit(git(['diff', '--cached', '--name-only', '-z', '--no-renames', 'HEAD', '--']))).stdout,
      )
    : await listFiles(git, ['--cached']);
  const onDisk = splitNul((await runGit(git(['diff', '--name-only', '-z', '--no-renames', '--']))).stdout);
  return [...staged, ...onDisk];
}

const listFiles = async (git: Git, args: readonly string[]): Promise<Buffer[]> =>
  splitNul((await runGit({ ...git(['ls-files', '-z', ...args]), maxStdoutBytes: 256 * 1024 * 1024 })).stdout);

export function splitNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0, start); end !== -1; end = bytes.indexOf(0, start)) {
    parts.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

/** Below a directory, by bytes: names of files need not be UTF-8. */
export const below = (root: string, file: Buffer): Buffer =>
  Buffer.concat([Buffer.from(root === '/' ? '/' : `${root}/`), file]);

async function sizes(
  root: string,
  paths: readonly Buffer[],
): Promise<{ files: UntrackedFile[]; embedded: string[] }> {
  const files: UntrackedFile[] = [];
  const embedded: string[] = [];
  for (const file of paths) {
    // git lists a repository within the tree by its directory, with a slash at the end.
    if (file.at(-1) === 0x2f) {
      embedded.push(file.subarray(0, -1).toString('utf8'));
      continue;
    }
    const stats = await lstat(below(root, file)).catch(() => undefined); // gone since git listed it
    if (stats !== undefined) files.push({ path: file, bytes: stats.size });
  }
  return { files, embedded };
}

async function secretsIn(
  root: string,
  paths: readonly Buffer[],
): Promise<{ path: string; reason: SecretReason }[]> {
  const found = new Map<string, SecretReason>();
  for (const file of paths) {
    const reason = await looksSecret(root, file);
    if (reason !== undefined) found.set(file.toString('utf8'), reason);
  }
  return [...found].map(([name, reason]) => ({ path: name, reason }));
}
