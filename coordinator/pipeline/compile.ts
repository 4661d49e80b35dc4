import type { PlannedStage } from '../../shared/model/pipeline.js';
import type { Diagnostic } from './diagnostic.js';
import { Findings } from './findings.js';
import { planStages } from './plan.js';
import { readYaml } from './read-yaml.js';
import { SourceText } from './source-text.js';
import { validate } from './validate.js';

export type Compilation =
  | { readonly ok: true; readonly stages: PlannedStage[]; readonly warnings: Diagnostic[] }
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
  const stages = planStages({ pipeline, root, findings });
  return findings.errors > 0
    ? { ok: false, diagnostics: findings.list() }
    : { ok: true, stages, warnings: findings.list() };
}
