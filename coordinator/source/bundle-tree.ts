import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { toSha256 } from '../../shared/blob/sha256.js';
import { isolatedEnvironment, usersEnvironment } from '../../shared/git/git-environment.js';
import type { GitProgress } from '../../shared/git/git-progress.js';
import { runGit } from '../../shared/git/git-program.js';
import { submittedRef } from '../../shared/git/refs.js';
import type { CommitId, Sha256 } from '../../shared/model/ids.js';
import { asTreeError, describeTree, type TreeDescription } from './git-tree.js';
import { historyOf, type History } from './history.js';
import { withTemporaryRepository, type TemporaryRepository } from './temporary-repository.js';
import { commitFor, describeCommit, writeTree } from './tree-commit.js';
import { copyPromisor, readShallow, userRepository, writeShallow } from './user-repository.js';

export interface TreeBundle {
  /** Of the file. */
  readonly digest: Sha256;
  readonly bytes: number;
  /** HEAD itself where the tree is clean, else a commit made from the tree as it is. */
  readonly commit: CommitId;
  /** HEAD, where there is one. */
  readonly baseCommit?: CommitId;
  /** Commits in the bundle whose parents are not in it. */
  readonly shallow: readonly CommitId[];
  /** First line of the commit's message, at most 200 characters. */
  readonly title: string;
  /** `Name <address>` of the commit's author. */
  readonly author: string;
  readonly branch?: string;
  readonly projectName: string;
  readonly untracked: { readonly count: number; readonly bytes: number };
  /** Whether `commit` was made for this bundle. */
  readonly dirty: boolean;
}

export interface BundleOptions {
  /** What `describeTree` said, to look only once. */
  readonly tree?: TreeDescription;
  /** Commits of history to send along. Default 50. */
  readonly depth?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: GitProgress) => void;
}

/**
 * Writes the tree of `dir` as it is (what is ignored left out) to `outFile`, as a git bundle that needs nothing else:
 * the commit, its history to a depth, the tags of that history.
 *
 * The user's repository is only read. The commit is made by a copy of the index, new objects and refs go to a temporary
 * repository that reads the user's objects as an alternate; its `shallow` file cuts the history, because `git bundle` has
 * no depth of its own. Throws `TreeError`.
 */
export async function bundleTree(
  dir: string,
  outFile: string,
  options: BundleOptions = {},
): Promise<TreeBundle> {
  const tree = options.tree ?? (await describeTree(dir, options.signal));
  try {
    return await bundle(tree, outFile, options);
  } catch (error) {
    throw asTreeError(error, tree.root);
  }
}

async function bundle(tree: TreeDescription, outFile: string, options: BundleOptions): Promise<TreeBundle> {
  const user = await userRepository(tree, options.signal);
  return withTemporaryRepository(
    user === undefined ? {} : { alternate: user.objects, objectFormat: user.objectFormat },
    async (temporary) => {
      const cuts = user === undefined ? [] : await readShallow(user.shallow);
      await writeShallow(temporary, cuts);
      if (user !== undefined) await copyPromisor(user, temporary, options.signal);
      const treeId = await writeTree(tree, user, temporary, options.signal);
      const { commit, dirty } = await commitFor(tree, treeId, temporary, options.signal);
      const history = await historyOf({
        commit,
        depth: options.depth ?? 50,
        gitDir: temporary.gitDir,
        cuts: new Set(cuts),
        ...(user === undefined ? {} : { tagsFrom: user.root }),
        ...only(options.signal),
      });
      await writeShallow(temporary, history.shallow);
      await writeBundle({ temporary, commit, history, outFile, options });
      const [title, author] = await describeCommit(temporary, commit, options.signal);
      const { size } = await stat(outFile);
      return {
        digest: await sha256OfFile(outFile),
        bytes: size,
        commit,
        ...(tree.head === undefined ? {} : { baseCommit: tree.head }),
        shallow: history.shallow,
        title,
        author,
        ...(tree.branch === undefined ? {} : { branch: tree.branch }),
        projectName: tree.projectName,
        untracked: {
          count: tree.untracked.length,
          bytes: tree.untracked.reduce((sum, file) => sum + file.bytes, 0),
        },
        dirty,
      };
    },
  );
}

async function writeBundle(request: {
  readonly temporary: TemporaryRepository;
  readonly commit: CommitId;
  readonly history: History;
  readonly outFile: string;
  readonly options: BundleOptions;
}): Promise<void> {
  const { temporary, commit, history, options } = request;
  const refs = [`create ${submittedRef}\0${commit}\0`];
  for (const [name, target] of history.tags) refs.push(`create ${name}\0${target}\0`);
  const command = {
    environment: isolatedEnvironment({ transport: 'none' }),
    cwd: temporary.gitDir,
    ...only(options.signal),
  };
  await runGit({ ...command, args: ['update-ref', '-z', '--stdin'], input: Buffer.from(refs.join('')) });
  await runGit({
    ...command,
    // A partial clone may still have to fetch: with the user's own configuration and access.
    environment: usersEnvironment(),
    args: [
      'bundle',
      'create',
      options.onProgress === undefined ? '--quiet' : '--progress',
      path.resolve(request.outFile),
      '--all',
    ],
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
}

export async function sha256OfFile(file: string): Promise<Sha256> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer); // a stream without encoding gives buffers
  return toSha256(hash);
}

const only = (signal: AbortSignal | undefined): { signal?: AbortSignal } =>
  signal === undefined ? {} : { signal };
