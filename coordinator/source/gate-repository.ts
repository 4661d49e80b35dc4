/**
 * What the gate does with a project's repository: merge in a copy of its own, push one commit to one ref, look where a ref
 * is. Every method says what came of it and rejects only with the signal's reason.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkoutError } from '../../shared/git/checkout-failure.js';
import { GitError, gitText, runGit } from '../../shared/git/git-program.js';
import { submittedRef } from '../../shared/git/refs.js';
import type { CommitId } from '../../shared/model/ids.js';
import { bundleCommit, type CommitBundle } from './bundle-commit.js';
import { describeCommit, type LocalGit } from './commit-summary.js';
import { committedText } from './committed-text.js';
import { isAncestor, makeGateCommit, type MergeOrder } from './gate-commit.js';
import { GateMirror, type GateMirrorOptions } from './gate-mirror.js';
import type { ReadCommit } from './project-repository.js';
import { readPush, serverWords, type PushOutcome } from './push-answer.js';

export type Unreachable =
  /** The server does not let us in, or the repository is not there. */
  | { readonly kind: 'refused-credentials'; readonly message: string }
  /** It may work later. */
  | { readonly kind: 'unavailable'; readonly message: string };

export type MergeOutcome =
  | { readonly kind: 'merged'; readonly commit: CommitId; readonly bundle: CommitBundle }
  | { readonly kind: 'conflict'; readonly files: readonly string[] }
  | { readonly kind: 'contained' }
  | { readonly kind: 'commit-missing'; readonly message: string }
  | { readonly kind: 'base-missing' }
  | Unreachable;

export type Sighting =
  | {
      readonly kind: 'seen';
      readonly tip: CommitId;
      /** The tip contains `known`; true when none was asked about. */
      readonly isForward: boolean;
      /** The tip contains `candidate`; false when none was asked about. */
      readonly containsCandidate: boolean;
      /** Committers of what is new since `known`, or since the candidate where it is contained; at most ten. */
      readonly by: readonly string[];
    }
  | { readonly kind: 'deleted' }
  | Unreachable;

const mostCommitters = 10;

export class GateRepository {
  readonly #mirror: GateMirror;
  readonly #url: string;

  constructor(options: GateMirrorOptions) {
    this.#mirror = new GateMirror(options);
    this.#url = options.url;
  }

  /** `store` puts the bundle's file where agents get it; what it rejects with makes the outcome `unavailable`. */
  merge(
    order: MergeOrder,
    how: {
      /** Of all entries and candidates of the project: what else is in the copy may go. */
      readonly held: ReadonlySet<CommitId>;
      readonly store: (file: string, bundle: CommitBundle) => Promise<void>;
      readonly signal: AbortSignal;
    },
  ): Promise<MergeOutcome> {
    const { base, commit, target } = order;
    const { held, store, signal } = how;
    return this.#outcome(signal, () =>
      this.#mirror.inTurn(signal, async (git): Promise<MergeOutcome> => {
        await this.#mirror.tidy(new Set([...held, base, commit]), git);
        if (!(await this.#mirror.has(base, signal))) {
          await this.#mirror.fetch([targetRefspec(target), tagsRefspec], signal);
          if (!(await this.#mirror.has(base, signal))) return { kind: 'base-missing' };
        }
        const missing = await this.#obtain(commit, signal);
        if (missing !== undefined) return { kind: 'commit-missing', message: missing };
        const merged = await makeGateCommit(git, order);
        if (merged.kind !== 'merged') return merged;
        await gitText({
          ...git,
          args: ['update-ref', `refs/gate/candidates/${merged.commit}`, merged.commit],
        });
        const bundle = await this.#bundle(merged.commit, store, signal);
        return { kind: 'merged', commit: merged.commit, bundle };
      }),
    );
  }

  /** A candidate that was merged here; undefined: it is lost. Rejects with `CheckoutError` where it cannot be read. */
  read(commit: CommitId, signal: AbortSignal): Promise<ReadCommit | undefined> {
    return this.#mirror.inTurn(signal, async (git) => {
      if (!(await this.#mirror.has(commit, signal))) return undefined;
      const described = await describeCommit(git, commit);
      return { ...described, text: await committedText(git, { commit, file: '.gantry.yml' }) };
    });
  }

  /**
   * Brings a candidate back that was merged in another copy: `download` writes its bundle to a file. Its history beyond the
   * bundle is that of the target and the entry. Rejects when it cannot be had.
   */
  restore(
    candidate: { readonly commit: CommitId; readonly target: string; readonly entry: CommitId },
    download: (file: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { commit, target, entry } = candidate;
    return this.#mirror.inTurn(signal, async (git) => {
      await this.#mirror.fetch([targetRefspec(target), tagsRefspec], signal);
      await this.#obtain(entry, signal);
      await inTemporaryDirectory(async (directory) => {
        const file = path.join(directory, 'candidate.bundle');
        await download(file);
        await runGit({
          ...git,
          // A bundle is a remote of the kind `file`.
          environment: { ...git.environment, GIT_ALLOW_PROTOCOL: 'file' },
          args: [
            'fetch',
            '--quiet',
            '--no-tags',
            '--no-write-fetch-head',
            file,
            `${submittedRef}:refs/gate/candidates/${commit}`,
          ],
        });
      });
    });
  }

  /** Paths that differ between two commits that are here. */
  changed(from: CommitId, to: CommitId, signal: AbortSignal): Promise<readonly string[] | undefined> {
    return this.#mirror.inTurn(signal, async (git) => {
      if (!(await this.#mirror.has(from, signal)) || !(await this.#mirror.has(to, signal))) return undefined;
      const args = ['diff-tree', '-r', '-z', '--name-only', '--no-renames', '--end-of-options', from, to];
      const text = await gitText({ ...git, args, maxStdoutBytes: 64 * 1024 * 1024 });
      return text.split('\0').filter((name) => name !== '');
    });
  }

  /** `isWanted` is asked right before the push: undefined, and nothing is pushed, when it is not. */
  land(
    push: { readonly target: string; readonly commit: CommitId; readonly expected: CommitId },
    isWanted: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<PushOutcome | { readonly kind: 'candidate-lost' } | undefined> {
    const { target, commit, expected } = push;
    const ref = `refs/heads/${target}`;
    return this.#mirror.inTurn(signal, async () => {
      if (!(await this.#mirror.has(commit, signal))) return { kind: 'candidate-lost' };
      if (!(await isWanted())) return undefined;
      return this.#push([`${commit}:${ref}`], new Map([[ref, expected]]), signal);
    });
  }

  /** `moved`: it was not there any more, which is as good. */
  deleteRef(ref: string, old: CommitId, signal: AbortSignal): Promise<PushOutcome> {
    return this.#mirror.inTurn(signal, async () => {
      const outcome = await this.#push([`:${ref}`], new Map([[ref, old]]), signal);
      const isGone = outcome.kind === 'unknown' && /remote ref does not exist/.test(outcome.message);
      return isGone ? { kind: 'moved' } : outcome;
    });
  }

  look(
    at: { readonly target: string; readonly known?: CommitId; readonly candidate?: CommitId },
    signal: AbortSignal,
  ): Promise<Sighting> {
    const { target, known, candidate } = at;
    return this.#outcome(signal, () =>
      this.#mirror.inTurn(signal, async (git): Promise<Sighting> => {
        const ref = `refs/heads/${target}`;
        const tip = (await this.#mirror.remoteRefs([ref], signal)).get(ref);
        if (tip === undefined) return { kind: 'deleted' };
        if (!(await this.#mirror.has(tip, signal))) {
          await this.#mirror.fetch([targetRefspec(target), tagsRefspec], signal);
          // It moved between the question and the fetch.
          if (!(await this.#mirror.has(tip, signal))) {
            return { kind: 'unavailable', message: `${target} moves while it is being looked at` };
          }
        }
        // What is not here after all of the tip's history was fetched is not part of it.
        const contains = async (commit: CommitId): Promise<boolean> =>
          (await this.#mirror.has(commit, signal)) && (await isAncestor(git, commit, tip));
        const isForward = known === undefined || (await contains(known));
        const containsCandidate = candidate !== undefined && (await contains(candidate));
        const since = containsCandidate ? candidate : isForward ? known : undefined;
        const by = since === undefined ? [] : await committers(git, since, tip);
        return { kind: 'seen', tip, isForward, containsCandidate, by };
      }),
    );
  }

  /** How a ref that was at `from` came to `to`. `forced` also where one of them cannot be had any more. */
  compare(from: CommitId, to: CommitId, signal: AbortSignal): Promise<'forward' | 'forced' | Unreachable> {
    return this.#outcome(signal, () =>
      this.#mirror.inTurn(signal, async (git): Promise<'forward' | 'forced'> => {
        const missing = await this.#obtain(to, signal);
        if (missing !== undefined || !(await this.#mirror.has(from, signal))) return 'forced';
        return (await isAncestor(git, from, to)) ? 'forward' : 'forced';
      }),
    );
  }

  /** Of a commit on the remote. */
  describe(
    commit: CommitId,
    signal: AbortSignal,
  ): Promise<
    | { readonly kind: 'commit'; readonly title: string; readonly author: string }
    | { readonly kind: 'commit-missing'; readonly message: string }
    | Unreachable
  > {
    return this.#outcome(signal, () =>
      this.#mirror.inTurn(signal, async (git) => {
        const missing = await this.#obtain(commit, signal);
        if (missing !== undefined) return { kind: 'commit-missing' as const, message: missing };
        const { title, authorName, authorMail } = await describeCommit(git, commit);
        return { kind: 'commit' as const, title, author: `${authorName} <${authorMail}>` };
      }),
    );
  }

  /** Where refs are now. */
  async refs(
    patterns: readonly string[],
    signal: AbortSignal,
  ): Promise<{ readonly kind: 'refs'; readonly refs: ReadonlyMap<string, CommitId> } | Unreachable> {
    return this.#outcome(signal, async () => ({
      kind: 'refs' as const,
      refs: await this.#mirror.remoteRefs(patterns, signal),
    }));
  }

  async #push(
    refspecs: readonly string[],
    leases: ReadonlyMap<string, CommitId>,
    signal: AbortSignal,
  ): Promise<PushOutcome> {
    try {
      await this.#mirror.push(refspecs, leases, signal);
      return { kind: 'pushed' };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GitError && error.failure.kind === 'exit') return readPush(error.stderr);
      if (error instanceof GitError) return { kind: 'unknown', message: serverWords(error.stderr) };
      // Before git began: credentials that do not fit, a path that is not allowed.
      return { kind: 'refused-credentials', message: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Undefined: the commit is here, with its history. Else why not. */
  async #obtain(commit: CommitId, signal: AbortSignal): Promise<string | undefined> {
    if (await this.#mirror.has(commit, signal)) return undefined;
    try {
      await this.#mirror.fetch([`${commit}:refs/gate/entries/${commit}`, tagsRefspec], signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof GitError) || !/not our ref|unadvertised object/i.test(error.stderr)) throw error;
      // A server that gives no commit by its name may have it on a ref.
      await this.#mirror.fetch(['+refs/heads/*:refs/gate/heads/*', '+refs/for/*:refs/gate/for/*'], signal, [
        '--prune',
      ]);
      return (await this.#mirror.has(commit, signal))
        ? undefined
        : `${this.#url} does not have ${commit} any more`;
    }
  }

  async #bundle(
    commit: CommitId,
    store: (file: string, bundle: CommitBundle) => Promise<void>,
    signal: AbortSignal,
  ): Promise<CommitBundle> {
    return inTemporaryDirectory(async (directory) => {
      const file = path.join(directory, 'candidate.bundle');
      const bundle = await bundleCommit({ objects: this.#mirror.objects, commit }, file, signal);
      await store(file, bundle);
      return bundle;
    });
  }

  async #outcome<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T | Unreachable> {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const { message, failure } = checkoutError(error, { place: 'the coordinator', repository: this.#url });
      const isFinal = failure.kind === 'checkout-failed' && !failure.transient;
      return { kind: isFinal ? 'refused-credentials' : 'unavailable', message };
    }
  }
}

async function inTemporaryDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(path.join(tmpdir(), 'gantry-gate-'));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const tagsRefspec = '+refs/tags/*:refs/tags/*';
/** One level deep, so that a target `release` and a later `release/1` do not need the same path. */
const targetRefspec = (target: string): string =>
  `+refs/heads/${target}:refs/gate/targets/${encodeURIComponent(target)}`;

async function committers(git: LocalGit, from: CommitId, to: CommitId): Promise<readonly string[]> {
  if (from === to) return [];
  const args = [
    'log',
    '--encoding=UTF-8',
    '--max-count=500',
    '--format=%cn <%ce>',
    '--end-of-options',
    to,
    `^${from}`,
  ];
  const names = (await gitText({ ...git, args })).split('\n').filter((name) => name !== '');
  return [...new Set(names)].slice(0, mostCommitters);
}
