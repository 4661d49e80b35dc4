/**
 * The numbered reports of one attempt: kept on disk until acknowledged, sent in order, sent again when the link is new
 * or the coordinator asks. A report is never sent before its number is on disk: were it lost by a power failure, the
 * number would be given again, to something else, and confirmed as known.
 */
import { abortError } from '../../shared/async/sleep.js';
import type { Report } from '../../shared/model/event.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { AttemptRecord } from './attempt-record.js';
import type { NumberedReport } from './attempt-state.js';
import { room } from './room.js';

/** What the outbox needs of a session. */
export interface ReportSink {
  report(what: {
    readonly ref: AttemptRef;
    readonly token: Token;
    readonly n: number;
    readonly at: number;
    readonly report: Report;
  }): boolean;
  drained(signal: AbortSignal): Promise<void>;
}

export class Outbox {
  readonly #record: AttemptRecord;
  readonly #sink: ReportSink;
  readonly #signal: AbortSignal;
  readonly #onDiskTrouble: (error: unknown) => void;
  readonly #reports: NumberedReport[];
  #acknowledged: number;
  /** Reports up to this number were given to the session on this link. */
  #sent: number;
  /** Reports up to this number are on disk. */
  #durable: number;
  #pumping = false;
  readonly #waiting = new Set<{ readonly n: number; readonly done: () => void }>();

  constructor(options: {
    readonly record: AttemptRecord;
    readonly sink: ReportSink;
    /** Aborts when nothing more is to be reported. */
    readonly signal: AbortSignal;
    /** The disk took a report no more; it was sent nevertheless. */
    readonly onDiskTrouble: (error: unknown) => void;
  }) {
    const { state } = options.record;
    this.#record = options.record;
    this.#sink = options.sink;
    this.#signal = options.signal;
    this.#onDiskTrouble = options.onDiskTrouble;
    this.#reports = [...state.reports];
    this.#acknowledged = state.acknowledged;
    this.#sent = state.acknowledged;
    this.#durable = state.acknowledged;
  }

  get lastNumber(): number {
    return this.#reports.at(-1)?.n ?? 0;
  }

  get acknowledgedNumber(): number {
    return this.#acknowledged;
  }

  /** Gives the report the next number. The caller waits for nothing. */
  append(report: Report, at: number): number {
    const numbered: NumberedReport = { n: this.lastNumber + 1, at, report };
    this.#reports.push(numbered);
    // The pump waits for this line's sync and meets the same error there.
    this.#record.append({ kind: 'report', ...numbered }).catch(() => undefined);
    this.#wake();
    return numbered.n;
  }

  acknowledged(n: number): void {
    if (n <= this.#acknowledged) return;
    this.#acknowledged = Math.min(n, this.lastNumber);
    this.#sent = Math.max(this.#sent, this.#acknowledged);
    this.#record.append({ kind: 'acknowledged', n: this.#acknowledged }).catch(this.#onDiskTrouble);
    for (const each of this.#waiting) {
      if (each.n <= this.#acknowledged) each.done();
    }
  }

  /** Sends everything from `n` on again. */
  resend(n: number): void {
    this.#sent = Math.min(this.#sent, Math.max(n, this.#acknowledged + 1) - 1);
    this.#wake();
  }

  linkUp(): void {
    this.resend(this.#acknowledged + 1);
  }

  /** Resolves when all reports up to `n` are durable at the coordinator; rejects with the signal's reason. */
  whenAcknowledged(n: number, signal: AbortSignal): Promise<void> {
    if (n <= this.#acknowledged) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const over = (): void => {
        this.#waiting.delete(waiting);
        signal.removeEventListener('abort', onAbort);
      };
      const waiting = {
        n,
        done: () => {
          over();
          resolve();
        },
      };
      const onAbort = (): void => {
        over();
        reject(abortError(signal));
      };
      if (signal.aborted) {
        reject(abortError(signal));
        return;
      }
      this.#waiting.add(waiting);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #wake(): void {
    if (this.#pumping) return;
    // Rejects only with the signal's reason: nothing is to be sent any more.
    this.#pump().catch(() => undefined);
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      while (!this.#signal.aborted) {
        const next = this.#reports.at(this.#sent);
        if (next === undefined) return;
        if (next.n > this.#durable) {
          await this.#makeDurable();
          continue;
        }
        const { run, stage, attempt, token } = this.#record.state.assignment;
        if (this.#sink.report({ ref: { run, stage, attempt }, token, ...next })) this.#sent = next.n;
        else await room(this.#sink, this.#signal);
      }
    } finally {
      // In the same turn as the last look: a report appended after it wakes the pump again.
      this.#pumping = false;
    }
  }

  async #makeDurable(): Promise<void> {
    const last = this.lastNumber;
    try {
      await this.#record.sync();
    } catch (error) {
      // A full disk must not keep the end of the attempt from the coordinator; only a power failure now could hurt.
      this.#onDiskTrouble(error);
    }
    this.#durable = last;
  }
}
