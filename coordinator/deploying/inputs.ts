import { stageTitle, type PlannedStage, type StageInput } from '../../shared/model/pipeline.js';
import { latestResult } from '../history/record.js';
import type { KnownRun } from './runs.js';

/**
 * The artifacts that a stage got in its run, for the same stage in another one: of its needs, from where each left them, and
 * what it had from other runs itself.
 */
export function inputsOf(
  { needs, inputs }: Pick<PlannedStage, 'needs' | 'inputs'>,
  { plan, results }: Pick<KnownRun, 'plan' | 'results'>,
): readonly StageInput[] {
  const ofNeeds = needs.flatMap((number): readonly StageInput[] => {
    const need = plan.stages.find((stage) => stage.number === number);
    const result = latestResult(results, number);
    if (need === undefined || result?.manifest === undefined) return [];
    const here = { run: plan.run, stage: number, attempt: result.attempt };
    return [{ stage: number, title: stageTitle(need), from: result.from ?? here, manifest: result.manifest }];
  });
  return [...ofNeeds, ...(inputs ?? [])];
}
