/**
 * What to do now at the gates. It is part of the coordinator's turn (see `coordinator/scheduler/decide.ts`): its
 * events go into the turn's entry, and its effects are performed when that is durable.
 *
 * A gate is looked at when an event touched it or its time has come. Each look takes the oldest entry first, asks
 * `nextStep` what its state calls for, and begins anew after every fact, because a fact about one entry changes what
 * those behind it are merged onto. When no fact is left, the effects that are wanted are asked for.
 *
 * Nothing is landed twice or lost, because:
 *  - `GatePushBegan` is durable before the push is made, so a leader that finds a `pushing` entry knows that it may
 *    have landed, and every leader looks at a target before it acts there;
 *  - a push states the commit it expects there, and the candidate it pushes is the same after every crash;
 *  - a target that contains the candidate has landed it, whoever says otherwise.
 */
import { chooseEffects } from './choose-effects.js';
import type { GateContext, GateDecision } from './command.js';
import { nextStep, type Sight, type Step } from './next-step.js';
import { presenceOf, type GatePresence } from './presence.js';
import { findGate, type Gate, type GateEntry, type Gates } from './state.js';
import { GateTurn } from './turn.js';

export function decideGate(gates: Gates, presence: GatePresence, context: GateContext): GateDecision {
  const turn = new GateTurn(gates, presence, context);
  if (presence.isFresh) for (const gate of gates.all.values()) gates.touched.add(gate);
  presence.isFresh = false;
  for (const [gate, wakeMs] of presence.wakes) {
    if (findGate(gates, gate) !== gate) {
      // Its project was removed.
      presence.wakes.delete(gate);
      presence.targets.delete(gate);
      continue;
    }
    if (wakeMs <= context.now.monotonicMs) gates.touched.add(gate);
  }
  for (const gate of gates.touched) {
    if (turn.isFull()) break;
    gates.touched.delete(gate);
    lookAtGate(turn, gate);
    // What the look itself changed it has seen; what it had no room for it left.
    if (!turn.isFull()) gates.touched.delete(gate);
  }
  const wakeAtMs = gates.touched.size > 0 ? context.now.monotonicMs : soonest(presence);
  return { events: turn.events, effects: turn.effects, ...(wakeAtMs === undefined ? {} : { wakeAtMs }) };
}

function soonest(presence: GatePresence): number | undefined {
  return presence.wakes.size === 0 ? undefined : Math.min(...presence.wakes.values());
}

function lookAtGate(turn: GateTurn, gate: Gate): void {
  const { context } = turn;
  const sight: Sight = {
    gate,
    target: presenceOf(turn.presence, gate),
    settings: context.settings(gate.project),
    context,
  };
  while (!turn.isFull() && recordNext(turn, sight));
  if (!turn.isFull()) chooseEffects(turn, sight);
}

/** Records the first fact that an entry's state calls for. False when none does. */
function recordNext(turn: GateTurn, sight: Sight): boolean {
  return sight.gate.entries.some((entry, place) =>
    record(turn, sight.gate, entry, nextStep(sight, entry, place)),
  );
}

function record(turn: GateTurn, gate: Gate, entry: GateEntry, step: Step): boolean {
  const { project, target } = gate;
  const of = { project, target, entry: entry.entry };
  switch (step.kind) {
    case 'eject':
      turn.emit({ kind: 'GateEjected', ...of, ejection: step.ejection });
      return true;
    case 'already-landed':
      turn.emit({ kind: 'GateAlreadyLanded', ...of });
      return true;
    case 'rebuild':
      turn.emit({ kind: 'GateRebuilt', ...of, reason: step.reason });
      return true;
    case 'give-up': {
      const { run, limitMs } = step;
      turn.emit({
        kind: 'GateRunEnded',
        ...of,
        run,
        verdict: {
          kind: 'red',
          reason: `run ${run} hung: it took longer than the gate's limit`,
          failure: { kind: 'timed-out', limitMs },
        },
        isGivenUp: true,
      });
      return true;
    }
    case 'pause':
      turn.emit({ kind: 'GatePaused', project, target, pause: step.pause });
      return true;
    case 'begin-push': {
      if (entry.phase.kind !== 'green') return false;
      const { commit, base } = entry.phase.candidate;
      turn.emit({ kind: 'GatePushBegan', ...of, commit, expected: base });
      return true;
    }
    case 'merge':
    case 'start-run':
    case 'follow-run':
    case 'push':
    case 'wait':
      return false;
  }
}
