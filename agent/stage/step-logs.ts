/**
 * The logs of one attempt on their way to the coordinator. A step's log may still be travelling while later steps run;
 * the attempt ends only when all have arrived.
 */
import type { LogDigest } from '../../shared/model/event.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { Session } from '../session/session.js';
import type { StepLog } from '../executor/executor.js';
import { LogIndex } from '../logs/log-index.js';
import { LogShipper } from '../logs/log-shipper.js';
import { MaskedLog } from '../logs/masked-log.js';
import type { AttemptRecord } from './attempt-record.js';
import type { StageSecrets } from './secrets.js';
import { room } from './room.js';

/** How often an acknowledged offset goes to the record: what is repeated after a crash is one second of log at most. */
const persistMs = 1000;

interface Shipment {
  readonly log: StepLog;
  /** Where there is something to hide: what of the log may leave the agent. */
  readonly masked: MaskedLog | undefined;
  readonly shipper: LogShipper;
  readonly index: LogIndex;
  /** Set when the step has ended. */
  done?: Promise<LogDigest>;
  persistedAt: number;
}

export class StepLogs {
  readonly #record: AttemptRecord;
  readonly #session: Pick<Session, 'log' | 'drained'>;
  readonly #secrets: Pick<StageSecrets, 'masker'>;
  readonly #ref: AttemptRef;
  readonly #token: Token;
  readonly #now: () => number;
  readonly #shipments = new Map<number, Shipment>();

  constructor(options: {
    readonly record: AttemptRecord;
    readonly session: Pick<Session, 'log' | 'drained'>;
    readonly secrets: Pick<StageSecrets, 'masker'>;
    readonly now: () => number;
  }) {
    const { run, stage, attempt, token } = options.record.state.assignment;
    this.#record = options.record;
    this.#session = options.session;
    this.#secrets = options.secrets;
    this.#ref = { run, stage, attempt };
    this.#token = token;
    this.#now = options.now;
  }

  /** Begins to ship the log, from where the coordinator acknowledged it. Throws before the attempt's secrets are known. */
  open(step: number, log: StepLog): void {
    const { masker } = this.#secrets;
    const masked = masker === undefined ? undefined : new MaskedLog(log, masker);
    const index = new LogIndex(this.#record.indexPath(step));
    const shipper = new LogShipper({
      source: masked ?? log,
      sink: {
        send: ({ offset, bytes, at }) =>
          this.#session.log({ ref: this.#ref, token: this.#token, step, offset, bytes, at }),
        drained: (signal) => room(this.#session, signal),
      },
      from: this.#record.state.logs.get(step)?.acknowledged ?? 0,
      onAcknowledged: (offset) => this.#persist(step, offset),
      onFirstSent: (offset, at) => index.add(offset, at),
      now: this.#now,
    });
    this.#shipments.set(step, { log, masked, shipper, index, persistedAt: 0 });
  }

  /** The step has ended: its log has exactly `bytes`. */
  ended(step: number, bytes: number): void {
    const shipment = this.#shipments.get(step);
    if (shipment === undefined) return;
    shipment.masked?.ended(bytes);
    shipment.done = this.#finish(step, shipment, bytes);
    // Awaited by `allShipped`; a hand-over never asks.
    shipment.done.catch(() => undefined);
  }

  /** Resolves when every byte of every ended step is acknowledged, with the digests in the order of the steps. */
  async allShipped(signal: AbortSignal): Promise<readonly LogDigest[]> {
    const waiting = [...this.#shipments.values()].flatMap(({ done }) => (done === undefined ? [] : [done]));
    await untilAborted(Promise.all(waiting), signal);
    return [...this.#record.state.logs.values()]
      .flatMap(({ shipped }) => (shipped === undefined ? [] : [shipped]))
      .sort((a, b) => a.step - b.step);
  }

  /** Every byte of the step's log before `offset` is durable at the coordinator. */
  acknowledged(step: number, offset: number): void {
    this.#shipments.get(step)?.shipper.acknowledged(offset);
  }

  linkUp(): void {
    for (const { shipper } of this.#shipments.values()) shipper.linkUp();
  }

  /** The descriptor of a step's log, while this process has it open. */
  descriptor(step: number): number | undefined {
    return this.#shipments.get(step)?.log.fd;
  }

  /** Stops shipping and writes down how far it came. */
  async close(): Promise<void> {
    for (const [step, { shipper, index, log }] of this.#shipments) {
      shipper.close();
      if (this.#record.state.logs.get(step)?.shipped === undefined) {
        await this.#record
          .append({ kind: 'log', step, acknowledged: shipper.acknowledgedBytes })
          .catch(() => undefined); // A full disk: the next process sends a little more again.
      }
      await index.close();
      await log.close();
    }
    this.#shipments.clear();
  }

  async #finish(step: number, shipment: Shipment, bytes: number): Promise<LogDigest> {
    const digest = { step, ...(await shipment.shipper.complete(bytes)) };
    await shipment.index.close();
    await this.#record.append({ kind: 'shipped', digest });
    return digest;
  }

  #persist(step: number, offset: number): void {
    const shipment = this.#shipments.get(step);
    const now = performance.now();
    if (shipment === undefined || now - shipment.persistedAt < persistMs) return;
    shipment.persistedAt = now;
    // Where the disk is full, the step itself fails with it; here only a repetition after a crash is at stake.
    this.#record.append({ kind: 'log', step, acknowledged: offset }).catch(() => undefined);
  }
}

/** The promise, or a rejection with the signal's reason when that comes first. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error); // Our own signals abort with errors only.
    if (signal.aborted) {
      onAbort();
      promise.catch(() => undefined);
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
