import type { PlannedStage } from '../../../shared/model/pipeline.js';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { renderDiagnostics } from '../../../coordinator/pipeline/render.js';

const file = '.gantry.yml';

/** The stages of a pipeline that must compile; what is wrong with it otherwise is the failure's message. */
export function compiled(text: string): PlannedStage[] {
  const result = compilePipeline(text, { file });
  if (!result.ok) throw new Error(renderDiagnostics(result.diagnostics, { file, color: false }));
  return result.stages;
}

/** What is said about a pipeline, rendered; empty for one that is fine. */
export function said(text: string): string {
  const result = compilePipeline(text, { file });
  return renderDiagnostics(result.ok ? result.warnings : result.diagnostics, { file, color: false });
}

/** The messages alone. */
export function messages(text: string): string[] {
  const result = compilePipeline(text, { file });
  return (result.ok ? result.warnings : result.diagnostics).map((one) => one.message);
}
