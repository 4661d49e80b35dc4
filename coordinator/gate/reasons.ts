/** Why an entry has not landed yet, in sentences for people, by the function that decides what it does next. */
import { describePause, sourceName } from '../../shared/model/gate.js';
import type { GateContext } from './command.js';
import { keyOf } from './keys.js';
import { nextStep, type Sight, type Step, type Wait } from './next-step.js';
import { isVerified, presenceOf, type GatePresence } from './presence.js';
import type { Gate, GateEntry } from './state.js';

/** So many pushes past the gate between two landings are told. */
const toldBypasses = 3;

/** `place`: of the entry in its queue, from 0. Empty when the next decision moves it on. */
export function reasonsOf(
  gate: Gate,
  place: number,
  beside: { readonly presence: GatePresence; readonly context: GateContext },
): readonly string[] {
  const entry = gate.entries[place];
  if (entry === undefined) return [];
  const sight = sightOf(gate, beside);
  const step = nextStep(sight, entry, place);
  const reasons = [...sentences(sight, entry, step)];
  if (entry.leaving !== undefined) reasons.push('it leaves the queue if its push does not succeed');
  return reasons;
}

/** What is to be known of the gate as a whole. */
export function notesOf(
  gate: Gate,
  beside: { readonly presence: GatePresence; readonly context: GateContext },
): readonly string[] {
  const { target, settings } = sightOf(gate, beside);
  const notes: string[] = [];
  const { count, by } = gate.bypasses;
  if (count >= toldBypasses) {
    const who = by.length === 0 ? 'somebody' : by.join(', ');
    notes.push(
      `${who} pushed to ${gate.target} past the gate ${count} times since the last landing, and every time all entries are built again ` +
        '(`gantry gate protect` keeps such pushes out)',
    );
  }
  if (settings === undefined) notes.push('the project has no gate any more: nothing lands');
  if (!isVerified(target) && gate.paused === undefined) notes.push(fetching(gate, target));
  return notes;
}

function sightOf(
  gate: Gate,
  { presence, context }: { readonly presence: GatePresence; readonly context: GateContext },
): Sight {
  return {
    gate,
    target: presenceOf(presence, gate),
    settings: context.settings(gate.project),
    context,
  };
}

function sentences(sight: Sight, entry: GateEntry, step: Step): readonly string[] {
  const { target } = sight;
  switch (step.kind) {
    case 'wait':
    case 'follow-run':
    case 'push':
      return [sentenceOf(sight, entry, step.wait)];
    case 'merge': {
      const problem = target.problems.get(keyOf.merge(entry.entry, step.base));
      return [problem === undefined ? 'it is being merged' : `it could not be merged yet: ${problem}`];
    }
    case 'start-run':
      return ['its run is being prepared'];
    case 'eject':
    case 'already-landed':
    case 'rebuild':
    case 'give-up':
    case 'pause':
    case 'begin-push':
      return [];
  }
}

function sentenceOf({ gate, target, context }: Sight, { phase }: GateEntry, wait: Wait): string {
  switch (wait.kind) {
    case 'no-settings':
      return 'the project has no gate any more';
    case 'paused':
      return `the gate stands still: ${describePause(wait.pause)}`;
    case 'unverified':
      return fetching(gate, target);
    case 'depth':
      return wait.depth === 1
        ? 'the gate tests one entry at a time, and others are ahead of it'
        : `the gate tests ${wait.depth} entries at a time, and as many are ahead of it`;
    case 'merge-ahead':
      return `${sourceName(wait.entry.source)}, which is ahead of it, is still to be merged`;
    case 'outcome-depends':
      return depends(wait.phase);
    case 'tested':
      return wait.status === 'running' ? `run ${wait.run} tests it` : `run ${wait.run} waits for an agent`;
    case 'retry': {
      const seconds = Math.max(1, Math.ceil((wait.untilMs - context.now.wallMs) / 1000));
      return `run ${wait.fault.run} failed by Gantry's fault (${wait.fault.reason}): it is tested again in ${seconds} s`;
    }
    case 'order':
      return `it is green, and lands after ${sourceName(wait.head.source)}`;
    case 'push-answer': {
      const problem =
        phase.kind === 'pushing' ? target.problems.get(keyOf.push(phase.candidate.commit)) : undefined;
      return problem === undefined
        ? `it is being pushed to ${gate.target}`
        : `it was pushed to ${gate.target}, and whether it landed is being looked at: ${problem}`;
    }
  }
}

function depends(phase: Extract<Wait, { kind: 'outcome-depends' }>['phase']): string {
  switch (phase.kind) {
    case 'conflicted':
      return `it conflicts with an entry ahead of it in ${phase.files.join(', ')}: it is merged again when that one has landed or left`;
    case 'contained':
      return 'an entry ahead of it contains it: it ends when that one has landed or left';
    case 'red':
      return phase.verdict.kind === 'red'
        ? `on top of the entries ahead of it, ${phase.verdict.reason}: it is ejected if they land, and tested without those that do not`
        : `its run was canceled by ${phase.verdict.by}`;
  }
}

function fetching(gate: Gate, target: Sight['target']): string {
  const problem = target.problems.get(keyOf.fetch(target.doubts));
  return problem === undefined
    ? `${gate.target} is being fetched, to see where it is`
    : `${gate.target} cannot be fetched: ${problem}`;
}
