import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { checkoutError, looksDamaged } from '../../shared/git/checkout-failure.js';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';
import { isolatedEnvironment, type Transport } from '../../shared/git/git-environment.js';
import { gitAnswers, gitText, runGit, GitError, type GitCommand } from '../../shared/git/git-program.js';
import { isRefName } from '../../shared/git/refs.js';
import { checkRepositoryAllowed, projectOf, type RepositoryUrl } from '../../shared/git/repository-url.js';
import { parseProjectId, type CommitId, type ProjectId } from '../../shared/model/ids.js';
import type { CommitRequest, Mirror, MirroredCommit } from './mirror.js';
import { fileUrl, uploadPack } from '../../shared/git/upload-pack.js';
import { removeStaleFiles } from './git-stale-files.js';
import { Turns } from '../../shared/git/turns.js';

export interface GitMirrorOptions {
  /** Holds one bare repository per project. */
  readonly directory: string;
  /** Paths below which repositories of this machine may be read. */
  readonly roots: readonly string[];
  /** Who works here, for messages: `agent build-7`. */
  readonly place: string;
  /** Takes a directory out of the way to be deleted later. */
  readonly discard: (directory: string) => Promise<void>;
}

/** Silence of a remote for so long ends a fetch: a big repository may be counted for minutes without a word. */
const idleMs = 10 * 60_000;
/** Each fetch leaves a pack; from so many on they are rolled into fewer, or every lookup searches them all. */
const maxPacks = 40;
/** Commits that a mirror keeps although no branch or tag may have them any more. */
const maxHeld = 5000;

/** Mirrors as bare repositories, by the git program. One process uses a directory. */
export class GitMirror implements Mirror {
  readonly #turns = new Map<ProjectId, Turns>();
  /** Mirrors whose leftovers of a killed predecessor were removed. */
  readonly #cleaned = new Set<ProjectId>();
  /** Time of last use, ms since 1970. */
  readonly #used = new Map<ProjectId, number>();

  private constructor(private readonly options: GitMirrorOptions) {}

  /** Finds the mirrors that are there; removes those whose first fetch was not finished. */
  static async open(options: GitMirrorOptions): Promise<GitMirror> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const mirror = new GitMirror(options);
    for (const entry of await readdir(options.directory)) {
      const directory = path.join(options.directory, entry);
      const project = entry.endsWith('.git') ? parseProjectId(entry.slice(0, -4)) : undefined;
      if (project === undefined) await options.discard(directory);
      else mirror.#used.set(project, (await stat(directory)).mtimeMs);
    }
    return mirror;
  }

  projects(): readonly ProjectId[] {
    return [...this.#used].sort(([, a], [, b]) => b - a).map(([project]) => project);
  }

  async withCommit<T>(request: CommitRequest, use: (mirrored: MirroredCommit) => Promise<T>): Promise<T> {
    const { project, repository } = await this.#locate(request);
    const turns = this.#turnsOf(project);
    const attempt = async (): Promise<T> => {
      const mirrored = await this.#obtain(project, repository, request);
      return turns.read(() => use(mirrored), request.signal);
    };
    try {
      return await attempt();
    } catch (error) {
      request.signal.throwIfAborted();
      if (!looksDamaged(error) && !(error instanceof Error && looksDamaged(error.cause))) throw error;
      await turns.write(() => this.#remove(project), request.signal);
      return attempt();
    }
  }

  async evictOldest(): Promise<boolean> {
    for (const project of [...this.projects()].reverse()) {
      const turns = this.#turnsOf(project);
      if (!turns.idle) continue;
      await turns.write(() => this.#remove(project));
      return true;
    }
    return false;
  }

  async #locate(request: CommitRequest): Promise<{ project: ProjectId; repository: RepositoryUrl }> {
    try {
      const repository = await checkRepositoryAllowed(request.url, this.options.roots);
      return { project: projectOf(repository.name).id, repository };
    } catch (error) {
      throw checkoutError(error, { place: this.options.place, repository: request.url });
    }
  }

  #turnsOf(project: ProjectId): Turns {
    const known = this.#turns.get(project);
    if (known !== undefined) return known;
    const turns = new Turns();
    this.#turns.set(project, turns);
    return turns;
  }

  async #obtain(
    project: ProjectId,
    repository: RepositoryUrl,
    request: CommitRequest,
  ): Promise<MirroredCommit> {
    const directory = this.#directoryOf(project);
    const turns = this.#turnsOf(project);
    const now = new Date();
    try {
      const there = await turns.read(() => this.#holds(directory, request), request.signal);
      if (!there) {
        await turns.write(async () => {
          // Whoever had the turn before may have brought it.
          if (this.#cleaned.has(project) && (await this.#holds(directory, request))) return;
          await this.#fetchOrRenew(project, repository, request);
        }, request.signal);
      }
      await utimes(directory, now, now);
      this.#used.set(project, now.getTime());
      return { directory };
    } catch (error) {
      request.signal.throwIfAborted();
      throw checkoutError(error, {
        place: this.options.place,
        repository: request.url,
        revision: `commit ${request.commit}`,
      });
    }
  }

  async #fetchOrRenew(project: ProjectId, repository: RepositoryUrl, request: CommitRequest): Promise<void> {
    const directory = this.#directoryOf(project);
    const existed = await this.#prepare(project, directory, request);
    try {
      await this.#fetch(directory, repository, request);
    } catch (error) {
      request.signal.throwIfAborted();
      if (!existed || !looksDamaged(error)) throw error;
      await this.#remove(project);
      await this.#prepare(project, directory, request);
      await this.#fetch(directory, repository, request);
    }
  }

  /** Makes the repository if there is none; tells whether there was one. */
  async #prepare(project: ProjectId, directory: string, request: CommitRequest): Promise<boolean> {
    const exists = await stat(path.join(directory, 'HEAD')).then(
      () => true,
      () => false, // not there: it is made below
    );
    if (exists) {
      if (!this.#cleaned.has(project)) await removeStaleFiles(directory);
    } else {
      await rm(directory, { recursive: true, force: true });
      const fresh = `${directory}.new`;
      await rm(fresh, { recursive: true, force: true });
      await makeEmptyRepository(fresh, { bare: true, commitLength: request.commit.length });
      await rename(fresh, directory);
    }
    this.#cleaned.add(project);
    return exists;
  }

  /** Whether the commit is there by a ref of ours, so that its whole history is too. */
  async #holds(directory: string, request: CommitRequest): Promise<boolean> {
    const there = await stat(directory).then(
      () => true,
      () => false, // no mirror yet
    );
    return (
      there &&
      (await gitAnswers({
        ...this.#git(directory, request, 'none'),
        args: ['rev-parse', '--quiet', '--verify', `${heldRef(request.commit)}^{commit}`],
      }))
    );
  }

  async #fetch(directory: string, repository: RepositoryUrl, request: CommitRequest): Promise<void> {
    const git = this.#git(directory, request, repository.transport);
    const remote = repository.transport === 'file' ? fileUrl(repository.url) : repository.url;
    const fetch = (...refspecs: string[]): Promise<unknown> =>
      runGit({
        ...git,
        idleMs,
        args: [
          'fetch',
          '--progress',
          '--no-write-fetch-head',
          '--no-auto-maintenance',
          '--no-recurse-submodules',
          ...(repository.transport === 'file' ? ['--upload-pack', uploadPack()] : []),
          ...(refspecs[0] === 'all' ? ['--prune', '--tags'] : []),
          '--end-of-options',
          remote,
          ...(refspecs[0] === 'all' ? ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*'] : refspecs),
        ],
      });
    const arrived = (): Promise<boolean> =>
      gitAnswers({ ...git, args: ['cat-file', '-e', `${request.commit}^{commit}`] }).catch(
        (error: unknown) => {
          if (error instanceof GitError && error.failure.kind === 'exit') return false; // 128: no such object
          throw error;
        },
      );

    // The one branch first: a repository of thousands of branches need not arrive whole for one commit. What does not
    // work (the branch is gone, `a` became `a/b`, the commit is not on it) is answered by all branches and tags.
    if (request.ref !== undefined && isRefName(request.ref)) {
      try {
        await fetch(`+${request.ref}:${request.ref}`);
      } catch (error) {
        request.signal.throwIfAborted();
        if (!isAboutRefs(error)) throw error;
      }
    }
    if (!(await arrived())) await fetch('all');
    // Not on any branch or tag (of a change, or before a forced push): servers give it by its name if they have it.
    if (!(await arrived())) await fetch(request.commit);
    await runGit({ ...git, args: ['update-ref', heldRef(request.commit), request.commit] });
    await this.#maintain(git);
  }

  async #maintain(git: Omit<GitCommand, 'args'>): Promise<void> {
    const counts = await gitText({ ...git, args: ['count-objects', '-v'] });
    const packs = Number(/^packs: (\d+)$/m.exec(counts)?.[1] ?? 0);
    const loose = Number(/^count: (\d+)$/m.exec(counts)?.[1] ?? 0);
    if (packs <= maxPacks && loose <= 5000) return;
    await runGit({ ...git, args: ['repack', '--quiet', '-d', '-l', '--geometric=2'] });
    await this.#forgetOldCommits(git);
    await runGit({ ...git, args: ['pack-refs', '--all'] });
  }

  /** The names that hold commits would be more each day. What is no longer held is fetched again, should it be asked for. */
  async #forgetOldCommits(git: Omit<GitCommand, 'args'>): Promise<void> {
    const names = await gitText({
      ...git,
      args: ['for-each-ref', '--sort=-creatordate', '--format=%(refname)', heldRefs],
    });
    const old = names.split('\n').slice(maxHeld);
    if (old.length === 0) return;
    const input = Buffer.from(old.map((name) => `delete ${name}\n`).join(''));
    await runGit({ ...git, args: ['update-ref', '--stdin'], input });
  }

  #git(directory: string, request: CommitRequest, transport: Transport): Omit<GitCommand, 'args'> {
    return {
      environment: { ...isolatedEnvironment({ transport }), GIT_DIR: directory },
      cwd: directory,
      signal: request.signal,
      ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
    };
  }

  #directoryOf(project: ProjectId): string {
    return path.join(this.options.directory, `${project}.git`);
  }

  async #remove(project: ProjectId): Promise<void> {
    this.#used.delete(project);
    this.#cleaned.delete(project);
    await this.options.discard(this.#directoryOf(project));
  }
}

const heldRefs = 'refs/gantry/commits/';
const heldRef = (commit: CommitId): string => `${heldRefs}${commit}`;

/** An answer about the ref, not about the server or the disk. */
const isAboutRefs = (error: unknown): boolean =>
  error instanceof GitError &&
  /couldn't find remote ref|cannot lock ref|refusing to|some local refs could not be updated|unable to update local ref/i.test(
    error.stderr,
  );
