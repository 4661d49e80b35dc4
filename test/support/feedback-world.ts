/**
 * Feedback on a coordinator's loop with a journal in memory: what is outside (mail, HTTP) is real, the loop and all of
 * feedback too. `restart` is a kill: whoever was under way is cut off, and another coordinator replays the same journal.
 */
import { pino } from 'pino';
import { Coordinator } from '../../coordinator/coordinator.js';
import type { CommitLine } from '../../coordinator/feedback/commits.js';
import { DeliveryHealth } from '../../coordinator/feedback/health.js';
import { mailDeliverer } from '../../coordinator/feedback/mail-deliverer.js';
import { Notifier, type NotifierPolicy } from '../../coordinator/feedback/notifier.js';
import type { People } from '../../coordinator/feedback/people.js';
import { Sender } from '../../coordinator/feedback/sender.js';
import type { SmtpServer } from '../../coordinator/feedback/smtp-url.js';
import { webhookDeliverer } from '../../coordinator/feedback/webhook-deliverer.js';
import type { Command } from '../../coordinator/scheduler/command.js';
import { findAttempt } from '../../coordinator/scheduler/state.js';
import { runView } from '../../coordinator/scheduler/views.js';
import type { Entry, Event, Report } from '../../shared/model/event.js';
import type { Failure } from '../../shared/model/failure.js';
import type { RunId } from '../../shared/model/ids.js';
import { parseMailAddress, type MailAddress } from '../../shared/model/mail-address.js';
import type { NotifyRules, RunFacts } from '../../shared/model/pipeline.js';
import { defaultProjectSettings, type Project, type ProjectSettings } from '../../shared/model/project.js';
import { agentId, facts, instanceId, outline, projectId, runId, sha } from '../unit/scheduler/ids.js';
import { eventually } from './eventually.js';
import { MemoryJournal, MemoryStore } from './memory-journal.js';
import { MemoryVault } from './memory-vault.js';

export interface FeedbackWorldOptions {
  readonly smtp?: SmtpServer;
  readonly ca?: string;
  readonly settings?: Partial<ProjectSettings>;
  readonly policy?: Partial<NotifierPolicy>;
  readonly users?: Readonly<Record<string, readonly string[]>>;
  readonly webhookTimeoutMs?: number;
  readonly mailTotalMs?: number;
}

const quick: NotifierPolicy = {
  backoff: { firstMs: 20, maxMs: 100 },
  giveUpAfterMs: 60_000,
  closeGraceMs: 3_000,
};

interface Pushed {
  readonly facts: RunFacts;
  readonly notify?: NotifyRules;
  readonly log: string;
}

export class FeedbackWorld {
  readonly store = new MemoryStore();
  readonly vault = new MemoryVault();
  health = new DeliveryHealth();
  /** What `Commits` answers; a test may make it reject. */
  commits: () => Promise<readonly CommitLine[]> = () => Promise.resolve([]);
  /** An append of such an event never reaches the journal: the coordinator is killed just before. */
  killBefore: Event['kind'] | undefined;
  readonly #options: FeedbackWorldOptions;
  readonly #runs = new Map<RunId, Pushed>();
  #coordinator: Coordinator | undefined;
  #notifier: Notifier | undefined;
  #looping: Promise<void> = Promise.resolve();
  #count = 0;

  private constructor(options: FeedbackWorldOptions) {
    this.#options = options;
  }

  static async start(options: FeedbackWorldOptions = {}): Promise<FeedbackWorld> {
    const world = new FeedbackWorld(options);
    await world.#begin();
    await world.perform({ kind: 'SetProject', project: world.project, isNew: true, by: 'a test' });
    return world;
  }

  get project(): Project {
    const settings = { ...defaultProjectSettings, ...this.#options.settings };
    return {
      id: projectId(1),
      name: 'git.example.org/team/app',
      url: 'https://git.example.org/team/app',
      settings,
    };
  }

  get events(): readonly Event[] {
    // Only the journal of this world wrote here.
    return this.store.entries.flatMap((text) => (JSON.parse(text) as Entry).events);
  }

  get notified(): readonly Extract<Event, { kind: 'Notified' }>[] {
    return this.events.filter((event) => event.kind === 'Notified');
  }

  async perform(command: Command): Promise<void> {
    if (this.#coordinator === undefined) throw new Error('not started');
    await this.#coordinator.perform(command);
  }

  async restart(): Promise<void> {
    await this.#end();
    this.killBefore = undefined;
    this.health = new DeliveryHealth();
    await this.#begin();
  }

  /** As a SIGTERM has it: what is under way may end. */
  async stop(): Promise<void> {
    await this.#notifier?.close();
    await this.#end();
  }

  async settled(run: RunId): Promise<void> {
    await eventually(
      `all targets of ${run} are settled`,
      () => this.events.some((event) => event.kind === 'NotificationsDone' && event.run === run),
      20_000,
    );
  }

  /** A push whose one stage ends so. `log`: of its step. */
  async push(
    end: 'green' | 'red' | Failure,
    changes: Partial<RunFacts> & { readonly notify?: NotifyRules; readonly log?: string } = {},
  ): Promise<RunId> {
    const { notify, log = 'it runs\nit ends\n', ...others } = changes;
    const n = (this.#count += 1);
    const run = runId(n);
    const pushed = facts({
      event: 'push',
      trust: 'branch',
      branch: 'main',
      title: `change ${n}`,
      author: 'Ada <ada@example.org>',
      by: 'Ada',
      projectName: this.project.name,
      ...others,
    });
    this.#runs.set(run, { facts: pushed, log, ...(notify === undefined ? {} : { notify }) });
    const failure = typeof end === 'object' ? { failure: end } : {};
    const stages = typeof end === 'object' ? [] : [outline(1, { name: 'test', steps: ['unit tests'] })];
    await this.perform({ kind: 'Submit', run, digest: sha(n), facts: pushed, stages, ...failure });
    if (typeof end !== 'object') await this.#work(run, end);
    return run;
  }

  /** An agent does the run's stage. */
  async #work(run: RunId, end: 'green' | 'red'): Promise<void> {
    const ref = { run, stage: 1, attempt: 1 };
    const attempt = await eventually('the stage is leased', async () =>
      this.#coordinator?.read(({ state }) => {
        const found = findAttempt(state, ref);
        return found === undefined ? undefined : { agent: found.agent, token: found.token };
      }),
    );
    const failure: Failure = { kind: 'exit-code', step: 1, exitCode: 1 };
    const isRed = end === 'red';
    const reports: Report[] = [
      { kind: 'AttemptStarted', executor: 'docker' },
      { kind: 'StepStarted', step: 1, shell: 'sh' },
      {
        kind: 'StepFinished',
        step: 1,
        exitCode: isRed ? 1 : 0,
        durationMs: 1,
        ...(isRed ? { failure } : {}),
      },
      {
        kind: 'AttemptFinished',
        logs: [],
        ...(isRed ? { status: 'failed', failure } : { status: 'succeeded' }),
      },
    ];
    for (const [index, report] of reports.entries()) {
      await this.perform({ kind: 'Report', ref, ...attempt, n: index + 1, at: Date.now(), report });
    }
  }

  async #begin(): Promise<void> {
    const { smtp, ca, policy, webhookTimeoutMs = 2_000, mailTotalMs: totalMs = 10_000 } = this.#options;
    const log = pino({ level: 'silent' });
    const inner = new MemoryJournal(this.store);
    const coordinator = new Coordinator({
      journal: {
        get disconnected() {
          return inner.disconnected;
        },
        replay: (after, onEntry) => inner.replay(after, onEntry),
        append: async (entry, expected) =>
          entry.events.some(({ kind }) => kind === this.killBefore)
            ? { kind: 'unknown', message: 'killed' }
            : inner.append(entry, expected),
      },
      // Time stands still for agents: none is lost.
      clock: { wallMs: () => Date.now(), monotonicMs: () => 1_000 },
      seed: '0'.repeat(32),
      perform: (effect) => {
        if (effect.kind === 'Notify') this.#notifier?.notify(effect.run);
      },
      onEntry: () => undefined,
      isProven: () => true,
      log,
    });
    const tls = ca === undefined ? {} : { ca };
    const from = address('gantry@ci.example.org');
    this.#notifier = new Notifier({
      coordinator: () => coordinator,
      runs: {
        find: (run) =>
          coordinator.read(({ state, presence, now }) => {
            const found = state.runs.get(run);
            const pushed = this.#runs.get(run);
            if (found === undefined || pushed === undefined) return undefined;
            const { notify } = pushed;
            const view = runView(state, presence, found, now);
            return { view, facts: pushed.facts, ...(notify === undefined ? {} : { notify }) };
          }),
        logEnd: ({ run }) =>
          Promise.resolve({ bytes: Buffer.from(this.#runs.get(run)?.log ?? ''), offset: 0 }),
      },
      commits: { since: () => this.commits() },
      people: () => this.#people(),
      sender: new Sender({
        ...(smtp === undefined
          ? {}
          : { mail: mailDeliverer({ server: smtp, from, timeoutMs: 5_000, totalMs, ...tls }) }),
        webhook: webhookDeliverer({ timeoutMs: webhookTimeoutMs, wallMs: Date.now }),
        vault: this.vault,
        health: this.health,
        wallMs: Date.now,
      }),
      policy: { ...quick, ...policy },
      log,
      wallMs: Date.now,
    });
    await coordinator.start();
    this.#coordinator = coordinator;
    this.#looping = coordinator.run().catch(() => undefined);
    await this.#join();
  }

  async #join(): Promise<void> {
    await this.perform({
      kind: 'RegisterAgent',
      agent: agentId(1),
      instance: instanceId(1),
      name: 'builder-1',
      labels: ['os=linux'],
      slots: 4,
      projects: [],
      trust: ['branch', 'submit'],
      keyHash: sha(1),
      version: '1',
      joinedBy: 'a test',
    });
    const heartbeat = {
      agent: agentId(1),
      instance: instanceId(1),
      number: 1,
      slots: 4,
      linked: true,
      away: false,
      load: 0,
      mirrors: [],
      held: [],
      version: '1',
    };
    await this.perform({ kind: 'HeartbeatSeen', heartbeat });
  }

  async #end(): Promise<void> {
    this.#coordinator?.stop(new Error('killed'));
    await this.#looping;
    // Its loop is dead, so nothing of what it does now is put on record.
    await this.#notifier?.close();
  }

  #people(): People {
    const users = Object.entries(this.#options.users ?? {}).map(
      ([name, mails]) => [name, mails.map(address)] as const,
    );
    return {
      addressesOf: (user) => users.find(([name]) => name === user)?.[1] ?? [],
      ownerOf: (mail) => users.find(([, mails]) => mails.includes(mail))?.[0],
    };
  }
}

function address(text: string): MailAddress {
  const parsed = parseMailAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no mail address`);
  return parsed;
}
