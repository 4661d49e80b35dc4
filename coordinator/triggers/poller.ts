/**
 * Asks the repositories of all projects for their refs, each in its own time:
 *
 *   every `pollMs` of the project, 10 s by default; a repository that answers slowly is asked less often, so that asking
 *   takes at most a tenth of the time; one that cannot be read is asked again with a growing pause, and the project
 *   says what is wrong meanwhile. One question for a project at a time, a few for all.
 *
 * What is seen is compared with what the state knows, and only what moved is reported.
 */
import { backoffMs } from '../../shared/async/backoff.js';
import { deferred, type Deferred } from '../../shared/async/deferred.js';
import { Limit } from '../../shared/async/limit.js';
import { sleep } from '../../shared/async/sleep.js';
import type { Logger } from '../../shared/log.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { MoveSource, RefMove, ReportedMove } from '../../shared/model/project.js';
import { reportedMove } from './push-identity.js';

export interface SeenRefs {
  readonly commits: ReadonlyMap<string, CommitId>;
  /** Full name of the branch that HEAD is. */
  readonly head?: string;
}

export interface PollerOptions {
  /** `pollMs` of every project, 0 where it is not polled. */
  readonly projects: () => Promise<ReadonlyMap<ProjectId, number>>;
  /** Throws `CheckoutError` when the repository cannot be read. */
  readonly refs: (project: ProjectId, signal: AbortSignal) => Promise<SeenRefs>;
  /** What of these refs is not known yet, and whether the head is; undefined: the project is gone. */
  readonly news: (project: ProjectId, seen: SeenRefs) => Promise<PollNews | undefined>;
  /** Durable when it resolves. Throws when it was refused: then nothing of it is known, and the project says so. */
  readonly report: (
    project: ProjectId,
    source: MoveSource,
    moves: readonly ReportedMove[],
    head: string | undefined,
  ) => Promise<readonly RunId[]>;
  readonly log: Logger;
}

export interface PollNews {
  readonly moves: readonly RefMove[];
  /** Refs were recorded before, and the head is as it was: without moves there is nothing to report. */
  readonly isSettled: boolean;
}

export interface PollOutcome {
  readonly moves: number;
  readonly runs: readonly RunId[];
}

const atOnce = 4;
const failedPoll = { firstMs: 5_000, maxMs: 5 * 60_000 };
/** What goes into one command: well below an entry's 512 KiB, also where somebody pushes names of a thousand characters. */
const batch = { moves: 500, bytes: 256 * 1024 };

interface Watched {
  /** Resolved to be asked before its time. */
  wake: Deferred<void>;
  polling: Promise<PollOutcome> | undefined;
  trouble: string | undefined;
}

export class Poller {
  readonly #options: PollerOptions;
  readonly #watched = new Map<ProjectId, Watched>();
  readonly #limit = new Limit(atOnce);
  readonly #closing = new AbortController();

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Begins with what there is; call again when projects were added, changed or removed. */
  async refresh(): Promise<void> {
    const projects = await this.#options.projects();
    for (const [project, watched] of this.#watched) {
      if (!projects.has(project)) this.#watched.delete(project);
      watched.wake.resolve();
    }
    for (const project of projects.keys()) {
      if (this.#watched.has(project) || this.#closing.signal.aborted) continue;
      const watched: Watched = { wake: deferred(), polling: undefined, trouble: undefined };
      this.#watched.set(project, watched);
      void this.#watch(project, watched);
    }
  }

  /** Asks now. One who asks while a poll is under way gets the answer of the next. */
  async pollNow(project: ProjectId): Promise<PollOutcome> {
    const watched = this.#watched.get(project);
    if (watched === undefined) {
      await this.refresh();
      const found = this.#watched.get(project);
      return found === undefined ? { moves: 0, runs: [] } : this.#poll(project, found);
    }
    await watched.polling?.catch(() => undefined);
    return this.#poll(project, watched);
  }

  /** Why the repository cannot be read now. */
  troubleOf(project: ProjectId): string | undefined {
    return this.#watched.get(project)?.trouble;
  }

  close(): void {
    this.#closing.abort(new Error('closed'));
    for (const watched of this.#watched.values()) watched.wake.resolve();
  }

  async #watch(project: ProjectId, watched: Watched): Promise<void> {
    const isWanted = (): boolean => !this.#closing.signal.aborted && this.#watched.get(project) === watched;
    for (let failures = 0; isWanted();) {
      const begun = performance.now();
      const everyMs = (await this.#options.projects().catch(() => undefined))?.get(project) ?? 0;
      if (everyMs > 0) {
        const failed = await this.#poll(project, watched).then(
          () => false,
          () => true, // it says so in `trouble`
        );
        failures = failed ? failures + 1 : 0;
      }
      const took = performance.now() - begun;
      const usualMs = Math.max(everyMs, 10 * took) - took;
      const pauseMs =
        everyMs === 0
          ? 60 * 60_000
          : failures > 0
            ? Math.max(usualMs, backoffMs(failedPoll, failures - 1, Math.random()))
            : usualMs;
      await this.#pause(watched, pauseMs);
    }
  }

  async #pause(watched: Watched, ms: number): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const over = new AbortController();
    await Promise.race([sleep(ms, over.signal), watched.wake.promise]).catch(() => undefined);
    over.abort();
    watched.wake = deferred();
  }

  #poll(project: ProjectId, watched: Watched): Promise<PollOutcome> {
    watched.polling ??= this.#limit
      .run(() => this.#ask(project))
      .then(
        (outcome) => {
          watched.trouble = undefined;
          return outcome;
        },
        (error: unknown) => {
          watched.trouble = error instanceof Error ? error.message : String(error);
          if (!this.#closing.signal.aborted)
            this.#options.log.warn(
              { project, err: error },
              'a repository cannot be read: asking again later',
            );
          throw error;
        },
      )
      .finally(() => {
        watched.polling = undefined;
      });
    return watched.polling;
  }

  async #ask(project: ProjectId): Promise<PollOutcome> {
    const { refs, news, report } = this.#options;
    const seen = await refs(project, this.#closing.signal);
    const found = await news(project, seen);
    if (found === undefined || (found.moves.length === 0 && found.isSettled)) return { moves: 0, runs: [] };
    const head = seen.head?.replace(/^refs\/heads\//, '');
    const runs: RunId[] = [];
    const batches = inBatches(found.moves.map((move) => reportedMove(project, move)));
    for (const [index, moves] of batches.entries()) {
      const source: MoveSource =
        index + 1 < batches.length ? { kind: 'poll', partial: true } : { kind: 'poll' };
      runs.push(...(await report(project, source, moves, head)));
    }
    return { moves: found.moves.length, runs };
  }
}

/** At least one, and an empty one where nothing moved: that is to be recorded too. */
function inBatches(moves: readonly ReportedMove[]): readonly (readonly ReportedMove[])[] {
  let last: ReportedMove[] = [];
  const batches = [last];
  let bytes = 0;
  for (const move of moves) {
    const more = Buffer.byteLength(JSON.stringify(move));
    if (last.length > 0 && (last.length >= batch.moves || bytes + more > batch.bytes)) {
      last = [];
      batches.push(last);
      bytes = 0;
    }
    last.push(move);
    bytes += more;
  }
  return batches;
}
