/** What an agent needs to run an attempt, put together from the run's plan and the state. */
import type { Assignment, NeededArtifacts } from '../../shared/model/agent.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import { stageTitle, type Plan } from '../../shared/model/pipeline.js';
import { acceptedAttempt, findAttempt, type StageState, type State } from './state.js';

/**
 * All but the proof, which takes the installation's key. Undefined when the attempt is not leased (any more) or the plan has no such stage: then there is nothing to send.
 * Artifacts come from the accepted attempts of the stages named in `needs`, also of one that failed and may.
 */
export function assignmentOf(state: State, plan: Plan, ref: AttemptRef): Assignment | undefined {
  const attempt = findAttempt(state, ref);
  const planned = plan.stages.find((stage) => stage.number === ref.stage);
  if (attempt === undefined || planned === undefined) return undefined;
  if (attempt.phase.kind !== 'leased' && attempt.phase.kind !== 'running') return undefined;
  const { stage } = attempt;
  return {
    run: ref.run,
    stage: ref.stage,
    attempt: ref.attempt,
    token: attempt.token,
    stageCount: plan.stages.length,
    plan: planned,
    facts: plan.facts,
    source: plan.source,
    needs: stage.needs.flatMap(neededArtifacts),
    images: Object.fromEntries(stage.run.images),
  };
}

function neededArtifacts(need: StageState): readonly NeededArtifacts[] {
  const attempt = acceptedAttempt(need);
  if (attempt?.phase.kind !== 'finished' || attempt.phase.manifest === undefined) return [];
  return [
    {
      stage: need.outline.number,
      attempt: attempt.number,
      title: stageTitle(need.outline),
      manifest: attempt.phase.manifest,
    },
  ];
}
