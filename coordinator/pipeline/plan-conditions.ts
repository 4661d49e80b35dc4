/** The conditions of a stage and its steps: they are the same for all cells of a matrix. */
import type { Cell } from './expression.js';
import { compileCondition, type CompiledCondition } from './condition.js';
import type { Findings } from './findings.js';
import { find, type Located, type Path } from './located.js';
import type { Stage } from './schema.js';
import type { Scope } from './translate.js';

export interface StageConditions {
  readonly stage?: CompiledCondition;
  /** By number of the step. */
  readonly steps: ReadonlyMap<number, CompiledCondition>;
}

export interface ConditionsToPlan {
  readonly root: Located;
  readonly findings: Findings;
  readonly name: string;
  readonly definition: Stage;
  readonly cells: readonly Cell[] | undefined;
  /** By name. */
  readonly needs: readonly string[];
  readonly stages: readonly string[];
  /** See `Scope`. */
  readonly regularExpressions: Set<string>;
}

/** Undefined: the stage has none that is valid. */
export function planConditions(toPlan: ConditionsToPlan): StageConditions | undefined {
  const { root, findings, name, definition, cells, needs, stages, regularExpressions } = toPlan;
  const axes = cells === undefined ? undefined : Object.keys(cells[0] ?? {});
  const compiled = (path: Path, where: Scope['where']): CompiledCondition | undefined => {
    const scalar = find(root, ['stages', name, ...path]);
    if (scalar?.kind !== 'scalar') return undefined;
    const scope = { where, stage: name, axes, needs, stages, regularExpressions };
    return compileCondition(scalar, { findings, scope });
  };
  const stage = definition.if === undefined ? undefined : compiled(['if'], 'stage');
  const steps = new Map<number, CompiledCondition>();
  for (const [index, step] of (definition.steps ?? []).entries()) {
    if (typeof step !== 'object' || step.if === undefined) continue;
    const condition = compiled(['steps', index, 'if'], 'step');
    if (condition !== undefined) steps.set(index + 1, condition);
  }
  if (stage === undefined && steps.size === 0) return undefined;
  return { steps, ...(stage === undefined ? {} : { stage }) };
}
