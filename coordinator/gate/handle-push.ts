/** The answer to a landing push. */
import type { GateCommand, GateHandled } from './command.js';
import { keyOf } from './keys.js';
import { doubt, presenceOf, rest } from './presence.js';
import { accept, done, type World } from './respond.js';
import { findGate } from './state.js';

export function handlePush(
  { gates, presence, context }: World,
  command: Extract<GateCommand, { kind: 'PushAnswered' }>,
): GateHandled {
  const { project, target, commit, answer } = command;
  const gate = findGate(gates, command);
  if (gate === undefined) return done;
  const seen = presenceOf(presence, gate);
  const entry = gate.entries.find((other) => other.entry === command.entry);
  if (entry?.phase.kind !== 'pushing' || entry.phase.candidate.commit !== commit) {
    // A late answer: it tells nothing about the entry, but the target may be elsewhere.
    if (answer.kind === 'landed' && gate.tip !== commit) doubt(seen);
    return done;
  }
  const of = { project, target, entry: entry.entry };
  const { candidate, run } = entry.phase;
  switch (answer.kind) {
    case 'landed':
      return accept([{ kind: 'GateLanded', ...of, commit, from: candidate.base, run }]);
    case 'moved':
    case 'unknown': {
      // Moved perhaps by this very push, made twice: only the target tells.
      const problem = answer.kind === 'moved' ? `${target} had moved when it was pushed` : answer.message;
      rest(seen, keyOf.push(commit), { nowMs: context.now.monotonicMs, problem });
      doubt(seen);
      return done;
    }
    case 'refused-content':
      return accept([{ kind: 'GateEjected', ...of, ejection: { kind: 'refused', message: answer.message } }]);
    case 'refused-credentials':
      return accept([
        { kind: 'GatePushFailed', ...of, commit },
        {
          kind: 'GatePaused',
          project,
          target,
          pause: { kind: 'refused', doing: 'push', message: answer.message },
        },
      ]);
    case 'candidate-lost':
      return accept([{ kind: 'GateRebuilt', ...of, reason: 'candidate-lost' }]);
  }
}
