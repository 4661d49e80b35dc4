/**
 * A request from outside, or the outcome of an effect, becomes events or a refusal. What it returns has been applied;
 * see `decide.ts` for the turn it is part of. It is given the presence because some outcomes are no facts: that the
 * target must be looked at, or that something could not be done yet.
 */
import type { GateEvent, RunVerdict } from '../../shared/model/gate.js';
import type { RunId } from '../../shared/model/ids.js';
import { applyLive } from './apply-live.js';
import type { GateCommand, GateContext, GateHandled } from './command.js';
import { handleFetch } from './handle-fetch.js';
import { eject, land } from './handle-entry.js';
import { handleMerge } from './handle-merge.js';
import { handlePush } from './handle-push.js';
import { refChanged, targetSeen } from './handle-refs.js';
import { doubt, presenceOf, type GatePresence } from './presence.js';
import { accept, answer, done, type World } from './respond.js';
import { findGate, gateKey, type Gates } from './state.js';
import { verdictOn, verdictOnRefused } from './verdict.js';

export function handleGate(
  gates: Gates,
  command: GateCommand,
  beside: { readonly presence: GatePresence; readonly context: GateContext },
): GateHandled {
  const world: World = { gates, ...beside };
  const handled = respond(world, command);
  for (const event of handled.events) applyLive(world, event);
  // Also what changed in the presence alone is to be looked at.
  const gate = 'target' in command ? gates.all.get(gateKey(command.project, command.target)) : undefined;
  if (gate !== undefined) gates.touched.add(gate);
  return handled;
}

function respond(world: World, command: GateCommand): GateHandled {
  switch (command.kind) {
    case 'Land':
      return land(world, command);
    case 'Eject':
      return eject(world, command);
    case 'RefChanged':
      return refChanged(world, command);
    case 'TargetSeen':
      return targetSeen(world, command);
    case 'Pause':
      return pause(world, command);
    case 'Resume':
      return resume(world, command);
    case 'MergeAnswered':
      return handleMerge(world, command);
    case 'RunStarted':
      return runStarted(world, command.run);
    case 'RunRefused':
      return runEnded(world, command.run, () => verdictOnRefused(command.failure, command.spare));
    case 'RunEnded':
      return runEnded(world, command.run, (require) => verdictOn({ ...command, require }));
    case 'PushAnswered':
      return handlePush(world, command);
    case 'FetchAnswered':
      return handleFetch(world, command);
    case 'ChoreDone':
      return choreDone(world, command);
  }
}

function pause({ gates, context }: World, command: Extract<GateCommand, { kind: 'Pause' }>): GateHandled {
  const { project, target, by, reason } = command;
  const gate = findGate(gates, command);
  if (gate === undefined && context.settings(project) === undefined) {
    return answer({ kind: 'not-found', message: `there is no gate for ${target}` });
  }
  // A gate that stands still already has a reason that must be mended, and is not to be forgotten.
  if (gate?.paused !== undefined) return done;
  const asked = { kind: 'asked' as const, by, ...(reason === undefined ? {} : { reason }) };
  return accept([{ kind: 'GatePaused', project, target, pause: asked }]);
}

function resume({ gates, presence }: World, command: Extract<GateCommand, { kind: 'Resume' }>): GateHandled {
  const { project, target, by } = command;
  const gate = findGate(gates, command);
  if (gate === undefined) return answer({ kind: 'not-found', message: `there is no gate for ${target}` });
  if (gate.paused === undefined) return done;
  doubt(presenceOf(presence, gate));
  return accept([{ kind: 'GateResumed', project, target, by }]);
}

function runStarted({ gates }: World, run: RunId): GateHandled {
  const found = gates.runs.get(run);
  if (found?.entry.phase.kind !== 'built') return done;
  const { gate, entry } = found;
  return accept([
    { kind: 'GateRunStarted', project: gate.project, target: gate.target, entry: entry.entry, run },
  ]);
}

/** A run that no entry waits for any more is none of the gate's. */
function runEnded(
  { gates, context }: World,
  run: RunId,
  judge: (require: readonly string[]) => RunVerdict,
): GateHandled {
  const found = gates.runs.get(run);
  if (found === undefined) return done;
  const { gate, entry } = found;
  const { project, target } = gate;
  const settings = context.settings(project);
  // Nobody says what green is. When somebody does, `StartRun` tells the end again.
  if (settings === undefined) return done;
  const verdict = judge(settings.require);
  const event: GateEvent = {
    kind: 'GateRunEnded',
    project,
    target,
    entry: entry.entry,
    run,
    verdict,
    isGivenUp: false,
  };
  return accept([event]);
}

function choreDone({ gates }: World, command: Extract<GateCommand, { kind: 'ChoreDone' }>): GateHandled {
  const { project, target, chore, message } = command;
  if (findGate(gates, command)?.chores.has(chore) !== true) return done;
  const event = { kind: 'GateChoreDone', project, target, chore } as const;
  return accept([message === undefined ? event : { ...event, message }]);
}
