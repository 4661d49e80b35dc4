/** What an entry is to be merged onto: the rule from which order, speculation and rebuilding all follow. */
import type { CommitId } from '../../shared/model/ids.js';
import type { Gate, GateEntry } from './state.js';

export type Base =
  | { readonly kind: 'known'; readonly commit: CommitId }
  /** This entry ahead of it is still to be merged. */
  | { readonly kind: 'after'; readonly entry: GateEntry }
  /** Nobody has looked at the target yet. */
  | { readonly kind: 'unknown' };

/**
 * The target's tip, then the candidate of each entry ahead. One that is red, in conflict or contained adds nothing:
 * if those ahead of it land it leaves the queue, and if they do not, everything behind them is built again anyway. So
 * the entries behind it need not wait for its end, nor be built again after it.
 */
export function baseFor(gate: Gate, entry: GateEntry): Base {
  if (gate.tip === undefined) return { kind: 'unknown' };
  let commit = gate.tip;
  for (const ahead of gate.entries) {
    if (ahead === entry) break;
    switch (ahead.phase.kind) {
      case 'queued':
        return { kind: 'after', entry: ahead };
      case 'conflicted':
      case 'contained':
      case 'red':
        break;
      case 'built':
      case 'testing':
      case 'green':
      case 'pushing':
        commit = ahead.phase.candidate.commit;
        break;
    }
  }
  return { kind: 'known', commit };
}

/** The nearest entry ahead whose candidate it is merged onto. */
export function merging(gate: Gate, base: CommitId): GateEntry | undefined {
  return gate.entries.find(({ phase }) => 'candidate' in phase && phase.candidate.commit === base);
}
