import type { GateEvent } from '../../shared/model/gate.js';
import { applyLive } from './apply-live.js';
import type { GateContext, GateEffect } from './command.js';
import { isVerified, type GatePresence, type TargetPresence } from './presence.js';
import type { Gate, Gates } from './state.js';

/** So many events of one decision are well below what an entry of the journal holds; the rest follows at once. */
const mostEvents = 500;

/** One call of `decideGate`: what it has emitted so far, already applied. */
export class GateTurn {
  readonly events: GateEvent[] = [];
  readonly effects: GateEffect[] = [];

  constructor(
    readonly gates: Gates,
    readonly presence: GatePresence,
    readonly context: GateContext,
  ) {}

  emit(event: GateEvent): void {
    applyLive(this, event);
    this.events.push(event);
  }

  /** The rest is for the next turn, which is due at once. */
  isFull(): boolean {
    return this.events.length >= mostEvents;
  }
}

/** The effects that one gate wants now; what is not wanted any more is forgotten, and each is sent once until it is due. */
export class Wants {
  readonly #kept: TargetPresence['asked'] = new Map();
  #wakeMs = Infinity;

  constructor(
    readonly turn: GateTurn,
    readonly gate: Gate,
    readonly target: TargetPresence,
  ) {}

  /** `patienceMs`: how long the outcome may take before the effect is performed again, as a backstop. */
  want(key: string, effect: GateEffect, patienceMs: number): void {
    const nowMs = this.turn.context.now.monotonicMs;
    const before = this.target.asked.get(key);
    if (before !== undefined && nowMs < before.dueMs) {
      this.#kept.set(key, before);
      this.wake(before.dueMs);
      return;
    }
    const dueMs = nowMs + patienceMs;
    this.#kept.set(key, { tries: (before?.tries ?? 0) + 1, dueMs });
    this.wake(dueMs);
    this.turn.effects.push(effect);
  }

  /** Its outcome is awaited still, though it is not to be asked for now. */
  keep(key: string): void {
    const before = this.target.asked.get(key);
    if (before !== undefined) this.#kept.set(key, before);
  }

  wake(atMs: number): void {
    this.#wakeMs = Math.min(this.#wakeMs, atMs);
  }

  /** Wall time, for what a restart must not prolong. */
  wakeAtWall(atMs: number): void {
    const { wallMs, monotonicMs } = this.turn.context.now;
    this.wake(monotonicMs + Math.max(1_000, atMs - wallMs));
  }

  done(): void {
    // What was asked for before the target was doubted is most likely wanted again, and on its way.
    if (!isVerified(this.target))
      for (const key of this.target.asked.keys()) if (!this.#kept.has(key)) this.keep(key);
    this.target.asked = this.#kept;
    for (const key of this.target.problems.keys()) {
      if (!this.#kept.has(key)) this.target.problems.delete(key);
    }
    const { wakes } = this.turn.presence;
    if (this.#wakeMs === Infinity) wakes.delete(this.gate);
    else wakes.set(this.gate, this.#wakeMs);
  }
}
