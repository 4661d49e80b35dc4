/** What an agent needs to run an attempt, put together from the run's plan and the state. */
import type { Assignment, NeededArtifacts } from '../../shared/model/agent.js';
import type { AttemptRef } from '../../shared/model/ids.js';
import { stageTitle, type Plan, type StageInput } from '../../shared/model/pipeline.js';
import { findEnvironment } from '../delivery/state.js';
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
  const { condition: _condition, verify: _verify, inputs: _inputs, ...ofAgent } = planned;
  return {
    run: ref.run,
    stage: ref.stage,
    attempt: ref.attempt,
    token: attempt.token,
    stageCount: plan.stages.length,
    plan: { ...ofAgent, env: { ...planned.env, ...placeOf(state, stage) } },
    facts: plan.facts,
    source: plan.source,
    needs: [...stage.needs.flatMap(neededArtifacts), ...(stage.outline.inputs ?? []).map(inputArtifacts)],
    images: Object.fromEntries(stage.run.images),
  };
}

/** What a step that deploys is told of where it does. */
function placeOf(state: State, { run, outline }: StageState): Readonly<Record<string, string>> {
  const { environment } = outline;
  if (environment === undefined) return {};
  const url = findEnvironment(state.deliveries, { project: run.facts.project, environment })?.settings.url;
  return {
    GANTRY_ENVIRONMENT: environment,
    ...(url === undefined ? {} : { GANTRY_ENVIRONMENT_URL: url }),
  };
}

const inputArtifacts = ({ stage, title, from, manifest }: StageInput): NeededArtifacts => ({
  stage,
  attempt: from.attempt,
  title,
  manifest,
});

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
