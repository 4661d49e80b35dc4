import { withGitAccess } from '../../shared/git/git-access.js';
import { isolatedEnvironment } from '../../shared/git/git-environment.js';
import { gitText, gitTextIfAny, runGit, GitError, type GitCommand } from '../../shared/git/git-program.js';
import { isRefName } from '../../shared/git/refs.js';
import type { RepositoryUrl } from '../../shared/git/repository-url.js';
import { fileUrl, uploadPack } from '../../shared/git/upload-pack.js';
import type { CommitId } from '../../shared/model/ids.js';
import type { CommitRequest } from './mirror.js';

/** Silence of a remote for so long ends a fetch: a big repository may be counted for minutes without a word. */
const idleMs = 10 * 60_000;
/** Each fetch leaves a pack; from so many on they are rolled into fewer, or every lookup searches them all. */
const maxPacks = 40;
const maxLooseObjects = 5000;
/** Commits that a mirror keeps although no branch or tag may have them any more. */
const maxHeld = 5000;

/** Whether a mirror has the commit by a ref of ours, so that its whole history is there too. */
export async function holdsCommit(directory: string, request: CommitRequest): Promise<boolean> {
  const args = ['rev-parse', '--quiet', '--verify', `${heldRef(request.commit)}^{commit}`];
  return (await gitTextIfAny({ ...mirrorGit(directory, request), args })) !== undefined;
}

/**
 * Brings a commit into a mirror and holds it there by a ref. One at a time in one mirror. Throws what git says. Nothing of
 * the credential stays in the mirror.
 *
 * The one branch first: a repository of thousands of branches need not arrive whole for one commit. What does not work (the
 * branch is gone, `a` became `a/b`, the commit is not on it) is answered by all branches and tags, and a commit that is on none
 * (of a change, or before a forced push) by asking for it by its name.
 */
export async function fetchCommit(
  directory: string,
  repository: RepositoryUrl,
  request: CommitRequest,
): Promise<void> {
  const credential = await request.credential?.();
  await withGitAccess({ repository, credential }, (environment) =>
    fetchWith({ ...environment, GIT_DIR: directory }, directory, repository, request),
  );
}

async function fetchWith(
  environment: Readonly<Record<string, string>>,
  directory: string,
  repository: RepositoryUrl,
  request: CommitRequest,
): Promise<void> {
  const { commit, ref, signal } = request;
  const git = mirrorGit(directory, request);
  const fetch = (options: readonly string[], ...refspecs: string[]): Promise<unknown> =>
    runGit({
      ...git,
      environment,
      idleMs,
      args: [
        'fetch',
        '--progress',
        '--no-write-fetch-head',
        '--no-auto-maintenance',
        '--no-recurse-submodules',
        ...(repository.transport === 'file' ? ['--upload-pack', uploadPack()] : []),
        ...options,
        '--end-of-options',
        repository.transport === 'file' ? fileUrl(repository.url) : repository.url,
        ...refspecs,
      ],
    });
  if (ref !== undefined && isRefName(ref)) {
    try {
      await fetch([], `+${ref}:${ref}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!isAboutRefs(error)) throw error;
    }
  }
  if (!(await isThere(git, commit))) {
    await fetch(['--prune', '--tags'], '+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*');
  }
  if (!(await isThere(git, commit))) await fetch([], commit);
  await runGit({ ...git, args: ['update-ref', heldRef(commit), commit] });
}

/** Whether `tidyMirror` has something to do. */
export async function isUntidy(directory: string, request: CommitRequest): Promise<boolean> {
  const counts = await gitText({ ...mirrorGit(directory, request), args: ['count-objects', '-v'] });
  const packs = Number(/^packs: (\d+)$/m.exec(counts)?.[1] ?? 0);
  const loose = Number(/^count: (\d+)$/m.exec(counts)?.[1] ?? 0);
  return packs > maxPacks || loose > maxLooseObjects;
}

/** Rolls packs and refs together. Nobody else may be working in the mirror: what they read is replaced. */
export async function tidyMirror(directory: string, request: CommitRequest): Promise<void> {
  const git = mirrorGit(directory, request);
  await runGit({ ...git, args: ['repack', '--quiet', '-d', '-l', '--geometric=2'] });
  // The names that hold commits would be more each day. What is no longer held is fetched again, should it be asked for.
  const names = await gitText({
    ...git,
    args: ['for-each-ref', '--sort=-creatordate', '--format=%(refname)', heldRefs],
  });
  const old = names.split('\n').slice(maxHeld);
  if (old.length > 0) {
    const input = Buffer.from(old.map((name) => `delete ${name}\n`).join(''));
    await runGit({ ...git, args: ['update-ref', '--stdin'], input });
  }
  await runGit({ ...git, args: ['pack-refs', '--all'] });
}

async function isThere(git: Omit<GitCommand, 'args'>, commit: CommitId): Promise<boolean> {
  try {
    await runGit({ ...git, args: ['cat-file', '-e', `${commit}^{commit}`] });
    return true;
  } catch (error) {
    if (error instanceof GitError && error.failure.kind === 'exit') return false; // 128: no such object
    throw error;
  }
}

function mirrorGit(directory: string, request: CommitRequest): Omit<GitCommand, 'args'> {
  return {
    environment: { ...isolatedEnvironment(), GIT_DIR: directory },
    cwd: directory,
    signal: request.signal,
    ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
  };
}

const heldRefs = 'refs/gantry/commits/';
const heldRef = (commit: CommitId): string => `${heldRefs}${commit}`;

/** An answer about the ref, not about the server or the disk. */
const isAboutRefs = (error: unknown): boolean =>
  error instanceof GitError &&
  /couldn't find remote ref|cannot lock ref|refusing to|some local refs could not be updated|unable to update local ref/i.test(
    error.stderr,
  );
