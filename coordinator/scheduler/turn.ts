import type { Event } from '../../shared/model/event.js';
import { apply } from './apply.js';
import type { Effect, Now } from './command.js';
import type { Presence } from './presence.js';
import type { State } from './state.js';

/** An entry holds at most 512 KiB; this many events are well below, and the rest follows in the next. */
const mostEvents = 1_000;
/** Bounds the time of one decision; a fresh leader works through a large state in several turns. */
const mostLooks = 20_000;

/** One call of `decide`: what it has emitted so far, already applied. */
export class Turn {
  readonly events: Event[] = [];
  readonly effects: Effect[] = [];
  readonly #looksBefore: number;

  constructor(
    readonly state: State,
    readonly presence: Presence,
    readonly now: Now,
  ) {
    this.#looksBefore = presence.looks;
  }

  emit(event: Event): void {
    apply(this.state, event, this.now.wallMs, this.state.epoch);
    this.events.push(event);
  }

  perform(effect: Effect): void {
    this.effects.push(effect);
  }

  look(): void {
    this.presence.looks += 1;
  }

  /** What is left is for the next turn, which is due at once. */
  get isFull(): boolean {
    return this.events.length >= mostEvents || this.presence.looks - this.#looksBefore >= mostLooks;
  }
}
