/** How deliveries fare, in memory: what `gantry doctor` says. Whatever still waits tries again, so a restart soon knows it too. */
import type { Outcome } from './deliverer.js';

/** One way out: the SMTP server, or one webhook of one project. */
export interface LaneHealth {
  /** `mail`, or `webhook NAME of PROJECT`. */
  readonly lane: string;
  /** Wall ms; absent: never since the start. */
  readonly lastSuccessAt?: number;
  /** Since when nothing gets through; absent: the last attempt got through. */
  readonly failing?: { readonly since: number; readonly attempts: number; readonly message: string };
  /** The last targets that will not be told, and why; newest last. */
  readonly refused: readonly Refusal[];
}

export interface Refusal {
  readonly target: string;
  readonly at: number;
  readonly message: string;
}

/** What a delivery was about. */
export interface Delivery {
  readonly lane: string;
  readonly target: string;
}

const keptRefusals = 20;
/** Those used longest ago are forgotten. */
const keptLanes = 500;

export class DeliveryHealth {
  readonly #lanes = new Map<string, LaneHealth>();

  saw({ lane, target }: Delivery, outcome: Outcome, now: number): void {
    const { failing, ...before } = this.#lanes.get(lane) ?? { lane, refused: [] };
    const others = before.refused.filter((refusal) => refusal.target !== target);
    switch (outcome.kind) {
      case 'failed': {
        const attempts = (failing?.attempts ?? 0) + 1;
        const since = failing?.since ?? now;
        this.#set({ ...before, failing: { since, attempts, message: outcome.message } });
        return;
      }
      case 'delivered':
        this.#set({ ...before, lastSuccessAt: now, refused: others });
        return;
      case 'refused': {
        // A refusal of one message is an answer: somebody is there.
        const refusal = { target, at: now, message: outcome.message };
        this.#set({ ...before, refused: [...others, refusal].slice(-keptRefusals) });
        return;
      }
    }
  }

  /** In the order of their names. */
  lanes(): readonly LaneHealth[] {
    return [...this.#lanes.values()].sort((a, b) => (a.lane < b.lane ? -1 : 1));
  }

  #set(lane: LaneHealth): void {
    this.#lanes.delete(lane.lane);
    this.#lanes.set(lane.lane, lane);
    for (const oldest of this.#lanes.keys()) {
      if (this.#lanes.size <= keptLanes) return;
      this.#lanes.delete(oldest);
    }
  }
}
