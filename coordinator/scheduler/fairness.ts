/**
 * Who is next: the project that holds the fewest agents now, then the older stage. Age counts from the run's
 * acceptance, so a stage that is tried again goes before what came later. The greatest share goes to whoever has the
 * most work only while nobody else wants the agents.
 */
import type { StageState } from './state.js';

export function olderStage(a: StageState, b: StageState): boolean {
  return a.run.order === b.run.order ? a.outline.number < b.outline.number : a.run.order < b.run.order;
}

/** What of a project waits in one lane. */
export interface Claim {
  /** Leases that the project holds now, in all lanes. */
  readonly share: number;
  readonly first: StageState | undefined;
}

export function servedBefore(a: Claim, b: Claim): boolean {
  if (a.share !== b.share) return a.share < b.share;
  if (a.first === undefined || b.first === undefined) return a.first !== undefined;
  return olderStage(a.first, b.first);
}
