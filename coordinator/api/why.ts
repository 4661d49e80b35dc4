/** Why a stage does not run: the core's own reasons, and what its agent says that it is doing. */
import { describeFailure } from '../../shared/model/failure.js';
import { isEnded, type StageView } from '../../shared/model/run.js';
import { selectStages, type FoundRun } from './run-lookup.js';
import type { Services } from './services.js';

export function whyOf(
  services: Services,
  found: FoundRun,
  stage: string,
): { stage: number; title: string; status: string; reasons: string[] }[] {
  return selectStages(found.view, stage).map((one) => ({
    stage: one.number,
    title: one.title,
    status: one.status,
    reasons: [...one.waitingFor, ...activity(services, found, one), ...ending(one)],
  }));
}

function activity(services: Services, found: FoundRun, stage: StageView): readonly string[] {
  const attempt = stage.attempts.at(-1);
  if (attempt === undefined || isEnded(stage.status)) return [];
  const note = services.progress.latest({
    run: found.view.run,
    stage: stage.number,
    attempt: attempt.attempt,
  });
  if (note === undefined) return [];
  const percent = note.fraction === undefined ? '' : ` (${Math.round(note.fraction * 100)} %)`;
  return [`${attempt.agentName}: ${note.activity}${percent}`];
}

function ending(stage: StageView): readonly string[] {
  if (stage.whySkipped !== null) return [stage.whySkipped];
  return stage.failure === null ? [] : [describeFailure(stage.failure)];
}
