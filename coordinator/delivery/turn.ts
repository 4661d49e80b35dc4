import type { DeliveryEvent } from '../../shared/model/environment.js';
import { applyDelivery } from './apply.js';
import type { DeliveryContext, DeliveryEffect } from './command.js';
import { presenceOf, type DeliveryPresence, type EnvironmentPresence } from './presence.js';
import type { Deliveries, Environment } from './state.js';

/** So many events of one decision are well below what an entry of the journal holds; the rest follows at once. */
const mostEvents = 200;

/** One call of `decideDelivery`: what it has emitted so far, already applied. */
export class DeliveryTurn {
  readonly events: DeliveryEvent[] = [];
  readonly effects: DeliveryEffect[] = [];

  constructor(
    readonly deliveries: Deliveries,
    readonly presence: DeliveryPresence,
    readonly context: DeliveryContext,
  ) {}

  emit(event: DeliveryEvent): void {
    applyDelivery(this.deliveries, event, this.context.now.wallMs);
    this.events.push(event);
  }

  /** The rest is for the next turn, which is due at once. */
  isFull(): boolean {
    return this.events.length >= mostEvents;
  }
}

/** The effects that one environment wants now; what is not wanted any more is forgotten, and each is sent once until it is due. */
export class Wants {
  readonly #seen: EnvironmentPresence;
  readonly #kept: EnvironmentPresence['asked'] = new Map();
  #wakeMs = Infinity;

  constructor(
    readonly turn: DeliveryTurn,
    readonly environment: Environment,
  ) {
    this.#seen = presenceOf(turn.presence, environment);
  }

  /**
   * `make` is told how often it could not be done before. `patienceMs`: how long the outcome may take before the effect is
   * performed again, as a backstop.
   */
  want(key: string, make: (failures: number) => DeliveryEffect, patienceMs: number): void {
    if (this.#kept.has(key)) return;
    const nowMs = this.turn.context.now.monotonicMs;
    const before = this.#seen.asked.get(key);
    if (before !== undefined && nowMs < before.dueMs) {
      this.#kept.set(key, before);
      this.#wake(before.dueMs);
      return;
    }
    const failures = before?.failures ?? 0;
    this.#kept.set(key, { failures, dueMs: nowMs + patienceMs });
    this.#wake(nowMs + patienceMs);
    this.turn.effects.push(make(failures));
  }

  #wake(atMs: number): void {
    this.#wakeMs = Math.min(this.#wakeMs, atMs);
  }

  /** Wall time, for what a restart must not prolong. */
  wakeAtWall(atMs: number): void {
    const { wallMs, monotonicMs } = this.turn.context.now;
    this.#wake(monotonicMs + Math.max(1_000, atMs - wallMs));
  }

  done(): void {
    this.#seen.asked = this.#kept;
    for (const key of this.#seen.problems.keys()) if (!this.#kept.has(key)) this.#seen.problems.delete(key);
    const { wakes } = this.turn.presence;
    if (this.#wakeMs === Infinity) wakes.delete(this.environment);
    else wakes.set(this.environment, this.#wakeMs);
  }
}
