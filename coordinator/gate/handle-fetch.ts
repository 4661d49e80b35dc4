/** Where the target really is: the one answer that settles a lost push, a foreign push, and a rewind. */
import type { GateEvent } from '../../shared/model/gate.js';
import { isLookedAt } from './choose-effects.js';
import type { FetchAnswer, GateCommand, GateHandled } from './command.js';
import { keyOf } from './keys.js';
import { doubt, isVerified, presenceOf, rest } from './presence.js';
import { accept, done, type World } from './respond.js';
import { candidateInQuestion, findGate, mayPush, type Gate, type GateEntry } from './state.js';

export function handleFetch(
  { gates, presence, context }: World,
  command: Extract<GateCommand, { kind: 'FetchAnswered' }>,
): GateHandled {
  const { project, target, answer } = command;
  const gate = findGate(gates, command);
  if (gate === undefined) return done;
  const seen = presenceOf(presence, gate);
  if (isVerified(seen) || command.doubt !== seen.doubts) return done;
  if (!isLookedAt({ gate, settings: context.settings(project) })) return done;
  const pushing = gate.entries.find(({ phase }) => phase.kind === 'pushing');
  if (command.known !== gate.tip || command.candidate !== candidateInQuestion(gate)?.commit) {
    // It looked for something else than what is now in question.
    doubt(seen);
    return done;
  }
  const later = (problem: string): void =>
    rest(seen, keyOf.fetch(seen.doubts), { nowMs: context.now.monotonicMs, problem });
  switch (answer.kind) {
    case 'unavailable':
      later(answer.message);
      return done;
    case 'refused-credentials':
      later(answer.message);
      if (gate.paused !== undefined) return done;
      return accept([
        {
          kind: 'GatePaused',
          project,
          target,
          pause: { kind: 'refused', doing: 'fetch', message: answer.message },
        },
      ]);
    case 'deleted': {
      seen.cleared = seen.doubts;
      const was = gate.tip === undefined ? {} : { was: gate.tip };
      return accept([...pushFailed(gate, pushing), ...pausedFor(gate, { kind: 'deleted', ...was })]);
    }
    case 'fetched':
      seen.cleared = seen.doubts;
      return accept(eventsOf(gate, pushing, answer));
  }
}

function eventsOf(
  gate: Gate,
  pushing: GateEntry | undefined,
  { tip, isForward, containsCandidate, by }: Extract<FetchAnswer, { kind: 'fetched' }>,
): readonly GateEvent[] {
  const { project, target } = gate;
  if (gate.tip === undefined) return [{ kind: 'GateTargetSeen', project, target, tip }];
  const moved = (from: Gate['tip']): readonly GateEvent[] =>
    from === undefined || from === tip ? [] : [{ kind: 'GateBypassed', project, target, from, to: tip, by }];
  const asked = candidateInQuestion(gate);
  if (asked !== undefined && containsCandidate) {
    const { entry, run, commit, base } = asked;
    const landed: GateEvent = {
      kind: 'GateLanded',
      project,
      target,
      entry,
      commit,
      from: base,
      run,
    };
    return [landed, ...moved(commit)];
  }
  if (tip === gate.tip) {
    // It is pushed again, unless that is not wanted any more.
    return pushing === undefined || mayPush(gate, pushing) ? [] : pushFailed(gate, pushing);
  }
  if (isForward) return [...pushFailed(gate, pushing), ...moved(gate.tip)];
  return [...pushFailed(gate, pushing), ...pausedFor(gate, { kind: 'rewound', from: gate.tip, to: tip })];
}

/** A rewind and a deletion are worse than what the gate may be paused for, and resuming must know of them. */
const pausedFor = (
  { project, target }: Gate,
  pause: Extract<GateEvent, { kind: 'GatePaused' }>['pause'],
): readonly GateEvent[] => [{ kind: 'GatePaused', project, target, pause }];

function pushFailed({ project, target }: Gate, pushing: GateEntry | undefined): readonly GateEvent[] {
  const commit = candidateOf(pushing);
  return pushing === undefined || commit === undefined
    ? []
    : [{ kind: 'GatePushFailed', project, target, entry: pushing.entry, commit }];
}

const candidateOf = (entry: GateEntry | undefined): GateEntry['commit'] | undefined =>
  entry?.phase.kind === 'pushing' ? entry.phase.candidate.commit : undefined;
