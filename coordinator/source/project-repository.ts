/**
 * A project's repository as the coordinator sees it: which refs it has, what a commit says, what changed between two.
 * For the latter two it keeps a bare copy without the contents of files (they are fetched one by one when they are
 * asked for) and with the last commits only; the copy may be deleted at any time.
 */
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Limit } from '../../shared/async/limit.js';
import { checkoutError, looksDamaged, CheckoutError } from '../../shared/git/checkout-failure.js';
import type { GitCredential } from '../../shared/git/credential.js';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';
import { withGitAccess, type GitAccessRequest } from '../../shared/git/git-access.js';
import { isolatedEnvironment } from '../../shared/git/git-environment.js';
import { GitError, gitAnswers, gitText, runGit } from '../../shared/git/git-program.js';
import { checkRepositoryAllowed, type RepositoryUrl } from '../../shared/git/repository-url.js';
import { Turns } from '../../shared/git/turns.js';
import { fileUrl, uploadPack } from '../../shared/git/upload-pack.js';
import type { CommitId, ProjectId } from '../../shared/model/ids.js';
import type { CommitOrder } from '../../shared/model/environment.js';
import { listAuthors, type CommitAuthors } from './commit-authors.js';
import { commitOrder } from './commit-order.js';
import { committedText } from './committed-text.js';
import { describeCommit, listCommits, type CommitSummary, type LocalGit } from './commit-summary.js';
import { parseRemoteRefs, type RemoteRefs } from './remote-refs.js';

export interface ProjectRepositoryOptions {
  readonly project: ProjectId;
  readonly url: string;
  /** Paths below which repositories of this machine may be read. */
  readonly roots: readonly string[];
  readonly cacheDirectory: string;
  readonly credential: () => Promise<GitCredential | undefined>;
}

export interface ReadCommit extends CommitSummary {
  /** At most 2,000 characters. */
  readonly message: string;
  /** Of `.gantry.yml`; undefined: the commit has none. */
  readonly text: string | undefined;
}

const idleMs = 120_000;
/** Commits of history that a fetch brings: more than a mail about the last green run lists. */
const usualDepth = 200;
/** For git, all of it, also where nothing is cut off. */
const wholeDepth = 0x7fff_ffff;
/** A copy that has grown beyond this is begun anew. */
const maxCopyKib = 1024 * 1024;
/** More than this is an import or a move of everything: whatever is asked of it has changed. */
const mostChanges = 3_000;
/** Commits that one fetch asks for. */
const fetchBatch = 200;

export class ProjectRepository {
  readonly #options: ProjectRepositoryOptions;
  readonly #directory: string;
  /** Whoever uses the copy reads; whoever throws it away writes. */
  readonly #turns = new Turns();
  /** Fetches, one at a time. */
  readonly #fetches = new Limit(1);
  #wanted = new Set<CommitId>();
  #fetching: Promise<void> | undefined;

  constructor(options: ProjectRepositoryOptions) {
    this.#options = options;
    this.#directory = path.join(options.cacheDirectory, 'projects', `${options.project}.git`);
  }

  /** Branches, tags, proposals and HEAD, as the remote says now. Throws `CheckoutError`. */
  async refs(signal: AbortSignal): Promise<RemoteRefs> {
    return this.#remote(signal, async (repository, environment) => {
      const upload = repository.transport === 'file' ? ['--upload-pack', uploadPack()] : [];
      const { stdout } = await runGit({
        args: [
          'ls-remote',
          '--symref',
          ...upload,
          '--end-of-options',
          remoteOf(repository),
          'HEAD',
          'refs/heads/*',
          'refs/tags/*',
          'refs/for/*',
        ],
        environment,
        signal,
        maxStdoutBytes: 128 * 1024 * 1024,
        idleMs,
      });
      return parseRemoteRefs(stdout.toString('utf8'));
    });
  }

  /** Throws `CheckoutError`: also when the remote has no such commit (any more). */
  read(commit: CommitId, signal: AbortSignal): Promise<ReadCommit> {
    return this.#with([commit], signal, async (git) => {
      const described = await describeCommit(git, commit);
      const text = await committedText(git, { commit, file: '.gantry.yml' });
      return { ...described, text };
    });
  }

  /** Paths that differ between two commits; undefined where one of them cannot be had, or everything has changed. */
  async changed(from: CommitId, to: CommitId, signal: AbortSignal): Promise<readonly string[] | undefined> {
    try {
      return await this.#with([from, to], signal, async (git) => {
        const args = ['diff-tree', '-r', '-z', '--name-only', '--no-renames', '--end-of-options', from, to];
        const { stdout } = await runGit({ ...git, args, maxStdoutBytes: 64 * 1024 * 1024 });
        const names = stdout
          .toString('utf8')
          .split('\0')
          .filter((name) => name !== '');
        return names.length > mostChanges ? undefined : names;
      });
    } catch (error) {
      signal.throwIfAborted();
      // Force-pushed away and collected on the server: nobody can say what changed.
      if (
        error instanceof CheckoutError &&
        error.failure.kind === 'checkout-failed' &&
        !error.failure.transient
      )
        return undefined;
      throw error;
    }
  }

  /** Commits that `to` has and `from` has not, newest first, at most 100; without `from` only the newest. */
  since(from: CommitId | undefined, to: CommitId, signal: AbortSignal): Promise<readonly CommitSummary[]> {
    return this.#with([to, ...(from === undefined ? [] : [from])], signal, (git) =>
      listCommits(git, { to, max: from === undefined ? 1 : 100, ...(from === undefined ? {} : { from }) }),
    );
  }

  /** What `one` is to `other`. A commit that the remote does not have (any more) is `diverged` from all. Throws `CheckoutError`. */
  order(one: CommitId, other: CommitId, signal: AbortSignal): Promise<CommitOrder> {
    return this.#with([one, other], signal, (git) =>
      commitOrder(git, { one, other }, (look) =>
        // A fetch of the last commits would cut the history off again.
        this.#fetches.run(async () => {
          await this.#fetch([one, other], signal, wholeDepth);
          return look();
        }),
      ),
    );
  }

  /** Who made all that `to` has and `from` has not, however much that is; without `from` all that `to` has. Throws `CheckoutError`. */
  authors(from: CommitId | undefined, to: CommitId, signal: AbortSignal): Promise<CommitAuthors> {
    const commits = [to, ...(from === undefined ? [] : [from])];
    const range = { to, ...(from === undefined ? {} : { from }) };
    return this.#with(commits, signal, (git) =>
      listAuthors(git, range, (look) =>
        this.#fetches.run(async () => {
          await this.#fetch(commits, signal, wholeDepth);
          return look();
        }),
      ),
    );
  }

  async #with<T>(
    commits: readonly CommitId[],
    signal: AbortSignal,
    use: (git: LocalGit) => Promise<T>,
  ): Promise<T> {
    const attempt = (): Promise<T> =>
      this.#turns.read(async () => {
        await this.#obtain(commits, signal);
        // Contents of files are fetched here, when git finds that they are missing.
        return this.#remote(signal, (_repository, environment) =>
          use({ environment: { ...environment, GIT_DIR: this.#directory }, signal, idleMs }),
        );
      }, signal);
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      const cause = error instanceof Error ? error.cause : undefined;
      if (!looksDamaged(error) && !looksDamaged(cause)) throw error;
      await this.#turns.write(() => rm(this.#directory, { recursive: true, force: true }), signal);
      return attempt();
    }
  }

  /** Many who want commits at once wait for one fetch together. */
  async #obtain(commits: readonly CommitId[], signal: AbortSignal): Promise<void> {
    const missing: CommitId[] = [];
    for (const commit of commits) if (!(await this.#has(commit, signal))) missing.push(commit);
    if (missing.length === 0) return;
    for (const commit of missing) this.#wanted.add(commit);
    // One that has begun does not bring these.
    await this.#fetching?.catch(() => undefined);
    this.#fetching ??= this.#fetches
      .run(() => this.#fetchWanted(signal))
      .finally(() => {
        this.#fetching = undefined;
      });
    await this.#fetching.catch(() => undefined);
    signal.throwIfAborted();
    // A batch fails as a whole for one commit that is gone: then each is asked for alone, and says itself what is wrong.
    for (const commit of missing) {
      if (!(await this.#has(commit, signal))) await this.#fetches.run(() => this.#fetch([commit], signal));
    }
  }

  async #fetchWanted(signal: AbortSignal): Promise<void> {
    while (this.#wanted.size > 0) {
      const commits = [...this.#wanted].slice(0, fetchBatch);
      for (const commit of commits) this.#wanted.delete(commit);
      await this.#fetch(commits, signal);
    }
  }

  async #has(commit: CommitId, signal: AbortSignal): Promise<boolean> {
    if (!(await exists(path.join(this.#directory, 'HEAD')))) return false;
    try {
      return await gitAnswers({
        environment: this.#local,
        args: ['rev-parse', '--quiet', '--verify', '--end-of-options', `${commit}^{commit}`],
        signal,
      });
    } catch (error) {
      if (error instanceof GitError) return false;
      throw error;
    }
  }

  /** Nothing of the network: a question whether something is here must not fetch it. */
  get #local(): Readonly<Record<string, string>> {
    return { ...isolatedEnvironment(), GIT_DIR: this.#directory, GIT_NO_LAZY_FETCH: '1' };
  }

  #fetch(commits: readonly CommitId[], signal: AbortSignal, depth = usualDepth): Promise<void> {
    return this.#remote(signal, async (repository, environment) => {
      await this.#prepare(repository, commits[0]?.length ?? 40, signal);
      const fetch = (refspecs: readonly string[]): Promise<unknown> =>
        runGit({
          environment: { ...environment, GIT_DIR: this.#directory },
          signal,
          idleMs,
          args: [
            'fetch',
            '--quiet',
            '--no-tags',
            '--no-write-fetch-head',
            '--no-recurse-submodules',
            '--filter=blob:none',
            `--depth=${depth}`,
            '--end-of-options',
            'origin',
            ...refspecs,
          ],
        });
      try {
        // Held by refs, so that the next fetch does not ask for what is here.
        await fetch(commits.map((commit) => `${commit}:refs/kept/${commit}`));
      } catch (error) {
        signal.throwIfAborted();
        // A server that gives no commit by its name (old, or made strict) may have it on a branch.
        if (!(error instanceof GitError) || !/not our ref|unadvertised object/i.test(error.stderr))
          throw error;
        await fetch(['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*']).catch(() => {
          throw error; // the first answer says more
        });
      }
    });
  }

  async #prepare(repository: RepositoryUrl, commitLength: number, signal: AbortSignal): Promise<void> {
    const environment = this.#local;
    if (await exists(path.join(this.#directory, 'HEAD'))) {
      const counts = await gitText({ environment, args: ['count-objects', '-v'], signal });
      const kib = [...counts.matchAll(/^size(?:-pack)?: (\d+)$/gm)].reduce(
        (sum, [, n]) => sum + Number(n),
        0,
      );
      if (kib > maxCopyKib) await rm(this.#directory, { recursive: true, force: true });
    }
    if (!(await exists(path.join(this.#directory, 'HEAD')))) {
      await rm(this.#directory, { recursive: true, force: true });
      const origin = remoteOf(repository);
      await makeEmptyRepository(this.#directory, { bare: true, commitLength, origin });
    }
    const set = (key: string, value: string): Promise<unknown> =>
      runGit({ environment, args: ['config', key, value], signal });
    await set('remote.origin.url', remoteOf(repository));
    if (repository.transport === 'file') await set('remote.origin.uploadpack', uploadPack());
  }

  /** Throws `CheckoutError`, or the signal's reason. */
  async #remote<T>(
    signal: AbortSignal,
    use: (repository: RepositoryUrl, environment: Readonly<Record<string, string>>) => Promise<T>,
  ): Promise<T> {
    const { url, roots, credential } = this.#options;
    try {
      const repository = await checkRepositoryAllowed(url, roots);
      return await withGitAccess(accessOf(repository, await credential()), (environment) =>
        use(repository, environment),
      );
    } catch (error) {
      signal.throwIfAborted();
      throw checkoutError(error, { place: 'the coordinator', repository: url });
    }
  }
}

const remoteOf = (repository: RepositoryUrl): string =>
  repository.transport === 'file' ? fileUrl(repository.url) : repository.url;

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false, // whatever the reason, it cannot be used
  );

const accessOf = (repository: RepositoryUrl, credential: GitCredential | undefined): GitAccessRequest => ({
  repository,
  ...(credential === undefined ? {} : { credential }),
});
