/**
 * The agent's loop, read this first: free slot → assignment → run it → report.
 *
 * It is driven by its session's calls. An assignment is accepted only once it is durable here; an attempt is held, and
 * named in heartbeats, until the coordinator has acknowledged its end. What the process knows is on disk, so that one
 * that was killed is replaced by the next:
 *
 *     start ─► adopt what is on disk and runs, sweep the rest ─► session ─► ready
 *     ready ─── assign ─► record ─► accepted ─► run-stage … reported ─► acknowledged
 *     SIGTERM ─► hand over: take nothing, say `away`, leave boxes running, exit
 *     again   ─► stop all: end the boxes, report `agent-stopped`, exit
 */
import { loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { AssignAnswer, Assignment, Heartbeat, HeldAttempt } from '../shared/model/agent.js';
import { attemptKey, type AttemptRef, type Token } from '../shared/model/ids.js';
import type { Failure } from '../shared/model/failure.js';
import type { Session, SessionHandlers } from './session/session.js';
import { Attempt } from './stage/attempt.js';
import { attemptName, AttemptRecord, loadRecords } from './stage/attempt-record.js';
import type { StageTools } from './stage/tools.js';

export interface AgentOptions {
  readonly tools: StageTools;
  readonly slots: number;
  readonly version: string;
  /** Whoever ends everything sends the second signal this soon after the first. */
  readonly secondSignalMs: number;
  /** How often an executor that failed is asked whether it works again. */
  readonly probeMs: number;
  readonly disk: { readonly reason: string | undefined; check(): Promise<string | undefined> };
  /** Projects whose mirror is here, newest first. */
  readonly mirrors: () => readonly string[];
  /** Throws away the slots of all attempts but these (`<run>-<stage>-<attempt>`). */
  readonly sweepSlots: (keep: ReadonlySet<string>) => Promise<void>;
  /** The coordinator will not have this agent: a sentence. The process should end. */
  readonly onRefused: (reason: string) => void;
}

/** How often free space is looked at while nothing happens. */
const diskCheckMs = 10_000;
/** How long ending everything may take: grace of the steps, last logs and reports. */
const endAllMs = 20_000;
/** What has ended and only brings its logs to storage, which may be away, has a moment: the next start goes on with it. */
const lastLogsMs = 2_000;
const maxMirrors = 50;
/** Ended attempts that are remembered, in case their assignment is delivered once more. */
const rememberedEnds = 1000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #attempts = new Map<string, Attempt>();
  /** Assignments that are being written down. */
  readonly #accepting = new Map<string, Promise<AssignAnswer>>();
  readonly #runs = new Set<Promise<unknown>>();
  /** `key` → token of attempts that are over. */
  readonly #ended = new Map<string, Token>();
  readonly #background = new AbortController();
  #draining = false;
  #stopping = false;
  #away = false;
  #executorTrouble: string | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  get #session(): Session {
    return this.#options.tools.session;
  }

  /** Resolves when the coordinator knows this agent; throws when this machine cannot run stages or the coordinator refuses. */
  async start(signal: AbortSignal): Promise<void> {
    const { executor, settings } = this.#options.tools;
    const boxes = await this.#adopt(await loadRecords(settings.attemptsDirectory));
    // What was adopted goes on whether or not the coordinator can be reached.
    for (const attempt of this.#attempts.values()) this.#launch(attempt);
    // Checking takes long on a busy machine. Where boxes run it works, and they must be named in a heartbeat soon.
    if (boxes === 0) await executor.check();
    await this.#options.disk.check();
    void this.#watchDisk();
    await this.#session.start(this.#handlers(), signal);
  }

  /**
   * Takes nothing new and leaves what runs to the next process, unless `second` aborts meanwhile or soon: then it is
   * ended. Resolves when nothing of any attempt goes on in this process and all is on disk.
   */
  async stop(second: AbortSignal): Promise<void> {
    this.#stopping = true;
    this.#away = true;
    this.#background.abort();
    this.#session.heartbeatNow();
    await Promise.allSettled(this.#accepting.values());
    if (this.#runs.size > 0) await this.#awaitSecond(second);
    if (second.aborted) await this.#endAll();
    else for (const attempt of this.#attempts.values()) attempt.stop({ kind: 'handed-over' });
    await Promise.allSettled(this.#runs);
  }

  /** Steps on the host are children of this process and cannot be left: they are waited for. */
  async #awaitSecond(second: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([second, over.signal]);
    const moment = pause(this.#options.secondSignalMs, undefined, { signal: either });
    const waiting = this.#options.tools.executor.kind === 'host' ? this.#runsOr(either) : moment;
    // Rejects when the second signal comes: that is looked at by the caller.
    await waiting.catch(() => undefined);
    over.abort();
    moment.catch(() => undefined);
  }

  async #runsOr(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([Promise.allSettled(this.#runs), aborted]);
  }

  /** What can be reported within a limit of time is reported, the rest at the next start. */
  async #endAll(): Promise<void> {
    for (const attempt of this.#attempts.values()) attempt.stop({ kind: 'agent-stopped' });
    const late = AbortSignal.timeout(this.#session.linked ? endAllMs : endAllMs / 4);
    const over = new AbortController();
    const enough = AbortSignal.any([late, over.signal]);
    void this.#untilReported(enough).then(() => over.abort());
    await this.#runsOr(enough);
    over.abort();
    for (const attempt of this.#attempts.values()) attempt.stop({ kind: 'handed-over' });
    await Promise.allSettled(this.#runs);
    // Boxes of attempts that could not be reported in time.
    await this.#options.tools.executor.sweep(new Set());
  }

  /** Nothing but logs is left, and they have had their moment; or it is too late. Never rejects. */
  async #untilReported(late: AbortSignal): Promise<void> {
    try {
      while (this.#busySlots() > 0) await pause(50, undefined, { signal: late });
      await pause(lastLogsMs, undefined, { signal: late });
    } catch {
      // Too late, or nothing is left to wait for.
    }
  }

  /** Returns how many boxes were taken over. */
  async #adopt(records: readonly AttemptRecord[]): Promise<number> {
    const { tools } = this.#options;
    const adopted = new Set<string>();
    for (const record of records) {
      const attempt = new Attempt(record, tools, this.#listener);
      this.#attempts.set(attempt.key, attempt);
      if (await attempt.adopt()) adopted.add(attempt.key);
    }
    if (records.length > 0) tools.log.info({ attempts: records.length, boxes: adopted.size }, 'adopted');
    await tools.executor.sweep(adopted);
    await this.#options.sweepSlots(new Set([...this.#attempts.values()].map(({ ref }) => attemptName(ref))));
    return adopted.size;
  }

  #handlers(): SessionHandlers {
    const attempt = (ref: AttemptRef): Attempt | undefined => this.#attempts.get(attemptKey(ref));
    return {
      assign: (assignment) => this.#assign(assignment),
      end: (ref, token, why, by) => {
        const found = attempt(ref);
        if (found?.token !== token) return;
        found.stop(why === 'canceled' ? { kind: 'canceled', by } : { kind: 'overtaken', reason: by });
      },
      drain: (draining) => {
        this.#draining = draining;
      },
      linkUp: () => {
        for (const each of this.#attempts.values()) each.linkUp();
      },
      linkDown: () => undefined,
      reportsAcknowledged: (ref, n) => attempt(ref)?.reportsAcknowledged(n),
      reportsWanted: (ref, n) => attempt(ref)?.reportsWanted(n),
      overtaken: (ref, reason) => attempt(ref)?.stop({ kind: 'overtaken', reason }),
      logAcknowledged: (ref, step, offset) => attempt(ref)?.logAcknowledged(step, offset),
      heartbeat: () => this.#heartbeat(),
      held: () => this.#held(),
      refused: (reason) => this.#options.onRefused(reason),
    };
  }

  #heartbeat(): Omit<Heartbeat, 'agent' | 'instance' | 'number'> {
    const refusing = this.#refusing();
    return {
      slots: this.#options.slots,
      linked: this.#session.linked,
      ...(refusing === undefined ? {} : { refusing }),
      away: this.#away,
      load: loadavg()[0] ?? 0,
      mirrors: this.#options.mirrors().slice(0, maxMirrors),
      held: this.#held(),
      version: this.#options.version,
    };
  }

  #held(): readonly HeldAttempt[] {
    return [...this.#attempts.values()].flatMap(({ held }) => (held === undefined ? [] : [held]));
  }

  /** Why it takes no stage now; `drain` is the coordinator's own doing and not repeated to it. */
  #refusing(): string | undefined {
    if (this.#stopping) return 'stopping';
    return this.#options.disk.reason ?? this.#executorTrouble;
  }

  /** Delivered twice, also at once, it is accepted once and answered the same. */
  async #assign(assignment: Assignment): Promise<AssignAnswer> {
    const key = attemptKey(assignment);
    const known = this.#attempts.get(key)?.token ?? this.#ended.get(key);
    if (known !== undefined) return this.#answerKnown(key, known, assignment.token);
    const accepting = this.#accepting.get(key);
    if (accepting !== undefined) {
      await accepting;
      return this.#assign(assignment);
    }
    const refused = this.#whyNot(assignment);
    if (refused !== undefined) return { kind: 'refused', reason: refused };
    const answer = this.#accept(key, assignment).finally(() => this.#accepting.delete(key));
    this.#accepting.set(key, answer);
    return answer;
  }

  #answerKnown(key: string, known: Token, token: Token): AssignAnswer {
    if (known === token) return this.#accepted();
    if (token > known)
      this.#attempts.get(key)?.stop({ kind: 'overtaken', reason: 'a newer lease of the attempt' });
    return { kind: 'refused', reason: `holds the attempt under token ${known}` };
  }

  #accepted(): AssignAnswer {
    return { kind: 'accepted', heartbeat: this.#session.heartbeatNumber };
  }

  #whyNot({ plan }: Assignment): string | undefined {
    const { executor, settings } = this.#options.tools;
    const refusing = this.#refusing();
    if (refusing !== undefined) return refusing;
    if (this.#draining) return 'draining';
    if (this.#busySlots() >= this.#options.slots) return 'no free slot';
    if (executor.kind === 'host' && plan.image !== undefined && !settings.ignoreImage) {
      return 'the stage wants an image, and this agent runs steps without containers (--ignore-image would run it here)';
    }
    if (executor.kind !== 'host' && plan.image === undefined) {
      return 'the stage has no image, and this agent runs steps in containers';
    }
    return undefined;
  }

  #busySlots(): number {
    const running = [...this.#attempts.values()].filter(({ occupiesSlot }) => occupiesSlot);
    // One that was just written down is in both for a moment.
    const coming = [...this.#accepting.keys()].filter((key) => !this.#attempts.has(key));
    return running.length + coming.length;
  }

  async #accept(key: string, assignment: Assignment): Promise<AssignAnswer> {
    const { tools, disk } = this.#options;
    let record: AttemptRecord;
    try {
      record = await AttemptRecord.create(tools.settings.attemptsDirectory, {
        kind: 'accepted',
        v: 1,
        at: tools.now(),
        assignment,
      });
    } catch (error) {
      tools.log.error({ attempt: key, err: error }, 'the assignment could not be written down');
      void disk.check();
      return { kind: 'refused', reason: `disk: ${error instanceof Error ? error.message : String(error)}` };
    }
    const attempt = new Attempt(record, tools, this.#listener);
    this.#attempts.set(key, attempt);
    tools.log.info({ attempt: key, stage: assignment.plan.name }, 'accepted');
    this.#launch(attempt);
    return this.#accepted();
  }

  #launch(attempt: Attempt): void {
    const run = attempt.run().then((end) => {
      this.#runs.delete(run);
      if (end.kind === 'handed-over') return;
      this.#attempts.delete(attempt.key);
      this.#remember(attempt);
    });
    this.#runs.add(run);
  }

  readonly #listener = {
    onReported: (attempt: Attempt, failure: Failure | undefined): void => {
      this.#options.tools.log.info({ attempt: attempt.key, failure }, 'finished');
      if (failure?.kind === 'box-broken') this.#doubtExecutor(failure.message);
      if (failure?.kind === 'disk-full') void this.#options.disk.check();
    },
    onReleased: (): void => this.#session.heartbeatNow(),
  };

  #remember(attempt: Attempt): void {
    this.#ended.set(attempt.key, attempt.token);
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > rememberedEnds && oldest !== undefined) this.#ended.delete(oldest);
  }

  /** A box that broke may be one box or the daemon: until it answers, the next stage would only break too. */
  #doubtExecutor(message: string): void {
    if (this.#executorTrouble !== undefined) return;
    const { executor, log } = this.#options.tools;
    this.#executorTrouble = `${executor.kind}: ${message}`;
    const probe = async (): Promise<void> => {
      for (;;) {
        try {
          await executor.findBoxes();
          break;
        } catch (error) {
          log.warn({ err: error }, `the ${executor.kind} executor does not work`);
          this.#session.heartbeatNow();
          await pause(this.#options.probeMs, undefined, { signal: this.#background.signal });
        }
      }
      this.#executorTrouble = undefined;
      this.#session.heartbeatNow();
    };
    probe().catch(() => undefined); // Stopping: nobody asks any more.
  }

  async #watchDisk(): Promise<void> {
    const { disk, tools } = this.#options;
    const { signal } = this.#background;
    while (!signal.aborted) {
      const before = disk.reason;
      const now = await disk.check().catch((error: unknown) => {
        tools.log.error({ err: error }, 'free space could not be found out');
        return disk.reason;
      });
      if (now !== before) {
        tools.log[now === undefined ? 'info' : 'warn'](now ?? 'disk: enough space again');
        this.#session.heartbeatNow();
      }
      // Stopping ends the pause.
      await pause(diskCheckMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
