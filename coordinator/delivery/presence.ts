/**
 * What a leader knows of environments beside the journal: what it has asked for. Losing it loses nothing: a fresh one makes
 * `decideDelivery` look at every environment, and ask again for everything that is not confirmed.
 */
import type { Environment } from './state.js';

interface Asked {
  /** How often it could not be done. */
  readonly failures: number;
  /** Monotonic ms: when it is asked for again. */
  readonly dueMs: number;
}

export interface EnvironmentPresence {
  /** Effects whose outcome is awaited, by what they are about. */
  asked: Map<string, Asked>;
  /** What kept the last effect from being done, by the same key; for people. */
  readonly problems: Map<string, string>;
}

export interface DeliveryPresence {
  /** `decideDelivery` has not looked at all environments. */
  isFresh: boolean;
  readonly environments: Map<Environment, EnvironmentPresence>;
  /** When to look at an environment though nothing touched it, monotonic ms. */
  readonly wakes: Map<Environment, number>;
}

export const emptyDeliveryPresence = (): DeliveryPresence => ({
  isFresh: true,
  environments: new Map(),
  wakes: new Map(),
});

export function presenceOf(presence: DeliveryPresence, environment: Environment): EnvironmentPresence {
  const known = presence.environments.get(environment);
  if (known !== undefined) return known;
  const made: EnvironmentPresence = { asked: new Map(), problems: new Map() };
  presence.environments.set(environment, made);
  return made;
}

/** How long after the n-th failure an effect is performed again: from 2 s doubling to five minutes. */
const restMs = (failures: number): number => Math.min(300_000, 1_000 * 2 ** Math.min(failures, 20));

/** It could not be done: it is asked for again after a while. */
export function rest(
  { asked, problems }: EnvironmentPresence,
  key: string,
  at: { readonly nowMs: number; readonly problem: string },
): void {
  const failures = (asked.get(key)?.failures ?? 0) + 1;
  asked.set(key, { failures, dueMs: at.nowMs + restMs(failures) });
  problems.set(key, at.problem);
}
