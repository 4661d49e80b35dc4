import type { Event, StageOutline } from '../../shared/model/event.js';
import type { RunState, StageState } from './state.js';

/** A run as it is when accepted: every stage is pending, also those that need nothing. */
export function newRun(
  event: Extract<Event, { kind: 'RunAccepted' }>,
  order: number,
  acceptedAt: number,
): RunState {
  const stages: StageState[] = [];
  const run: RunState = {
    run: event.run,
    digest: event.digest,
    facts: event.facts,
    retryOf: event.retryOf,
    order,
    acceptedAt,
    stages,
    images: new Map(),
    startedAt: undefined,
    canceledBy: undefined,
    open: event.stages.length,
    failure: event.failure,
    ended: undefined,
  };
  const byNumber = new Map<number, { needs: StageState[]; dependants: StageState[]; stage: StageState }>();
  for (const outline of event.stages.toSorted((a, b) => a.number - b.number)) {
    const needs: StageState[] = [];
    const dependants: StageState[] = [];
    const stage = newStage(run, outline, needs, dependants);
    byNumber.set(outline.number, { needs, dependants, stage });
    stages.push(stage);
  }
  for (const { needs, stage } of byNumber.values()) {
    for (const number of stage.outline.needs) {
      const need = byNumber.get(number);
      if (need === undefined) continue;
      needs.push(need.stage);
      need.dependants.push(stage);
    }
  }
  return run;
}

const newStage = (
  run: RunState,
  outline: StageOutline,
  needs: readonly StageState[],
  dependants: readonly StageState[],
): StageState => ({
  run,
  outline,
  needs,
  dependants,
  phase: { kind: 'pending' },
  attempts: [],
  settled: undefined,
  canceledBy: undefined,
});
