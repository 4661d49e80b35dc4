/**
 * Performs what the core decided, after it is durable. Every effect may be performed twice; what comes of it goes
 * back into the loop as a command. Nothing here throws at the loop.
 */
import { sleep } from '../shared/async/sleep.js';
import { backoffMs } from '../shared/async/backoff.js';
import { attemptKey, type AgentId, type AttemptRef, type RunId, type Token } from '../shared/model/ids.js';
import type { Logger } from '../shared/log.js';
import { NotLeading, type Coordinator } from './coordinator.js';
import type { Dispatcher } from './dispatch/dispatcher.js';
import type { Notifier } from './feedback/notifier.js';
import type { History } from './history/history.js';
import { RunIndexConflict } from './history/run-index.js';
import { attemptResults, type AttemptResult, type RunRecord } from './history/record.js';
import type { RunEvents } from './history/run-events.js';
import type { Deploying } from './deploying/deploying.js';
import type { Landing } from './landing/landing.js';
import type { LogArchiver } from './logs/log-archiver.js';
import type { PlanStore } from './journal/plans.js';
import type { Command, Effect } from './scheduler/command.js';
import { assignmentOf } from './scheduler/assignment.js';
import { runView } from './scheduler/views.js';
import type { Triggers } from './triggers/triggers.js';

export interface EffectsOptions {
  readonly coordinator: () => Coordinator;
  readonly dispatcher: Dispatcher;
  readonly plans: PlanStore;
  readonly history: History;
  readonly events: RunEvents;
  readonly archiver: LogArchiver;
  /** What the agent shows to prove the lease. */
  readonly prove: (lease: { agent: AgentId; ref: AttemptRef; token: Token }) => string;
  readonly triggers: () => Pick<Triggers, 'perform'>;
  readonly notifier: () => Pick<Notifier, 'notify'>;
  readonly landing: () => Pick<Landing, 'perform'>;
  readonly deploying: () => Pick<Deploying, 'perform'>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** How long a run's record waits for its agents to store the logs; LOGS has them all the while. */
const archiveWaitMs = 60_000;
const recordBackoff = { firstMs: 500, maxMs: 30_000 };

export class Effects {
  readonly #options: EffectsOptions;
  readonly #recording = new Set<RunId>();

  constructor(options: EffectsOptions) {
    this.#options = options;
  }

  perform(effect: Effect): void {
    const { dispatcher, log } = this.#options;
    switch (effect.kind) {
      case 'Assign':
        this.#background(this.#assign(effect));
        return;
      case 'EndAttempt':
        this.#background(dispatcher.end(effect.agent, effect));
        return;
      case 'Drain':
        this.#background(dispatcher.drain(effect.agent, effect.draining));
        return;
      case 'Trigger':
        this.#options.triggers().perform(effect.run);
        return;
      case 'Notify':
        this.#options.notifier().notify(effect.run);
        return;
      case 'Gate':
        this.#options.landing().perform(effect.effect);
        return;
      case 'Delivery':
      case 'DescribeDeployment':
        this.#options.deploying().perform(effect);
        return;
      case 'Record':
        if (this.#recording.has(effect.run)) return;
        this.#recording.add(effect.run);
        log.debug({ run: effect.run }, 'putting on record');
        this.#background(this.#record(effect.run).finally(() => this.#recording.delete(effect.run)));
        return;
    }
  }

  /** A failure that is not this process' end is in the log; the core asks again for what is still needed. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (error instanceof NotLeading || this.#options.signal.aborted) return;
      this.#options.log.error({ err: error }, 'an effect failed');
    });
  }

  async #assign(effect: Extract<Effect, { kind: 'Assign' }>): Promise<void> {
    const { dispatcher, plans, log } = this.#options;
    const coordinator = this.#options.coordinator();
    const { agent, ref, token } = effect;
    const answered = (answer: Extract<Command, { kind: 'AssignAnswered' }>['answer']): Promise<unknown> =>
      coordinator.perform({ kind: 'AssignAnswered', agent, ref, token, answer });
    const plan = await plans.get(ref.run);
    if (plan === undefined) {
      log.error({ run: ref.run }, 'the plan of a run is missing from the plan store');
      await answered({ kind: 'silent' });
      return;
    }
    const assignment = await coordinator.read(({ state }) => assignmentOf(state, plan, ref));
    if (assignment?.token !== token) return;
    const proof = this.#options.prove({ agent, ref, token });
    await answered(await dispatcher.assign(agent, { ...assignment, proof }));
  }

  /** Stores the record, again and again until it is stored; then the run leaves the state. */
  async #record(run: RunId): Promise<void> {
    const { history, log, signal } = this.#options;
    await this.#logsArchived(run);
    for (let failures = 0; ; failures += 1) {
      try {
        const record = await this.#recordOf(run);
        if (record === undefined) return;
        await history.store({ ...record, results: await this.#archiveRest(run, record.results) });
        break;
      } catch (error) {
        if (error instanceof RunIndexConflict) {
          // It will not go away by trying again, and a row is there: of this run as another version shows it.
          log.error({ err: error, run }, 'the run is on record already, in another form');
          break;
        }
        log.warn({ err: error, run }, 'the run could not be put on record: trying again');
        await sleep(backoffMs(recordBackoff, failures, Math.random()), signal);
      }
    }
    await this.#options.coordinator().perform({ kind: 'RunStored', run });
    await history.forgetPlan(run);
  }

  /** Logs that no agent stored: of lost attempts, and of agents that are gone. */
  async #archiveRest(run: RunId, results: readonly AttemptResult[]): Promise<readonly AttemptResult[]> {
    const { archiver, signal } = this.#options;
    const done: AttemptResult[] = [];
    for (const result of results) {
      if (result.archived || result.from !== undefined) {
        done.push(result);
        continue;
      }
      const ref: AttemptRef = { run, stage: result.stage, attempt: result.attempt };
      const logs = await archiver.archive(ref, signal);
      // What a finished attempt said of its logs stays: where storage has less, reading says what is missing.
      done.push({ ...result, archived: true, logs: result.logs.length > 0 ? result.logs : logs });
    }
    return done;
  }

  async #recordOf(run: RunId): Promise<RunRecord | undefined> {
    const { plans, events } = this.#options;
    const plan = await plans.get(run);
    if (plan === undefined) return undefined;
    return this.#options.coordinator().read(({ state, presence, now }) => {
      const found = state.runs.get(run);
      if (found === undefined) return undefined;
      return {
        v: 1,
        projectId: found.facts.project,
        digest: found.digest,
        view: runView(state, presence, found, now),
        results: attemptResults(found),
        plan,
        events: events.of(run),
      };
    });
  }

  /** Agents store their logs right after the end; an agent that is gone does not hold the record up for long. */
  async #logsArchived(run: RunId): Promise<void> {
    const { events, signal } = this.#options;
    const waiting = new AbortController();
    // Struck off one by one: looking at all attempts for each of their reports was half of a coordinator's time per stage
    // in runs of 250 stages.
    const missing = new Set<string>();
    const stop = events.listen(run, ({ event }) => {
      if (event.kind !== 'AttemptReported' || event.report.kind !== 'LogsArchived') return;
      if (missing.delete(attemptKey(event)) && missing.size === 0) waiting.abort();
    });
    try {
      // Listeners are called before the loop's reads: what was reported before this look is applied in what it sees.
      await this.#options.coordinator().read(({ state }) => {
        const found = state.runs.get(run);
        if (found === undefined) return;
        for (const { stage, attempt, archived, from, logs } of attemptResults(found)) {
          if (!archived && from === undefined && logs.length > 0)
            missing.add(attemptKey({ run, stage, attempt }));
        }
      });
      if (missing.size === 0) return;
      await sleep(archiveWaitMs, AbortSignal.any([signal, waiting.signal])).catch(() => undefined);
    } finally {
      stop();
    }
  }
}
