/**
 * A project's repository as the gate needs it: a bare copy with whole history and contents, beside the partial one of
 * `project-repository.ts`, which cannot be merged in. It holds what was fetched and what was merged there:
 *
 *   refs/gate/targets/<target>      where the target was when it was looked at last
 *   refs/gate/entries/<commit>      what is to be merged
 *   refs/gate/candidates/<commit>   merged, and perhaps not pushed
 *
 * The copy may be deleted at any time: candidates are built again then. One command at a time works in it.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Limit } from '../../shared/async/limit.js';
import { looksDamaged } from '../../shared/git/checkout-failure.js';
import type { GitCredential } from '../../shared/git/credential.js';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';
import { withGitAccess } from '../../shared/git/git-access.js';
import { isolatedEnvironment } from '../../shared/git/git-environment.js';
import { GitError, gitAnswers, gitText, runGit, type GitOutput } from '../../shared/git/git-program.js';
import { checkRepositoryAllowed, type RepositoryUrl } from '../../shared/git/repository-url.js';
import { fileUrl, receivePack, uploadPack } from '../../shared/git/upload-pack.js';
import { parseCommitId, type CommitId, type ProjectId } from '../../shared/model/ids.js';
import type { LocalGit } from './commit-summary.js';

export interface GateMirrorOptions {
  readonly project: ProjectId;
  readonly url: string;
  /** Paths below which repositories of this machine may be read and pushed to. */
  readonly roots: readonly string[];
  readonly cacheDirectory: string;
  readonly credential: (use: 'fetch' | 'push') => Promise<GitCredential | undefined>;
  /** Variables for the hooks of a repository on this machine: they say that it is the gate that pushes. */
  readonly hookEnvironment: () => Promise<Readonly<Record<string, string>>>;
}

const idleMs = 120_000;
/** A lock that is older belongs to a git that was killed. */
const staleLockMs = 10_000;
/** Loose objects or packs beyond these are packed together. */
const mostLoose = 3_000;
const mostPacks = 40;

export class GateMirror {
  readonly directory: string;
  readonly #options: GateMirrorOptions;
  readonly #turn = new Limit(1);

  constructor(options: GateMirrorOptions) {
    this.#options = options;
    this.directory = path.join(options.cacheDirectory, 'gates', `${options.project}.git`);
  }

  get objects(): string {
    return path.join(this.directory, 'objects');
  }

  /** Work in the copy, alone. One that finds it damaged is done again in a new one. Rejects with git's error. */
  inTurn<T>(signal: AbortSignal, work: (git: LocalGit) => Promise<T>): Promise<T> {
    return this.#turn.run(async () => {
      const attempt = async (): Promise<T> => {
        await this.#prepare();
        return work({ environment: this.#local, signal, idleMs });
      };
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (!looksDamaged(error)) throw error;
        await rm(this.directory, { recursive: true, force: true });
        return attempt();
      }
    });
  }

  /** Within `inTurn`. */
  async has(commit: CommitId, signal: AbortSignal): Promise<boolean> {
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

  /** Where refs are on the remote: full name -> commit. */
  async remoteRefs(refs: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, CommitId>> {
    const { stdout } = await this.#remote('fetch', (repository, environment) =>
      runGit({
        environment,
        signal,
        idleMs,
        args: ['ls-remote', ...uploadOf(repository), '--end-of-options', remoteOf(repository), ...refs],
      }),
    );
    const found = new Map<string, CommitId>();
    for (const line of stdout.toString('utf8').split('\n')) {
      const [id = '', ref = ''] = line.split('\t');
      const commit = parseCommitId(id);
      if (commit !== undefined && ref !== '') found.set(ref, commit);
    }
    return found;
  }

  /** Within `inTurn`. */
  fetch(refspecs: readonly string[], signal: AbortSignal, flags: readonly string[] = []): Promise<GitOutput> {
    return this.#remote('fetch', (repository, environment) =>
      runGit({
        environment: { ...environment, GIT_DIR: this.directory },
        signal,
        idleMs,
        args: [
          'fetch',
          '--quiet',
          '--no-tags',
          '--no-write-fetch-head',
          '--no-recurse-submodules',
          ...flags,
          ...uploadOf(repository),
          '--end-of-options',
          remoteOf(repository),
          ...refspecs,
        ],
      }),
    );
  }

  /** Within `inTurn`. Never forces: each ref moves only if it is where `leases` says. */
  async push(
    refspecs: readonly string[],
    leases: ReadonlyMap<string, CommitId>,
    signal: AbortSignal,
  ): Promise<GitOutput> {
    const hook = await this.#options.hookEnvironment();
    return this.#remote('push', (repository, environment) =>
      runGit({
        environment: {
          ...environment,
          GIT_DIR: this.directory,
          ...(repository.transport === 'file' ? hook : {}),
        },
        signal,
        idleMs,
        args: [
          'push',
          '--no-verify',
          '--no-follow-tags',
          '--recurse-submodules=no',
          ...[...leases].map(([ref, old]) => `--force-with-lease=${ref}:${old}`),
          ...(repository.transport === 'file' ? [`--receive-pack=${receivePack()}`] : []),
          '--end-of-options',
          remoteOf(repository),
          ...refspecs,
        ],
      }),
    );
  }

  /** Within `inTurn`: lets go of what no entry holds any more, and packs what has become many. */
  async tidy(held: ReadonlySet<CommitId>, git: LocalGit): Promise<void> {
    const args = ['for-each-ref', '--format=%(refname)', 'refs/gate/entries', 'refs/gate/candidates'];
    const refs = (await gitText({ ...git, args })).split('\n').filter((ref) => ref !== '');
    const gone = refs.filter((ref) => {
      const commit = parseCommitId(ref.slice(ref.lastIndexOf('/') + 1));
      return commit === undefined || !held.has(commit);
    });
    if (gone.length > 0) {
      const input = Buffer.from(gone.map((ref) => `delete ${ref}\0\0`).join(''));
      await runGit({ ...git, args: ['update-ref', '-z', '--stdin'], input });
    }
    const counts = await gitText({ ...git, args: ['count-objects', '-v'] });
    const count = (key: string): number => Number(new RegExp(`^${key}: (\\d+)$`, 'm').exec(counts)?.[1] ?? 0);
    if (count('count') > mostLoose || count('packs') > mostPacks) {
      await runGit({ ...git, args: ['gc', '--quiet', '--prune=1.day.ago'], idleMs: 30 * 60_000 });
    }
  }

  get #local(): Readonly<Record<string, string>> {
    return { ...isolatedEnvironment(), GIT_DIR: this.directory };
  }

  async #prepare(): Promise<void> {
    const head = await stat(path.join(this.directory, 'HEAD')).catch(() => undefined); // whatever the reason, it is of no use
    if (head === undefined) {
      await rm(this.directory, { recursive: true, force: true });
      await makeEmptyRepository(this.directory, { bare: true, commitLength: 40 });
      return;
    }
    for (const name of await readdir(this.directory, { recursive: true })) {
      if (!name.endsWith('.lock') || name.startsWith('objects/')) continue;
      const lock = path.join(this.directory, name);
      const age = Date.now() - ((await stat(lock).catch(() => undefined))?.mtimeMs ?? Date.now()); // gone meanwhile
      if (age > staleLockMs) await rm(lock, { force: true });
    }
  }

  async #remote<T>(
    use: 'fetch' | 'push',
    work: (repository: RepositoryUrl, environment: Readonly<Record<string, string>>) => Promise<T>,
  ): Promise<T> {
    const { url, roots, credential } = this.#options;
    const repository = await checkRepositoryAllowed(url, roots);
    const proof = await credential(use);
    return withGitAccess(
      { repository, ...(proof === undefined ? {} : { credential: proof }) },
      (environment) => work(repository, environment),
    );
  }
}

const remoteOf = (repository: RepositoryUrl): string =>
  repository.transport === 'file' ? fileUrl(repository.url) : repository.url;

const uploadOf = (repository: RepositoryUrl): readonly string[] =>
  repository.transport === 'file' ? [`--upload-pack=${uploadPack()}`] : [];
