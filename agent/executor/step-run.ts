/**
 * One step from its line to its result.
 *
 *   following ──marker──────────────────────────► ended (exact)
 *       │  exit file, and a second without marker ► ended (log may be incomplete)
 *       │  supervisor lost ───────────────────────► ended (box-broken)
 *       ├─ log limit or disk full ─► stopping ────► ended (failed)
 *       └─ terminate() ────────────► stopping ────► ended (terminated)
 *
 * Stopping is TERM to the step's session, KILL after the grace, again until nothing carries the step's mark; if the
 * supervisor then still does not report the end, the box itself is killed: only that is certain.
 */
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../../shared/async/sleep.js';
import type { Failure } from '../../shared/model/failure.js';
import type { CgroupCounts } from './cgroup-counts.js';
import { Doorbell } from './doorbell.js';
import type { RunningStep, StepExit, StepResult } from './executor.js';
import { readGuarded } from './guarded-file.js';
import { processesOfStep, signalAll } from './processes.js';
import type { FollowedLog, LogEnd } from './step-log.js';
import type { SupervisorLink } from './supervisor-link.js';

/** Ticks on which facts without a ring (disk, exit file where watching fails) are looked at. */
const tickMs = 50;
/** After reading this much at once a writer is in full flow: it is not followed event by event. */
const flowBytes = 64 * 1024;
const flowPauseMs = 5;
/** A step that touches its files without writing to its log is looked at less often, not at every touch. */
const maxFruitless = 20;
/** How long after the exit file the marker may take while the log stands still. */
const markerGraceMs = 1000;
const diskCheckMs = 1000;
const lowDiskBytes = 16 * 1024 * 1024;
const killRoundMs = 20;
/** From the first KILL until the supervisor must have reported. */
const endGraceMs = 3000;

export interface StepRunOptions {
  readonly agent: string;
  readonly number: number;
  readonly id: string;
  readonly out: string;
  readonly log: FollowedLog;
  readonly limitBytes: number;
  readonly link: SupervisorLink;
  /** Of the box when the step was prepared. */
  readonly before: CgroupCounts;
  /** Called once, when the step has ended and before it is told; returns what the author should know. */
  readonly onEnd: () => readonly string[];
}

type Stopping =
  | { readonly kind: 'no' }
  | { readonly kind: 'terminate' }
  | { readonly kind: 'failed'; readonly failure: Failure };

export class StepRun implements RunningStep {
  readonly log: FollowedLog;
  readonly finished: Promise<StepResult>;
  readonly #options: StepRunOptions;
  readonly #bell = new Doorbell();
  #stopping: Stopping = { kind: 'no' };
  #killAt = Infinity;
  #stopped: Promise<void> | undefined;
  #ended = false;
  #abandoned = false;
  #fruitless = 0;
  #exitSeen: { readonly code: number; readonly at: number; readonly safe: number } | undefined;
  #diskCheckedAt = performance.now();

  constructor(options: StepRunOptions) {
    this.#options = options;
    this.log = options.log;
    this.finished = this.#follow();
    // Whoever holds `finished` handles it; this only keeps a rejection before that from ending the process.
    this.finished.catch(() => undefined);
  }

  /** Something happened to this file of the out directory. */
  touched(name: string): void {
    if (name === `${this.#options.id}.log` || name === `${this.#options.id}.exit`) this.#bell.ring();
  }

  /** Stops following without an end: another agent process will tell it. */
  abandon(): void {
    this.#abandoned = true;
    this.#bell.ring();
  }

  async terminate(graceMs: number): Promise<void> {
    if (this.#ended) return;
    if (this.#stopping.kind === 'no') this.#stopping = { kind: 'terminate' };
    await this.#stop(graceMs);
  }

  async #follow(): Promise<StepResult> {
    const stopListening = this.#options.link.onLost(() => this.#bell.ring());
    try {
      for (;;) {
        if (this.#abandoned) return await new Promise<never>(() => undefined);
        const end = await this.#look();
        if (end !== undefined) return await this.#result(end);
      }
    } finally {
      this.#ended = true;
      stopListening();
    }
  }

  async #look(): Promise<{ readonly end: LogEnd; readonly incomplete?: string } | undefined> {
    const { log, link } = this.#options;
    const read = await log.scan();
    if (log.end !== undefined) {
      await this.#endForger();
      return { end: log.end };
    }
    if (log.overLimit) {
      this.#fail({ kind: 'log-limit', step: this.#options.number, limitBytes: this.#options.limitBytes });
    }
    // Asked before the exit file is read: a box that ended after its step wrote both is not a broken box.
    const lost = link.lost;
    const exit = await this.#exitWithoutMarker();
    if (exit !== undefined) return exit;
    if (lost !== undefined) {
      if (this.#stopping.kind === 'no') this.#stopping = { kind: 'failed', failure: lost };
      return { end: await log.settle(137) };
    }
    if (read > 0) this.#fruitless = 0;
    if (read >= flowBytes) await sleep(flowPauseMs);
    else if (await this.#bell.wait(tickMs)) {
      this.#fruitless += 1;
      if (this.#fruitless > maxFruitless) await sleep(flowPauseMs);
    }
    await this.#checkDisk();
    return undefined;
  }

  async #exitWithoutMarker(): Promise<{ readonly end: LogEnd; readonly incomplete?: string } | undefined> {
    const { log, id } = this.#options;
    const code = this.#readExit();
    if (code === undefined) return undefined;
    const now = performance.now();
    if (this.#exitSeen === undefined || (this.#exitSeen.safe !== log.safeBytes && !log.overLimit)) {
      this.#exitSeen = { code, at: now, safe: log.safeBytes };
      // Exit file first, marker a moment later is the usual order: look again at once.
      await log.scan();
      if (log.end !== undefined) return { end: log.end };
    }
    if (now - this.#exitSeen.at < markerGraceMs && !log.overLimit) return undefined;
    const end = await log.settle(this.#exitSeen.code);
    // Whoever killed the writer (`kill -9 -1` spares its caller) may still run.
    signalAll(processesOfStep(await this.#options.link.processes(), id), 'SIGKILL');
    return {
      end,
      incomplete: log.cut
        ? 'the step cut its own log: what is missing reads as NUL bytes'
        : 'the step killed the process that kept its log: the last of its output may be missing',
    };
  }

  /**
   * The supervisor writes the exit file before the marker. A marker without it was printed by the step, which read it
   * out of the supervisor and still runs: the next step would wait for it.
   */
  async #endForger(): Promise<void> {
    const deadline = performance.now() + markerGraceMs;
    while (this.#exitSeen === undefined && this.#readExit() === undefined) {
      const members = processesOfStep(await this.#options.link.processes(), this.#options.id);
      if (members.length === 0) return;
      if (performance.now() > deadline) signalAll(members, 'SIGKILL');
      await sleep(killRoundMs);
    }
  }

  #readExit(): number | undefined {
    const { out, id } = this.#options;
    const text = readGuarded(join(out, `${id}.exit`), 16)?.toString('latin1');
    const code = /^(\d{1,3})\n/.exec(text ?? '')?.[1];
    return code === undefined ? undefined : Math.min(Number(code), 255);
  }

  async #checkDisk(): Promise<void> {
    if (performance.now() - this.#diskCheckedAt < diskCheckMs) return;
    this.#diskCheckedAt = performance.now();
    const failure = await this.#diskFull();
    if (failure !== undefined) this.#fail(failure);
  }

  async #diskFull(): Promise<Failure | undefined> {
    const { out } = this.#options;
    const { bavail, bsize } = await statfs(out);
    if (bavail * bsize >= lowDiskBytes) return undefined;
    const message = `the disk that holds ${out} is full: free some space, or give the agent another data directory`;
    return { kind: 'disk-full', agent: this.#options.agent, message };
  }

  #fail(failure: Failure): void {
    if (this.#stopping.kind !== 'no') return;
    this.#stopping = { kind: 'failed', failure };
    // The result comes by the loop; what `#stop` cannot do (a dead daemon) the loop learns from the link.
    this.#stop(0).catch(() => undefined);
  }

  #stop(graceMs: number): Promise<void> {
    this.#killAt = Math.min(this.#killAt, performance.now() + graceMs);
    this.#stopped ??= this.#stopOn();
    return this.#stopped;
  }

  async #stopOn(): Promise<void> {
    const { link, id } = this.#options;
    const members = async () => processesOfStep(await link.processes(), id);
    if (performance.now() < this.#killAt) signalAll(await members(), 'SIGTERM');
    while (!this.#ended && performance.now() < this.#killAt) await sleep(killRoundMs);
    const giveUpAt = performance.now() + endGraceMs;
    for (;;) {
      const left = await members();
      signalAll(left, 'SIGKILL');
      if (this.#ended && left.length === 0) return;
      if (performance.now() > giveUpAt) break;
      await sleep(killRoundMs);
    }
    await link.kill();
    await this.finished.catch(() => undefined);
  }

  async #result(found: { readonly end: LogEnd; readonly incomplete?: string }): Promise<StepResult> {
    const after = this.#options.link.counts();
    const exit = await this.#exit(found.end, after);
    const problems = this.#options.onEnd();
    const notes = [...this.#limitNotes(after), ...problems];
    return {
      exit,
      logBytes: found.end.bytes,
      ...(found.incomplete === undefined ? {} : { incomplete: found.incomplete }),
      ...(notes.length === 0 ? {} : { notes }),
    };
  }

  #limitNotes(after: CgroupCounts): readonly string[] {
    const refused = (after.forksRefused ?? 0) - (this.#options.before.forksRefused ?? 0);
    if (refused <= 0) return [];
    const limit = this.#options.link.limits.pids;
    return [`the step reached its limit of ${limit ?? 'some'} processes: ${refused} could not be started`];
  }

  async #exit(end: LogEnd, after: CgroupCounts): Promise<StepExit> {
    const { log, number, limitBytes } = this.#options;
    const failed = (failure: Failure): StepExit => ({ kind: 'failed', failure });
    if (log.overLimit) return failed({ kind: 'log-limit', step: number, limitBytes });
    switch (this.#stopping.kind) {
      case 'terminate':
        return { kind: 'terminated' };
      case 'failed': {
        const { failure } = this.#stopping;
        return failed((failure.kind === 'box-broken' ? this.#outOfMemory(after) : undefined) ?? failure);
      }
      case 'no': {
        if (end.exitCode === 0) return { kind: 'exited', exitCode: 0 };
        // 141 is SIGPIPE: the reader of the step's output died, which it does when the disk is full.
        const failure =
          this.#outOfMemory(after) ?? (end.exitCode === 141 ? await this.#diskFull() : undefined);
        return failure === undefined ? { kind: 'exited', exitCode: end.exitCode } : failed(failure);
      }
    }
  }

  #outOfMemory(after: CgroupCounts): Failure | undefined {
    const { link, number, before } = this.#options;
    if (after.oomKills === undefined || before.oomKills === undefined) return undefined;
    if (after.oomKills <= before.oomKills) return undefined;
    const limitBytes = link.limits.memoryBytes;
    return { kind: 'out-of-memory', step: number, ...(limitBytes === undefined ? {} : { limitBytes }) };
  }
}
