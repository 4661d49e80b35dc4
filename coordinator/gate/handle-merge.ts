/** The outcome of a merge. */
import { mostConflictFiles } from '../../shared/model/ejection.js';
import { baseFor, merging } from './chain.js';
import type { GateCommand, GateHandled } from './command.js';
import { leave } from './handle-entry.js';
import { keyOf } from './keys.js';
import { presenceOf, rest } from './presence.js';
import { accept, done, type World } from './respond.js';
import { findGate } from './state.js';

/** Of several merges of an entry onto the same base the first counts; one onto another base is too late. */
export function handleMerge(
  { gates, presence, context }: World,
  command: Extract<GateCommand, { kind: 'MergeAnswered' }>,
): GateHandled {
  const { project, target, base, answer } = command;
  const gate = findGate(gates, command);
  const entry = gate?.entries.find((other) => other.entry === command.entry);
  if (gate === undefined || entry?.phase.kind !== 'queued') return done;
  const wanted = baseFor(gate, entry);
  if (wanted.kind !== 'known' || wanted.commit !== base) return done;
  const of = { project, target, entry: entry.entry };
  const restBecause = (problem: string): GateHandled => {
    const key = keyOf.merge(entry.entry, base);
    rest(presenceOf(presence, gate), key, { nowMs: context.now.monotonicMs, problem });
    return done;
  };
  switch (answer.kind) {
    case 'merged':
      return accept([{ kind: 'GateMerged', ...of, candidate: answer.candidate }]);
    case 'conflict':
      return accept([
        { kind: 'GateConflicted', ...of, base, files: answer.files.slice(0, mostConflictFiles) },
      ]);
    case 'contained':
      return accept([{ kind: 'GateContained', ...of, base }]);
    case 'commit-missing':
      return accept(leave(gate, entry, { kind: 'commit-missing', message: answer.message }));
    case 'base-missing': {
      const holder = merging(gate, base);
      if (holder === undefined || holder.phase.kind === 'pushing')
        return restBecause(`commit ${base} is not on the coordinator's machine`);
      return accept([
        { kind: 'GateRebuilt', project, target, entry: holder.entry, reason: 'candidate-lost' },
      ]);
    }
    case 'refused-credentials':
      if (gate.paused !== undefined) return restBecause(answer.message);
      return accept([
        {
          kind: 'GatePaused',
          project,
          target,
          pause: { kind: 'refused', doing: 'fetch', message: answer.message },
        },
      ]);
    case 'unavailable':
      return restBecause(answer.message);
  }
}
