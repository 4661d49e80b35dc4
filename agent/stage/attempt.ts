/**
 * One attempt on this agent, from its acceptance (or the record of a former process) until nothing of it is left.
 *
 *     running ──end reported──► reported ──acknowledged──► archiving ──► gone
 *        │ takes a slot            │ held in heartbeats        │ only its logs
 *        └────────┬────────────────┘                           │ are left here
 *          overtaken: box, slot and record are removed ────────┘
 *          handed over: all stays as it is
 */
import type { HeldAttempt } from '../../shared/model/agent.js';
import { attemptKey, type AttemptRef, type Token } from '../../shared/model/ids.js';
import type { Failure } from '../../shared/model/failure.js';
import type { Box } from '../executor/executor.js';
import { archiveLogs } from './archive.js';
import type { AttemptRecord } from './attempt-record.js';
import { finishedReport } from './attempt-state.js';
import { progressOf, report, type AttemptContext } from './context.js';
import { Outbox } from './outbox.js';
import { boxSpec } from './prepare.js';
import { StageSecrets } from './secrets.js';
import { runStage, type BoxHolder } from './run-stage.js';
import { StepLogs } from './step-logs.js';
import { StopSwitch, type StopReason } from './stop.js';
import type { StageTools } from './tools.js';

/** How long the last report may wait for its acknowledgement: the run may be gone from the coordinator's memory. */
const lastReportMs = 10 * 60_000;

export type AttemptEnd =
  | { readonly kind: 'over' }
  /** Another process goes on with it. */
  | { readonly kind: 'handed-over' };

export interface AttemptListener {
  /** The slot is free: the end is reported. */
  onReported(attempt: Attempt, failure: Failure | undefined): void;
  /** The coordinator has the end: the attempt is not held any more. */
  onReleased(attempt: Attempt): void;
}

export class Attempt {
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly key: string;
  readonly #context: AttemptContext;
  readonly #listener: AttemptListener;
  readonly #holder: BoxHolder = {};
  #released = false;

  constructor(record: AttemptRecord, tools: StageTools, listener: AttemptListener) {
    const { run, stage, attempt, token } = record.state.assignment;
    this.ref = { run, stage, attempt };
    this.token = token;
    this.key = attemptKey(this.ref);
    this.#listener = listener;
    const stop = new StopSwitch();
    const { session, now, log } = tools;
    const secrets = new StageSecrets(record.state.assignment.plan, (signal) =>
      session.secrets(this.ref, token, signal),
    );
    this.#context = {
      ref: this.ref,
      token,
      key: this.key,
      tools,
      record,
      stop,
      secrets,
      logs: new StepLogs({ record, session, secrets, now }),
      outbox: new Outbox({
        record,
        sink: session,
        signal: stop.alive,
        onDiskTrouble: (error) =>
          log.error({ attempt: this.key, err: error }, 'the record of the attempt cannot be written'),
      }),
    };
    if (record.state.stopping !== undefined) stop.stop(record.state.stopping);
    this.#released = this.#isEndAcknowledged();
  }

  get held(): HeldAttempt | undefined {
    if (this.#released) return undefined;
    const { proof } = this.#context.record.state.assignment;
    return { ...this.ref, token: this.token, ...(proof === undefined ? {} : { proof }) };
  }

  /** Until the end is reported. A new assignment may come before its acknowledgement does: the coordinator knows first. */
  get occupiesSlot(): boolean {
    return finishedReport(this.#context.record.state) === undefined;
  }

  /** Takes over the box that a former process left; false when there is none that can be used. */
  async adopt(): Promise<boolean> {
    const { record, tools } = this.#context;
    const { ready } = record.state;
    if (ready === undefined || !this.occupiesSlot) return false;
    const spec = boxSpec(this.#context, tools.workspaces.at(this.ref), ready, progressOf(this.#context));
    const box = await tools.executor.adoptBox(spec);
    if (box === undefined) {
      // Nothing has run in it: it is prepared anew.
      if (record.state.steps.size > 0)
        tools.log.warn({ attempt: this.key }, 'the box of the attempt is gone');
      return false;
    }
    this.#holder.box = box;
    return true;
  }

  stop(reason: StopReason): void {
    const { stop, record, tools } = this.#context;
    if (!stop.stop(reason)) return;
    tools.log.info({ attempt: this.key, reason: reason.kind }, 'the attempt is to stop');
    if (reason.kind === 'canceled' || reason.kind === 'agent-stopped') {
      record.append({ kind: 'stopping', reason }).catch(() => undefined); // Repeated by the coordinator after a restart.
    }
  }

  reportsAcknowledged(n: number): void {
    this.#context.outbox.acknowledged(n);
    if (this.#released || !this.#isEndAcknowledged()) return;
    this.#released = true;
    this.#listener.onReleased(this);
  }

  reportsWanted(n: number): void {
    this.#context.outbox.resend(n);
  }

  logAcknowledged(step: number, offset: number): void {
    this.#context.logs.acknowledged(step, offset);
  }

  linkUp(): void {
    this.#context.outbox.linkUp();
    this.#context.logs.linkUp();
  }

  /** Runs it to its end. Never rejects. */
  async run(): Promise<AttemptEnd> {
    const context = this.#context;
    const { stop, tools } = context;
    try {
      if (this.occupiesSlot) {
        await runStage(context, this.#holder);
      } else {
        context.outbox.linkUp();
      }
      const end = finishedReport(context.record.state);
      if (end === undefined) throw new Error('the recipe ended without a report');
      if (end.report.kind === 'AttemptFinished') this.#listener.onReported(this, end.report.failure);
      await context.outbox.whenAcknowledged(end.n, stop.alive);
      await this.#removeBox();
      // The bulk of the disk space; should storage be away, only the logs wait for it.
      if (context.record.state.slot) await tools.workspaces.discardWorkspace(this.ref);
      await this.#archive();
    } catch (error) {
      if (stop.reason?.kind === 'handed-over') {
        await this.#putDown();
        return { kind: 'handed-over' };
      }
      if (!stop.alive.aborted) tools.log.error({ attempt: this.key, err: error }, 'the attempt was given up');
    }
    await this.#removeBox();
    await this.#cleanUp();
    return { kind: 'over' };
  }

  async #archive(): Promise<void> {
    const context = this.#context;
    if (!(await archiveLogs(context))) return;
    const last = context.outbox.lastNumber;
    const end = finishedReport(context.record.state);
    const n = end !== undefined && last > end.n ? last : report(context, { kind: 'LogsArchived' });
    await context.outbox.whenAcknowledged(
      n,
      AbortSignal.any([context.stop.alive, AbortSignal.timeout(lastReportMs)]),
    );
  }

  async #putDown(): Promise<void> {
    const { record, logs, tools } = this.#context;
    try {
      await logs.close();
      await record.close();
    } catch (error) {
      tools.log.warn({ attempt: this.key, err: error }, 'the attempt could not be put down in good order');
    }
  }

  /** Under no signal: it must happen whatever ended the attempt. What fails here is swept at the agent's next start. */
  async #removeBox(): Promise<void> {
    const box: Box | undefined = this.#holder.box;
    delete this.#holder.box;
    if (box === undefined) return;
    try {
      await box.remove();
    } catch (error) {
      this.#context.tools.log.warn({ attempt: this.key, err: error }, 'the box could not be removed');
    }
  }

  async #cleanUp(): Promise<void> {
    const { record, logs, tools } = this.#context;
    try {
      await logs.close();
      if (record.state.slot) await tools.workspaces.discard(this.ref);
      await record.delete();
    } catch (error) {
      tools.log.warn({ attempt: this.key, err: error }, 'something of the attempt was left on the disk');
    }
  }

  #isEndAcknowledged(): boolean {
    const { record, outbox } = this.#context;
    const end = finishedReport(record.state);
    return end !== undefined && end.n <= outbox.acknowledgedNumber;
  }
}
