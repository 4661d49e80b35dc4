import type { Event, StageOutline, TakenStage } from '../../shared/model/event.js';
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
  for (const taken of event.taken ?? []) {
    const known = byNumber.get(taken.stage);
    if (known !== undefined) takeOver(run, known.stage, taken);
  }
  return run;
}

/** It has succeeded, in another run. */
function takeOver(run: RunState, stage: StageState, taken: TakenStage): void {
  const { from, agent, agentName, token, leasedAt, startedAt, finishedAt, manifest, logs } = taken;
  const { images = [] } = taken;
  for (const { image, digest } of images) run.images.set(image, digest);
  stage.attempts.push({
    stage,
    number: 1,
    agent,
    agentName,
    token,
    leasedAt,
    startedAt,
    executor: undefined,
    note: undefined,
    phase: {
      kind: 'finished',
      at: finishedAt,
      status: 'succeeded',
      ...(manifest === undefined ? {} : { manifest }),
      logs,
      // Where it was made.
      archived: false,
    },
    reports: 0,
    steps: taken.steps.map(({ durationMs, ...step }) => ({
      ...step,
      shell: '',
      finished: { at: step.startedAt + durationMs, durationMs, exitCode: 0 },
    })),
    ...(images.length === 0 ? {} : { images }),
    from,
  });
  stage.phase = { kind: 'ended', status: 'succeeded', at: finishedAt };
  stage.settled = { hasFailure: false };
  run.open -= 1;
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
