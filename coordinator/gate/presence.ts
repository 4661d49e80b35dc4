/**
 * What a leader knows about the gates beside the journal: what it has asked for, and whether it has seen each target
 * itself. Losing it loses nothing: a fresh one makes `decideGate` look at every target again, before it pushes
 * anything, and ask again for everything that is not confirmed.
 */
import type { CommitId } from '../../shared/model/ids.js';
import type { Gate } from './state.js';

interface Asked {
  readonly tries: number;
  /** Monotonic ms: when it is asked for again. */
  readonly dueMs: number;
}

export interface TargetPresence {
  /**
   * Counts the reasons to doubt that the target is where the state says: that this leader has not looked, a poll that
   * saw another tip, a push whose answer is lost. A fetch answers one of them; an older answer proves nothing.
   */
  doubts: number;
  /** The doubt that a fetch has cleared. Equal to `doubts`: the target is where the state says. */
  cleared: number;
  /** Where a poll saw the target last. */
  seenTip: CommitId | null | undefined;
  /** Effects whose outcome is awaited, by what they are about. */
  asked: Map<string, Asked>;
  /** What kept the last effect from being done, by the same key; for people. */
  readonly problems: Map<string, string>;
}

export interface GatePresence {
  /** `decideGate` has not looked at all gates. */
  isFresh: boolean;
  readonly targets: Map<Gate, TargetPresence>;
  /** When to look at a gate though nothing touched it, monotonic ms. */
  readonly wakes: Map<Gate, number>;
}

export const emptyGatePresence = (): GatePresence => ({
  isFresh: true,
  targets: new Map(),
  wakes: new Map(),
});

export function presenceOf(presence: GatePresence, gate: Gate): TargetPresence {
  const known = presence.targets.get(gate);
  if (known !== undefined) return known;
  const made: TargetPresence = {
    doubts: 1,
    cleared: 0,
    seenTip: undefined,
    asked: new Map(),
    problems: new Map(),
  };
  presence.targets.set(gate, made);
  return made;
}

export const isVerified = ({ doubts, cleared }: TargetPresence): boolean => doubts === cleared;

export function doubt(target: TargetPresence): void {
  target.doubts += 1;
}

/** How long after the n-th failure an effect is performed again: from 2 s doubling to five minutes. */
const restMs = (tries: number): number => Math.min(300_000, 1_000 * 2 ** Math.min(tries, 20));

/** It could not be done: it is asked for again after a while. */
export function rest(target: TargetPresence, key: string, at: { nowMs: number; problem: string }): void {
  const tries = target.asked.get(key)?.tries ?? 1;
  target.asked.set(key, { tries, dueMs: at.nowMs + restMs(tries) });
  target.problems.set(key, at.problem);
}
