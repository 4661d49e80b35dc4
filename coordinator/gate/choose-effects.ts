/** Which effects a gate's state calls for, once no fact is left to record. */
import type { GateEffect } from './command.js';
import { keyOf } from './keys.js';
import { nextStep, type Sight, type Step } from './next-step.js';
import { isVerified } from './presence.js';
import { candidateInQuestion, factsOf, type Gate, type GateEntry } from './state.js';
import { Wants, type GateTurn } from './turn.js';

/** Every effect answers, also when it fails. These are for the answer that is lost within the process. */
const patienceMs = {
  fetch: 3 * 60_000,
  merge: 10 * 60_000,
  'start-run': 5 * 60_000,
  'follow-run': 30 * 60_000,
  push: 5 * 60_000,
  chore: 60_000,
} as const;

export function chooseEffects(turn: GateTurn, sight: Sight): void {
  const { gate, target } = sight;
  const wants = new Wants(turn, gate, target);
  if (!isVerified(target) && isLookedAt(sight)) {
    wants.want(keyOf.fetch(target.doubts), fetchOf(gate, target.doubts), patienceMs.fetch);
  }
  gate.entries.forEach((entry, place) => chooseFor(wants, entry, nextStep(sight, entry, place)));
  for (const [chore, what] of gate.chores) {
    const { project, target: branch } = gate;
    wants.want(
      keyOf.chore(chore),
      { kind: 'DoChore', project, target: branch, chore, what },
      patienceMs.chore,
    );
  }
  wants.done();
}

/** A target that was rewound, is gone, or does not let the gate in is a person's to mend, who then resumes. */
export function isLookedAt({ gate, settings }: Pick<Sight, 'gate' | 'settings'>): boolean {
  if (settings === undefined) return false;
  switch (gate.paused?.pause.kind) {
    case 'rewound':
    case 'deleted':
    case 'refused':
      // But a push that may have landed is settled, if the server lets us.
      return gate.paused.pause.kind === 'refused' && gate.entries.some(isPushing);
    case 'asked':
    case 'ours':
    case undefined:
      return true;
  }
}

const isPushing = ({ phase }: GateEntry): boolean => phase.kind === 'pushing';

function fetchOf(gate: Gate, doubt: number): GateEffect {
  const asked = candidateInQuestion(gate);
  return {
    kind: 'FetchToVerify',
    project: gate.project,
    target: gate.target,
    doubt,
    ...(gate.tip === undefined ? {} : { known: gate.tip }),
    ...(asked === undefined ? {} : { candidate: asked.commit }),
  };
}

function chooseFor(wants: Wants, entry: GateEntry, step: Step): void {
  const { project, target } = wants.gate;
  const of = { project, target, entry: entry.entry };
  const { phase } = entry;
  switch (step.kind) {
    case 'merge':
      wants.want(
        keyOf.merge(entry.entry, step.base),
        { kind: 'Merge', ...of, base: step.base, of: factsOf(entry) },
        patienceMs.merge,
      );
      return;
    case 'start-run':
    case 'follow-run': {
      if (phase.kind !== 'built' && phase.kind !== 'testing') return;
      const { run, candidate, faults } = phase;
      const last = faults.at(-1);
      const effect: GateEffect = {
        kind: 'StartRun',
        ...of,
        run,
        candidate,
        of: factsOf(entry),
        ...(last === undefined ? {} : { retryOf: last.run }),
      };
      wants.want(keyOf.run(run), effect, patienceMs[step.kind]);
      if (step.kind === 'follow-run') wants.wakeAtWall(step.untilMs);
      return;
    }
    case 'push':
      if (phase.kind !== 'pushing') return;
      wants.want(
        keyOf.push(phase.candidate.commit),
        { kind: 'Push', ...of, commit: phase.candidate.commit, expected: phase.candidate.base },
        patienceMs.push,
      );
      return;
    case 'wait':
      if (step.wait.kind === 'retry') wants.wakeAtWall(step.wait.untilMs);
      if (phase.kind === 'pushing') wants.keep(keyOf.push(phase.candidate.commit));
      return;
    case 'eject':
    case 'already-landed':
    case 'rebuild':
    case 'give-up':
    case 'pause':
    case 'begin-push':
      // Facts, recorded before.
      return;
  }
}
