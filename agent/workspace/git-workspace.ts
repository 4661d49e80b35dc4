import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { checkoutError, CheckoutError } from '../../shared/git/checkout-failure.js';
import type { GitCredential } from '../../shared/git/credential.js';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';
import { isolatedEnvironment, type Transport } from '../../shared/git/git-environment.js';
import type { GitProgress } from '../../shared/git/git-progress.js';
import { runGit, type GitCommand } from '../../shared/git/git-program.js';
import { isBranchName, submittedRef } from '../../shared/git/refs.js';
import type { Source } from '../../shared/model/pipeline.js';
import { fileUrl, uploadPack } from '../../shared/git/upload-pack.js';
import type { KeptTrees } from './kept-trees.js';
import type { Mirror } from './mirror.js';

export interface CheckoutRequest {
  readonly source: Source;
  /** Made if it is not there; must be empty. */
  readonly workspaceDir: string;
  /** Where a `git` source comes from. */
  readonly mirror: Mirror;
  /** For the fetch into the mirror, if one is needed; the workspace gets nothing of it. */
  readonly credential?: () => Promise<GitCredential | undefined>;
  /** Fetches the verified file of a `bundle` source and gives its path; not called when its repository is kept. */
  readonly bundle?: () => Promise<string>;
  /** Repositories of `bundle` sources. */
  readonly kept?: KeptTrees;
  /** Short name of the branch the run is about: it is checked out under this name. Without it HEAD is detached. */
  readonly branch?: string;
  /** Commits of history. Default 50. A bundle brings what it brings. */
  readonly depth?: number;
  /** Who works here, for messages: `agent build-7`. */
  readonly place: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: GitProgress) => void;
}

/**
 * Puts the source's files into an empty directory, with a `.git` that stands alone: no alternates or links to a mirror, no
 * configuration or hooks from outside, no credentials, no path of this machine, so that `git log`, `describe` and `diff`
 * work wherever the directory is mounted and whoever owns it. Submodules stay empty directories; LFS files stay pointers.
 *
 * Throws `CheckoutError`, or the signal's reason; what was begun stays in the directory, which is of no use then.
 */
export async function checkout(request: CheckoutRequest): Promise<void> {
  const { source } = request;
  try {
    if (source.kind === 'git') {
      await request.mirror.withCommit(
        {
          url: source.url,
          commit: source.commit,
          ...(source.ref === undefined ? {} : { ref: source.ref }),
          ...(request.credential === undefined ? {} : { credential: request.credential }),
          signal: request.signal,
          ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
        },
        async ({ directory }) => {
          // Called again after a damaged mirror was made anew: begin from nothing.
          await emptyRepository(request, source.url);
          await fetchFromMirror(request, directory);
        },
      );
    } else {
      await submittedRepository(request, source);
    }
    await writeFiles(request);
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof CheckoutError) throw error;
    throw checkoutError(error, {
      place: request.place,
      repository: source.kind === 'git' ? source.url : 'the submitted tree',
      revision: `commit ${source.commit}`,
    });
  }
}

async function emptyRepository(request: CheckoutRequest, origin: string | undefined): Promise<void> {
  const gitDir = gitDirOf(request);
  await rm(gitDir, { recursive: true, force: true });
  const branch = usableBranch(request);
  await makeEmptyRepository(gitDir, {
    bare: false,
    commitLength: request.source.commit.length,
    ...(branch === undefined ? {} : { branch }),
    ...(origin === undefined ? {} : { origin }),
  });
}

/** Tags inside the depth follow by themselves, because the commit is stored under a name. */
async function fetchFromMirror(request: CheckoutRequest, mirror: string): Promise<void> {
  const branch = usableBranch(request);
  await runGit(
    git(
      request,
      'file',
      ...fetchOptions,
      `--depth=${request.depth ?? 50}`,
      '--upload-pack',
      uploadPack('quick'),
      '--end-of-options',
      fileUrl(mirror),
      ...(branch === undefined ? [] : [`+${request.source.commit}:refs/remotes/origin/${branch}`]),
      `+${request.source.commit}:${localRef(request)}`,
    ),
  );
}

type SubmittedTree = Extract<Source, { kind: 'bundle' }>;

async function submittedRepository(request: CheckoutRequest, source: SubmittedTree): Promise<void> {
  const gitDir = gitDirOf(request);
  const branch = usableBranch(request);
  if ((await request.kept?.restore(source, branch, gitDir)) === true) return;
  if (request.bundle === undefined) throw new Error('a bundle source comes with its bundle');
  const bundle = await request.bundle();
  await emptyRepository(request, undefined);
  await fetchFromBundle(request, source, bundle);
  await request.kept?.keep(source, branch, gitDir);
}

async function fetchFromBundle(
  request: CheckoutRequest,
  source: SubmittedTree,
  bundle: string,
): Promise<void> {
  // Before the fetch: it makes git take the history as complete although parents of these commits are not in the bundle.
  if (source.shallow.length > 0) {
    await writeFile(path.join(gitDirOf(request), 'shallow'), source.shallow.map((id) => `${id}\n`).join(''));
  }
  await runGit(
    git(
      request,
      'file',
      ...fetchOptions,
      '--end-of-options',
      path.resolve(bundle),
      `+${submittedRef}:${localRef(request)}`,
      '+refs/tags/*:refs/tags/*',
    ),
  );
  // Read and not asked for: starting git once more would cost a quarter of a small checkout.
  const arrived = (await readFile(path.join(gitDirOf(request), localRef(request)), 'latin1')).trim();
  if (arrived !== source.commit) {
    throw new CheckoutError({
      kind: 'checkout-failed',
      transient: false,
      message: `the submitted bundle holds commit ${arrived}, but the run is about ${source.commit}: submit it again`,
    });
  }
}

/** Writes the files. HEAD is the branch already; without one it becomes the commit itself. */
async function writeFiles(request: CheckoutRequest): Promise<void> {
  if (usableBranch(request) === undefined) {
    const { commit } = request.source;
    await runGit(git(request, 'none', 'update-ref', '--no-deref', 'HEAD', commit));
    await runGit(git(request, 'none', 'update-ref', '-d', detachedRef));
  }
  // `read-tree` and not `checkout` or `reset`: it leaves no ORIG_HEAD and asks no configuration.
  await runGit(git(request, 'none', 'read-tree', '-u', '-v', '--reset', 'HEAD'));
}

/** The run's branch, if git takes it for the name of one; other text, however it came here, becomes no ref. */
const usableBranch = ({ branch }: CheckoutRequest): string | undefined =>
  branch !== undefined && isBranchName(branch) ? branch : undefined;

/** Holds the commit from its arrival on. */
function localRef(request: CheckoutRequest): string {
  const branch = usableBranch(request);
  return branch === undefined ? detachedRef : `refs/heads/${branch}`;
}

const fetchOptions = [
  'fetch',
  '--progress',
  '--no-write-fetch-head',
  '--no-recurse-submodules',
  // Nothing is checked out yet that a fetch into the current branch could make stale.
  '--update-head-ok',
];

const detachedRef = 'refs/gantry/checkout';
const gitDirOf = (request: CheckoutRequest): string => path.join(request.workspaceDir, '.git');

function git(request: CheckoutRequest, transport: Transport, ...args: readonly string[]): GitCommand {
  return {
    args,
    // Without GIT_DIR git would look for a repository in the directories above.
    environment: {
      ...isolatedEnvironment({ transport }),
      GIT_DIR: gitDirOf(request),
      GIT_WORK_TREE: request.workspaceDir,
    },
    cwd: request.workspaceDir,
    signal: request.signal,
    ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
  };
}
