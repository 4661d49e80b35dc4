/**
 * Why an attempt is not to go on, and how far that goes. Each reason aborts one signal more than the one above it:
 *
 *     timed-out                   wanted                  steps end, artifacts are kept, the end is reported
 *     canceled, agent-stopped     wanted, keeping         steps end, logs are kept, the end is reported
 *     overtaken, handed-over      wanted, keeping, alive  nothing more is reported
 *                                   (overtaken: all is removed; handed-over: all stays for the next process)
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

const levels: Readonly<Record<StopReason['kind'], number>> = {
  'timed-out': 1,
  canceled: 2,
  'agent-stopped': 2,
  overtaken: 3,
  'handed-over': 3,
};

export class StopSwitch {
  readonly #wanted = new AbortController();
  readonly #keeping = new AbortController();
  readonly #alive = new AbortController();
  #reason: StopReason | undefined;

  /** Aborts when the attempt's steps are not wanted any more. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** Aborts when artifacts are not to be kept either. */
  get keeping(): AbortSignal {
    return this.#keeping.signal;
  }

  /** Aborts when not even the attempt's end is wanted from this process. */
  get alive(): AbortSignal {
    return this.#alive.signal;
  }

  /** The reason of the highest level so far; of one level the first. */
  get reason(): StopReason | undefined {
    return this.#reason;
  }

  /** Returns whether it changed anything. */
  stop(reason: StopReason): boolean {
    const level = levels[reason.kind];
    if (this.#reason !== undefined && levels[this.#reason.kind] >= level) return false;
    this.#reason = reason;
    const stopped = new Stopped(reason);
    // The farthest first: who hears of `wanted` looks at `alive` to know how far it goes, and aborting calls at once.
    if (level >= 3) this.#alive.abort(stopped);
    if (level >= 2) this.#keeping.abort(stopped);
    this.#wanted.abort(stopped);
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
