/**
 * Tells people about a run that has ended, until each target has heard of it or never will.
 *
 *   Notify ─► gather the story ─► whom ─► each target by itself ─► NotificationsSettled
 *                                          │  ┌──────────────── back-off ◄─┐
 *                                          ▼  ▼                            │ failed
 *                                        attempt ──► delivered, refused ───┴─► NotificationSent
 *
 * A target is done when `NotificationSent` is durable, and is then never told again. A crash between the receiver's "yes" and
 * the journal makes it hear twice: with the same id, see `delivery-id.ts`. Nothing here holds up a run or the loop.
 */
import { backoffMs, type Backoff } from '../../shared/async/backoff.js';
import { forMany } from '../../shared/async/for-many.js';
import { sleep } from '../../shared/async/sleep.js';
import type { RunId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { Logger } from '../../shared/log.js';
import { NotLeading, type Coordinator } from '../coordinator.js';
import type { OutboxState } from '../scheduler/project-state.js';
import { maxCommits, type CommitLine, type Commits } from './commits.js';
import type { Outcome } from './deliverer.js';
import type { EndedRun, EndedRuns } from './ended-runs.js';
import { gatherStory } from './gather-story.js';
import type { People } from './people.js';
import { recipientsOf, type Recipients } from './recipients.js';
import type { Sender } from './sender.js';
import type { Story } from './story.js';
import { targetKey, type Target } from './target.js';

export interface NotifierPolicy {
  readonly backoff: Backoff;
  /** After the run's end. */
  readonly giveUpAfterMs: number;
  /** How long `close` waits for deliveries that are under way. */
  readonly closeGraceMs: number;
}

export const usualPolicy: NotifierPolicy = {
  backoff: { firstMs: 2_000, maxMs: 10 * 60_000 },
  giveUpAfterMs: 24 * 60 * 60_000,
  closeGraceMs: 3_000,
};

export interface NotifierOptions {
  readonly coordinator: () => Pick<Coordinator, 'perform' | 'read'>;
  readonly runs: EndedRuns;
  readonly commits: Commits;
  /** As far as they may see the project. */
  readonly people: (project: Project) => People;
  readonly sender: Sender;
  readonly policy: NotifierPolicy;
  readonly log: Logger;
  readonly wallMs: () => number;
}

interface Waiting extends Omit<OutboxState, 'project' | 'settled'> {
  /** Undefined: it was removed meanwhile. */
  readonly project: Project | undefined;
  readonly settled: ReadonlySet<string>;
}

/** A repository that is away does not hold up the news: then the author of the run's commit is told. */
const commitsTries = 3;
const commitsTimeoutMs = 30_000;

export class Notifier {
  readonly #options: NotifierOptions;
  readonly #telling = new Map<RunId, Promise<void>>();
  /** Begin no attempt any more. */
  readonly #closing = new AbortController();
  /** End those that are under way. */
  readonly #ending = new AbortController();

  constructor(options: NotifierOptions) {
    this.#options = options;
    for (const { signal } of [this.#closing, this.#ending]) forMany(signal);
  }

  /** The effect `Notify`. Returns at once; asking again for a run that is under way changes nothing. */
  notify(run: RunId): void {
    if (this.#telling.has(run) || this.#isClosing()) return;
    const telling = this.#tell(run).finally(() => this.#telling.delete(run));
    this.#telling.set(run, telling);
  }

  /** What is under way gets a moment to end and be recorded, so that it need not be sent again. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the coordinator stops'));
    const timer = setTimeout(
      () => this.#ending.abort(this.#closing.signal.reason),
      this.#options.policy.closeGraceMs,
    );
    await Promise.all(this.#telling.values());
    clearTimeout(timer);
    this.#ending.abort(this.#closing.signal.reason);
  }

  /** Never rejects: it goes on until all is settled or this coordinator is done with it. */
  async #tell(run: RunId): Promise<void> {
    const { log, policy } = this.#options;
    for (let failures = 0; !this.#isClosing(); failures += 1) {
      try {
        await this.#settle(run);
        return;
      } catch (error) {
        // The next leader is asked again.
        if (error instanceof NotLeading || this.#isClosing()) return;
        log.warn({ err: error, run }, 'people could not be told of a run: trying again');
        await this.#pause(backoffMs(policy.backoff, failures, Math.random()));
      }
    }
  }

  async #settle(run: RunId): Promise<void> {
    const { runs, log, policy, wallMs } = this.#options;
    const waiting = await this.#waiting(run);
    if (waiting === undefined) return;
    const { project } = waiting;
    let found: EndedRun | undefined;
    try {
      found = await runs.find(run);
    } catch (error) {
      if (wallMs() - waiting.at < policy.giveUpAfterMs) throw error;
      log.error({ err: error, run }, 'nobody is told of a run: it cannot be read');
    }
    if (found !== undefined && project !== undefined) await this.#tellAll({ ...waiting, project }, found);
    else log.warn({ run }, 'nobody is told of a run: it or its project is gone');
    await this.#perform({ kind: 'NotificationsSettled', run });
  }

  async #tellAll(waiting: Waiting & { readonly project: Project }, run: EndedRun): Promise<void> {
    const { runs, people } = this.#options;
    const commits = await this.#commitsOf(waiting, run);
    const story = await gatherStory({ ...waiting, run, commits }, runs, this.#ending.signal);
    const { settings } = waiting.project;
    const recipients = recipientsOf({ ...waiting, ...run, settings, commits }, people(waiting.project));
    const sending = recipients.targets
      .filter((target) => !waiting.settled.has(targetKey(target)))
      .map((target) => this.#sendUntilSettled(waiting, story, target));
    const outcomes = await Promise.allSettled([...sending, this.#drop(waiting, recipients)]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Rejects with NotLeading, or when it is closed before the target is settled. */
  async #sendUntilSettled(waiting: Waiting, story: Story, target: Target): Promise<void> {
    const { sender, policy, wallMs, log } = this.#options;
    const key = targetKey(target);
    for (let failures = 0; ; failures += 1) {
      this.#closing.signal.throwIfAborted();
      // Settings may have changed since the last attempt, perhaps because it failed.
      const project = failures === 0 ? waiting.project : (await this.#waiting(waiting.run))?.project;
      const outcome: Outcome =
        project === undefined
          ? { kind: 'refused', message: 'the project is gone' }
          : await sender.send({ story, target, project }, this.#ending.signal);
      const said = { run: waiting.run, news: waiting.news, target: key, message: outcome.message };
      const isOver = wallMs() - waiting.at >= policy.giveUpAfterMs;
      if (outcome.kind !== 'failed' || isOver) {
        const { message } = outcome;
        await this.#record(waiting.run, key, {
          outcome: outcome.kind === 'delivered' ? 'delivered' : 'given-up',
          message:
            outcome.kind === 'failed' ? `tried for ${hours(policy.giveUpAfterMs)}: ${message}` : message,
        });
        if (outcome.kind === 'delivered') log.info(said, 'told of a run');
        else log.warn(said, 'will not be told of a run');
        return;
      }
      log.warn(said, 'could not be told of a run: trying again');
      await this.#pause(backoffMs(policy.backoff, failures, Math.random()));
    }
  }

  /** Those who are not told are on record too, so that "why did I hear nothing?" has an answer. */
  async #drop({ run, settled }: Waiting, { dropped }: Recipients): Promise<void> {
    for (const { target, reason } of dropped) {
      if (target === undefined) this.#options.log.info({ run, reason }, 'somebody is not told of a run');
      else if (!settled.has(target))
        await this.#record(run, target, { outcome: 'given-up', message: reason });
    }
  }

  async #commitsOf({ project, failing }: Waiting, { facts }: EndedRun): Promise<readonly CommitLine[]> {
    if (project === undefined || facts.event === 'submit' || facts.event === 'manual') return [];
    const from = failing?.lastGreen?.commit ?? facts.before;
    const range = { project: project.id, to: facts.commit, ...(from === undefined ? {} : { from }) };
    for (let failures = 0; ; failures += 1) {
      const limited = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(commitsTimeoutMs)]);
      try {
        return (await this.#options.commits.since(range, limited)).slice(0, maxCommits);
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        const { log, policy } = this.#options;
        log.warn(
          { err: error, project: project.name },
          'the commits since the last green run cannot be read',
        );
        if (failures + 1 >= commitsTries) return [];
        await this.#pause(backoffMs(policy.backoff, failures, Math.random()));
      }
    }
  }

  #waiting(run: RunId): Promise<Waiting | undefined> {
    return this.#options.coordinator().read(({ state }) => {
      const found = state.outbox.get(run);
      if (found === undefined) return undefined;
      const project = state.projects.get(found.project)?.project;
      return { ...found, project, settled: new Set(found.settled) };
    });
  }

  #record(
    run: RunId,
    target: string,
    end: { readonly outcome: 'delivered' | 'given-up'; readonly message: string },
  ): Promise<void> {
    return this.#perform({ kind: 'NotificationSent', run, target, ...end });
  }

  async #perform(command: Parameters<Coordinator['perform']>[0]): Promise<void> {
    await this.#options.coordinator().perform(command);
  }

  /** It changes while things are awaited, which flow analysis does not see. */
  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Ends early when it closes; whoever called looks. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#closing.signal).catch(() => undefined);
  }
}

const hours = (ms: number): string => (ms >= 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${ms} ms`);
