import type { StageOutline } from '../../shared/model/event.js';
import type { PlannedStage } from '../../shared/model/pipeline.js';

/**
 * What scheduling needs of a stage. One with an image goes to agents that run images (`images`: all with containers,
 * and host agents that were started with `--ignore-image`), one without to a host executor.
 */
export function outlineOf(stage: PlannedStage): StageOutline {
  const namesExecutor = stage.labels.some((label) => label.startsWith('executor='));
  const implied = stage.image !== undefined ? ['images'] : namesExecutor ? [] : ['executor=host'];
  // A host agent with `--ignore-image` runs such a stage, and has no daemon that builds.
  if (stage.steps.some(({ build, skipped }) => build !== undefined && skipped !== true)) {
    implied.push('executor=docker');
  }
  return {
    number: stage.number,
    name: stage.name,
    cell: stage.cell,
    needs: stage.needs,
    labels: [...new Set([...stage.labels, ...implied])].sort(),
    allowFailure: stage.allowFailure,
    maxAttempts: stage.maxAttempts,
    timeoutMs: stage.timeoutMs,
    steps: stage.steps.map((step) => step.name),
    ...(stage.image === undefined ? {} : { image: stage.image }),
    ...(stage.condition === undefined ? {} : { condition: stage.condition }),
    ...(stage.environment === undefined ? {} : { environment: stage.environment }),
    ...(stage.inputs === undefined ? {} : { inputs: stage.inputs }),
  };
}
