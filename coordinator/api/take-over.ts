/**
 * What the gate has tested is not tested again: the push run of a change that landed takes over each stage of the gate's run
 * that is defined alike, with its artifacts and logs. The commit is the same to the byte, so only what the run's kind decides
 * (conditions, skipped steps, deployments) can differ.
 */
import type { TakenStage } from '../../shared/model/event.js';
import type { RunId } from '../../shared/model/ids.js';
import type { Plan, PlannedStage } from '../../shared/model/pipeline.js';
import { findGate } from '../gate/state.js';
import { latestResult } from '../history/record.js';
import { ApiError } from './api-error.js';
import { findRun, planOf, type FoundRun } from './run-lookup.js';
import type { Services } from './services.js';
import { digestOf } from './start-run.js';

/** Empty where the commit did not come through the gate. */
export async function stagesToTakeOver(services: Services, plan: Plan): Promise<readonly TakenStage[]> {
  const run = await gateRunOf(services, plan);
  if (run === undefined) return [];
  try {
    const found = await findRun(services, run);
    return takenStages(plan.stages, { found, plan: await planOf(services, found) });
  } catch (error) {
    // Not to be had: they are run again.
    if (error instanceof ApiError) return [];
    throw error;
  }
}

/** The run that tested the commit, also while its push is still to be confirmed: a poll may be faster. */
function gateRunOf({ coordinator }: Services, { facts }: Plan): Promise<RunId | undefined> {
  const { event, project, branch: target, commit } = facts;
  if (event !== 'push' || target === undefined) return Promise.resolve(undefined);
  return coordinator.read(({ state }) => {
    const gate = findGate(state.gates, { project, target });
    for (const { end } of gate?.ended ?? [])
      if (end.kind === 'landed' && end.commit === commit) return end.run;
    for (const { phase } of gate?.entries ?? []) {
      if (phase.kind === 'pushing' && phase.candidate.commit === commit) return phase.candidate.run;
    }
    return undefined;
  });
}

/** In any order; what a taken stage needs is taken too. */
export function takenStages(
  stages: readonly PlannedStage[],
  gate: { readonly found: Pick<FoundRun, 'view' | 'results'>; readonly plan: Pick<Plan, 'stages'> },
): readonly TakenStage[] {
  const taken = new Map<number, TakenStage>();
  const tested = new Map(gate.plan.stages.map((stage) => [stage.number, digestOf(stage)]));
  for (let before = -1; before < taken.size;) {
    before = taken.size;
    for (const stage of stages) {
      if (taken.has(stage.number) || stage.environment !== undefined) continue;
      if (!stage.needs.every((need) => taken.has(need))) continue;
      if (tested.get(stage.number) !== digestOf(stage)) continue;
      const result = takenStage(stage.number, gate.found);
      if (result !== undefined) taken.set(stage.number, result);
    }
  }
  return [...taken.values()];
}

function takenStage(
  number: number,
  { view, results }: Pick<FoundRun, 'view' | 'results'>,
): TakenStage | undefined {
  const stage = view.stages.find((other) => other.number === number);
  const attempt = stage?.attempts.at(-1);
  const result = latestResult(results, number);
  if (stage?.status !== 'succeeded' || attempt === undefined || result === undefined) return undefined;
  const { agent, agentName, token, leasedAt, startedAt, finishedAt } = attempt;
  if (startedAt === null || finishedAt === null || attempt.status !== 'succeeded') return undefined;
  return {
    stage: number,
    from: result.from ?? { run: view.run, stage: number, attempt: attempt.attempt },
    agent,
    agentName,
    token,
    leasedAt: Date.parse(leasedAt),
    startedAt: Date.parse(startedAt),
    finishedAt: Date.parse(finishedAt),
    steps: stage.steps.flatMap((step) =>
      step.startedAt === null || step.finishedAt === null
        ? []
        : [
            {
              number: step.number,
              startedAt: Date.parse(step.startedAt),
              durationMs: Date.parse(step.finishedAt) - Date.parse(step.startedAt),
            },
          ],
    ),
    ...(result.manifest === undefined ? {} : { manifest: result.manifest }),
    logs: result.logs,
    ...(result.images === undefined ? {} : { images: result.images }),
  };
}
