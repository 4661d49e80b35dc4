import type { NotifyRules, PlannedStage } from '../../shared/model/pipeline.js';
import type { Diagnostic } from './diagnostic.js';
import { Findings } from './findings.js';
import { planStages } from './plan.js';
import type { StageConditions } from './plan-conditions.js';
import { planNotify } from './plan-notify.js';
import { planTriggers } from './plan-triggers.js';
import { readYaml } from './read-yaml.js';
import { SourceText } from './source-text.js';
import type { TriggerRules } from './trigger-rules.js';
import { validate } from './validate.js';

/** A pipeline that may run. What one run of it does, `planRun` says. */
export interface CompiledPipeline {
  readonly ok: true;
  /** As if every condition held. */
  readonly stages: PlannedStage[];
  /** By number of the stage, of those that have some. */
  readonly conditions: ReadonlyMap<number, StageConditions>;
  readonly on: TriggerRules;
  readonly notify?: NotifyRules;
  /** `on` or a condition asks which paths changed. */
  readonly asksForChanges: boolean;
  readonly warnings: Diagnostic[];
}

export type Compilation =
  | CompiledPipeline
  /** At least one error; warnings too; in the order of the file. */
  | { readonly ok: false; readonly diagnostics: Diagnostic[] };

/**
 * The text of a pipeline file as planned stages, or all that is wrong with it. Never throws, whatever the text. `file`
 * is the file's name, for messages.
 */
export function compilePipeline(text: string, options: { readonly file: string }): Compilation {
  const findings = new Findings(new SourceText(text));
  const root = readYaml(findings, options.file);
  if (root === undefined) return { ok: false, diagnostics: findings.list() };
  const pipeline = validate(root, findings);
  const planning = { pipeline, root, findings };
  const on = planTriggers(planning);
  const notify = planNotify(planning);
  const { stages, conditions } = planStages(planning);
  if (findings.errors > 0) return { ok: false, diagnostics: findings.list() };
  const asksForChanges = on.paths !== undefined || [...conditions.values()].some(asksWhatChanged);
  return {
    ok: true,
    stages,
    conditions,
    on,
    ...(notify === undefined ? {} : { notify }),
    asksForChanges,
    warnings: findings.list(),
  };
}

const asksWhatChanged = ({ stage, steps }: StageConditions): boolean =>
  [...(stage === undefined ? [] : [stage]), ...steps.values()].some(({ questions }) =>
    [...questions.values()].some(({ kind }) => kind === 'changed'),
  );
