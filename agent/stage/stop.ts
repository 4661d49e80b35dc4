/**
 * Why an attempt is not to go on, and how far that goes. Two signals, because levels of stopping are different things:
 *
 *     wanted ──canceled | timed-out | agent-stopped──► steps end, what they wrote is kept, the end is reported
 *        │
 *        └──overtaken | handed-over──► alive aborts too: nothing more is reported
 *                     (overtaken: box and slot are removed; handed-over: all stays for the next process)
 */
import type { Failure } from '../../shared/model/failure.js';

export type StopReason =
  | { readonly kind: 'canceled'; readonly by: string }
  /** The stage ran longer than its limit. */
  | { readonly kind: 'timed-out'; readonly limitMs: number }
  /** A person ended the agent together with what it runs. */
  | { readonly kind: 'agent-stopped' }
  /** Another attempt took its place: forget it. */
  | { readonly kind: 'overtaken'; readonly reason: string }
  /** This process ends and the next one takes over. */
  | { readonly kind: 'handed-over' };

/** The reason of an aborted signal of a `StopSwitch`. */
export class Stopped extends Error {
  override readonly name = 'Stopped';

  constructor(readonly reason: StopReason) {
    super(`stopped: ${reason.kind}`);
  }
}

const endsAlive = (reason: StopReason): boolean =>
  reason.kind === 'overtaken' || reason.kind === 'handed-over';

export class StopSwitch {
  readonly #wanted = new AbortController();
  readonly #alive = new AbortController();
  #reason: StopReason | undefined;

  /** Aborts when the attempt's steps are not wanted any more. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** Aborts when not even the attempt's end is wanted from this process. */
  get alive(): AbortSignal {
    return this.#alive.signal;
  }

  /** The reason that counts: the first one, unless a later one ends more. */
  get reason(): StopReason | undefined {
    return this.#reason;
  }

  /** Returns whether it changed anything. */
  stop(reason: StopReason): boolean {
    if (this.#alive.signal.aborted) return false;
    if (this.#reason !== undefined && !endsAlive(reason)) return false;
    this.#reason = reason;
    const stopped = new Stopped(reason);
    this.#wanted.abort(stopped);
    if (endsAlive(reason)) this.#alive.abort(stopped);
    return true;
  }
}

/** What an attempt failed with when it was stopped; undefined for reasons after which nothing is reported. */
export function failureOfStop(reason: StopReason, agent: string): Failure | undefined {
  switch (reason.kind) {
    case 'canceled':
      return { kind: 'canceled', by: reason.by };
    case 'timed-out':
      return { kind: 'timed-out', limitMs: reason.limitMs };
    case 'agent-stopped':
      return { kind: 'agent-stopped', agent };
    case 'overtaken':
    case 'handed-over':
      return undefined;
  }
}
