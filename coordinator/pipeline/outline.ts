import type { StageOutline } from '../../shared/model/event.js';
import type { PlannedStage } from '../../shared/model/pipeline.js';

/**
 * What scheduling needs of a stage. A stage with an image runs only where containers do: unless it names an
 * executor itself, it demands `executor=docker`.
 */
export function outlineOf(stage: PlannedStage): StageOutline {
  const needsContainers =
    stage.image !== undefined && !stage.labels.some((label) => label.startsWith('executor='));
  return {
    number: stage.number,
    name: stage.name,
    cell: stage.cell,
    needs: stage.needs,
    labels: needsContainers ? [...stage.labels, 'executor=docker'].sort() : stage.labels,
    allowFailure: stage.allowFailure,
    maxAttempts: stage.maxAttempts,
    timeoutMs: stage.timeoutMs,
    steps: stage.steps.map((step) => step.name),
    ...(stage.image === undefined ? {} : { image: stage.image }),
  };
}
