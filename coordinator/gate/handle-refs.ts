/** What a poll or a hook saw on the remote. */
import type { GateCommand, GateHandled } from './command.js';
import { leave } from './handle-entry.js';
import { doubt, isVerified, presenceOf } from './presence.js';
import { accept, done, type World } from './respond.js';
import { findGate } from './state.js';

/**
 * An entry is a commit, so a branch that goes on from it changes nothing. One that left it, or is gone, takes it
 * along. The tip it has then queues only when somebody says so.
 */
export function refChanged(
  { gates }: World,
  { project, ref, change }: Extract<GateCommand, { kind: 'RefChanged' }>,
): GateHandled {
  if (change.kind === 'forward') return done;
  const events = [...gates.all.values()]
    .filter((gate) => gate.project === project)
    .flatMap((gate) =>
      gate.entries
        .filter(({ source }) => source.ref === ref)
        // Force-pushed first and queued afterwards, noticed the other way round.
        .filter(({ commit }) => change.kind === 'deleted' || change.to !== commit)
        .flatMap((entry) =>
          leave(
            gate,
            entry,
            change.kind === 'deleted'
              ? { kind: 'deleted', ref }
              : { kind: 'force-pushed', ref, to: change.to },
          ),
        ),
    );
  return accept(events);
}

/** Another tip than the known one proves nothing yet: polls are late, and landings are moves too. It is looked at. */
export function targetSeen(
  { gates, presence, context }: World,
  command: Extract<GateCommand, { kind: 'TargetSeen' }>,
): GateHandled {
  const { project, target, tip } = command;
  const gate = findGate(gates, command);
  if (gate === undefined) {
    const isGuarded = context.settings(project)?.targets.includes(target) === true;
    return isGuarded && tip !== null ? accept([{ kind: 'GateTargetSeen', project, target, tip }]) : done;
  }
  const seen = presenceOf(presence, gate);
  const isNews = isVerified(seen) || seen.seenTip !== tip;
  seen.seenTip = tip;
  // Each poll says it again while a fetch is on its way, which must not make that fetch worthless.
  if (isNews && gate.tip !== tip) doubt(seen);
  return done;
}
