import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { checkoutError, looksDamaged } from '../../shared/git/checkout-failure.js';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';
import { checkRepositoryAllowed, projectOf, type RepositoryUrl } from '../../shared/git/repository-url.js';
import { Turns } from '../../shared/git/turns.js';
import { parseProjectId, type ProjectId } from '../../shared/model/ids.js';
import { fetchCommit, holdsCommit, isUntidy, tidyMirror } from './git-fetch-commit.js';
import { removeStaleFiles } from './git-stale-files.js';
import type { CommitRequest, Mirror, MirroredCommit } from './mirror.js';

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

/** One project's bare repository. */
class Copy {
  /**
   * Fetching and reading go on side by side, as git allows: a remote that hangs must not keep stages from commits that are
   * here. Only removing and repacking are for one alone.
   */
  readonly use = new Turns();
  /** Whoever fetches; one at a time. */
  readonly fetch = new Turns();
  /** What a killed predecessor left was removed. */
  cleaned = false;
  /** ms since 1970; undefined before it is there. */
  usedAt: number | undefined;
  /** How many are on their way to it, also between two turns. */
  wanted = 0;

  constructor(
    readonly project: ProjectId,
    readonly directory: string,
  ) {}

  get idle(): boolean {
    return this.wanted === 0 && this.use.idle && this.fetch.idle;
  }
}

/** Mirrors as bare repositories, by the git program. One process uses a directory. */
export class GitMirror implements Mirror {
  readonly #copies = new Map<ProjectId, Copy>();

  private constructor(private readonly options: GitMirrorOptions) {}

  /** Finds the mirrors that are there; removes those whose first fetch was not finished. */
  static async open(options: GitMirrorOptions): Promise<GitMirror> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const mirror = new GitMirror(options);
    for (const entry of await readdir(options.directory)) {
      const directory = path.join(options.directory, entry);
      const project = entry.endsWith('.git') ? parseProjectId(entry.slice(0, -4)) : undefined;
      if (project === undefined) await options.discard(directory);
      else mirror.#copyOf(project).usedAt = (await stat(directory)).mtimeMs;
    }
    return mirror;
  }

  projects(): readonly ProjectId[] {
    return this.#byAge().map(({ project }) => project);
  }

  async withCommit<T>(request: CommitRequest, use: (mirrored: MirroredCommit) => Promise<T>): Promise<T> {
    const { copy, repository } = await this.#locate(request);
    const attempt = async (): Promise<T> => {
      await this.#obtain(copy, repository, request);
      return copy.use.read(() => use({ directory: copy.directory }), request.signal);
    };
    copy.wanted += 1;
    try {
      return await attempt();
    } catch (error) {
      request.signal.throwIfAborted();
      const damaged = looksDamaged(error) || (error instanceof Error && looksDamaged(error.cause));
      // Gone: somebody else, who saw the damage too, has just removed it.
      if (!damaged && (await exists(copy.directory))) throw error;
      if (damaged) await this.#remove(copy, request.signal);
      return await attempt();
    } finally {
      copy.wanted -= 1;
    }
  }

  async evictOldest(): Promise<boolean> {
    const oldest = this.#byAge().findLast((copy) => copy.idle);
    if (oldest === undefined) return false;
    await this.#remove(oldest);
    return true;
  }

  async #locate(request: CommitRequest): Promise<{ copy: Copy; repository: RepositoryUrl }> {
    try {
      const repository = await checkRepositoryAllowed(request.url, this.options.roots);
      return { copy: this.#copyOf(projectOf(repository.name).id), repository };
    } catch (error) {
      throw checkoutError(error, { place: this.options.place, repository: request.url });
    }
  }

  #copyOf(project: ProjectId): Copy {
    const known = this.#copies.get(project);
    if (known !== undefined) return known;
    const copy = new Copy(project, path.join(this.options.directory, `${project}.git`));
    this.#copies.set(project, copy);
    return copy;
  }

  /** The most recently used first. */
  #byAge(): readonly Copy[] {
    const there = [...this.#copies.values()].filter((copy) => copy.usedAt !== undefined);
    return there.sort((a, b) => (b.usedAt ?? 0) - (a.usedAt ?? 0));
  }

  /** Sees to it that the commit is there. */
  async #obtain(copy: Copy, repository: RepositoryUrl, request: CommitRequest): Promise<void> {
    try {
      if (!(await this.#holds(copy, request))) {
        await copy.fetch.write(async () => {
          // Whoever had the turn before may have brought it.
          if (!(await this.#holds(copy, request))) await this.#fetchOrRenew(copy, repository, request);
        }, request.signal);
      }
      const now = new Date();
      await utimes(copy.directory, now, now);
      copy.usedAt = now.getTime();
    } catch (error) {
      request.signal.throwIfAborted();
      throw checkoutError(error, {
        place: this.options.place,
        repository: request.url,
        revision: `commit ${request.commit}`,
      });
    }
  }

  #holds(copy: Copy, request: CommitRequest): Promise<boolean> {
    return copy.use.read(
      async () => (await exists(copy.directory)) && holdsCommit(copy.directory, request),
      request.signal,
    );
  }

  async #fetchOrRenew(copy: Copy, repository: RepositoryUrl, request: CommitRequest): Promise<void> {
    const existed = await exists(copy.directory);
    const fetch = (): Promise<void> =>
      copy.use.read(async () => {
        await prepare(copy, request);
        await fetchCommit(copy.directory, repository, request);
      }, request.signal);
    try {
      await fetch();
    } catch (error) {
      request.signal.throwIfAborted();
      if (!existed || !looksDamaged(error)) throw error;
      await this.#remove(copy, request.signal);
      await fetch();
    }
    // Waiting for readers would hold up those that come; the next fetch finds the same to do.
    const quiet = (): boolean => copy.use.idle;
    if (quiet() && (await isUntidy(copy.directory, request)) && quiet()) {
      await copy.use.write(() => tidyMirror(copy.directory, request), request.signal);
    }
  }

  async #remove(copy: Copy, signal?: AbortSignal): Promise<void> {
    await copy.use.write(async () => {
      copy.usedAt = undefined;
      copy.cleaned = false;
      await this.options.discard(copy.directory);
    }, signal);
  }
}

/** Makes the repository if there is none or only a broken one, and cleans up after a killed predecessor. */
async function prepare(copy: Copy, request: CommitRequest): Promise<void> {
  if (await exists(path.join(copy.directory, 'HEAD'))) {
    if (!copy.cleaned) await removeStaleFiles(copy.directory);
  } else {
    const fresh = `${copy.directory}.new`;
    await rm(copy.directory, { recursive: true, force: true });
    await rm(fresh, { recursive: true, force: true });
    await makeEmptyRepository(fresh, { bare: true, commitLength: request.commit.length });
    await rename(fresh, copy.directory);
  }
  copy.cleaned = true;
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false, // whatever the reason, it cannot be used
  );
