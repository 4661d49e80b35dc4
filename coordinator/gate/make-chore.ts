/** Which chores the end of something leaves behind. Part of `applyGate`. */
import type { RunId } from '../../shared/model/ids.js';
import type { Chore, EndedEntry, Gate } from './state.js';

export function makeChore(gate: Gate, chore: Chore): void {
  gate.choresMade += 1;
  gate.chores.set(gate.choresMade, chore);
}

/** The run may not have begun, or have ended: canceling it is harmless then. */
export function stopRun(gate: Gate, run: RunId | undefined): void {
  if (run !== undefined) makeChore(gate, { kind: 'cancel-run', run });
}

/** A proposal's ref is the gate's to delete, and stating the old value spares what was pushed there meanwhile. */
export function deleteRefOf(gate: Gate, { source, commit, end }: EndedEntry): void {
  if (source.kind !== 'proposal') return;
  const isGone = end.kind === 'ejected' && refIsElsewhere.has(end.ejection.kind);
  if (!isGone) makeChore(gate, { kind: 'delete-ref', ref: source.ref, old: commit });
}

const refIsElsewhere: ReadonlySet<string> = new Set(['deleted', 'force-pushed', 'superseded']);
