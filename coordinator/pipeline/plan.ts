import type { PlannedStage } from '../../shared/model/pipeline.js';
import type { Cell } from './expression.js';
import type { Findings } from './findings.js';
import { needsOf, type Needs } from './graph.js';
import { jsonBytes, limits, showBytes } from './limits.js';
import { find, keyRangeOf, type Located } from './located.js';
import { cellsOf } from './matrix.js';
import { outlineOf } from './outline.js';
import { planConditions, type StageConditions } from './plan-conditions.js';
import { planStage } from './plan-stage.js';
import type { Pipeline, Stage } from './schema.js';
import { code } from './words.js';

interface Draft {
  readonly name: string;
  readonly definition: Stage;
  /** Undefined: the matrix is invalid. */
  readonly cells: readonly Cell[] | undefined;
}

interface Planning {
  readonly pipeline: Pipeline;
  readonly root: Located;
  readonly findings: Findings;
}

export interface Planned {
  /** As if every condition held. */
  readonly stages: PlannedStage[];
  /** By number of the stage. */
  readonly conditions: ReadonlyMap<number, StageConditions>;
}

const nothing: Planned = { stages: [], conditions: new Map() };

/** The stages of what is valid of a pipeline. They may be used only if nothing was reported. */
export function planStages(planning: Planning): Planned {
  const { root, findings } = planning;
  const drafts = draftsOf(planning);
  const key = keyRangeOf(root, ['stages']);
  if (drafts === undefined) return nothing;
  const total = drafts.reduce((sum, draft) => sum + (draft.cells?.length ?? 1), 0);
  if (drafts.length === 0 && planning.pipeline.stages !== undefined) {
    findings.error(key, 'the pipeline has no stages', 'write `build: { steps: [make] }` below');
  }
  if (total > limits.stages) {
    findings.error(key, `${total} stages, the cells of matrices counted: at most ${limits.stages}`);
    return nothing;
  }
  const names = drafts.map((draft) => draft.name);
  const stated = new Set(
    drafts.flatMap((draft) => (draft.definition.needs === undefined ? [] : [draft.name])),
  );
  const needs = needsOf(names, stated, { root, findings });
  const byName = conditionsOf(drafts, needs, planning);
  const stages = withinBounds(numbered(drafts, needs, planning), byName, planning);
  const conditions = stages.flatMap((stage): [number, StageConditions][] => {
    const mine = byName.get(stage.name);
    return mine === undefined ? [] : [[stage.number, mine]];
  });
  return { stages, conditions: new Map(conditions) };
}

function conditionsOf(
  drafts: readonly Draft[],
  needs: Needs,
  { root, findings }: Planning,
): ReadonlyMap<string, StageConditions> {
  const stages = drafts.map((draft) => draft.name);
  const regularExpressions = new Set<string>();
  const all = new Map<string, StageConditions>();
  for (const { name, definition, cells } of drafts) {
    const mine = [...(needs.get(name)?.keys() ?? [])];
    const toPlan = { root, findings, name, definition, cells, needs: mine, stages, regularExpressions };
    const conditions = planConditions(toPlan);
    if (conditions !== undefined) all.set(name, conditions);
  }
  return all;
}

function draftsOf({ pipeline, root, findings }: Planning): Draft[] | undefined {
  const stages = find(root, ['stages']);
  if (stages?.kind !== 'map') return undefined;
  if (stages.entries.size > limits.stages) {
    const message = `${stages.entries.size} stages: at most ${limits.stages}`;
    findings.error(keyRangeOf(root, ['stages']), message);
    return undefined;
  }
  return [...stages.entries.keys()].map((name) => {
    const valid = pipeline.stages;
    const definition = valid !== undefined && Object.hasOwn(valid, name) ? (valid[name] ?? {}) : {};
    const path = ['stages', name, 'matrix'];
    const matrix = find(root, path);
    if (matrix === undefined) return { name, definition, cells: [{}] };
    if (definition.matrix === undefined || matrix.kind !== 'map')
      return { name, definition, cells: undefined };
    return { name, definition, cells: cellsOf(matrix, keyRangeOf(root, path), findings) };
  });
}

/** Stages in the order of the file, numbered; a need on a matrix means all its cells. */
function* numbered(drafts: readonly Draft[], needs: Needs, planning: Planning): Generator<PlannedStage> {
  const numbers = new Map<string, number[]>();
  let next = 1;
  for (const { name, cells } of drafts)
    numbers.set(
      name,
      (cells ?? [{}]).map(() => next++),
    );
  for (const { name, definition, cells } of drafts) {
    const needed = [...(needs.get(name)?.keys() ?? [])].flatMap((need) => numbers.get(need) ?? []);
    const mine = numbers.get(name) ?? [];
    const sorted = needed.sort((a, b) => a - b);
    for (const [index, number] of mine.entries()) {
      yield planStage({ ...planning, name, definition, cell: cells?.[index], number, needs: sorted });
    }
  }
}

/** Stops at the first stage that is too large: what follows may be a million times as large. */
function withinBounds(
  stages: Iterable<PlannedStage>,
  conditions: ReadonlyMap<string, StageConditions>,
  { root, findings }: Planning,
): PlannedStage[] {
  const planned: PlannedStage[] = [];
  let planBytes = 0;
  let outlineBytes = 0;
  for (const stage of stages) {
    planned.push(stage);
    const conditionBytes = bytesOf(conditions.get(stage.name));
    const bytes = jsonBytes(stage) + conditionBytes;
    planBytes += bytes;
    outlineBytes += jsonBytes(outlineOf(stage)) + conditionBytes;
    const key = keyRangeOf(root, ['stages', stage.name]);
    const hint = 'move long scripts to files of the repository';
    if (bytes > limits.stageBytes) {
      const message = `stage ${code(stage.name)} has ${showBytes(bytes)} when compiled, the limit is ${showBytes(limits.stageBytes)}`;
      findings.error(key, message, hint);
      break;
    }
    if (planBytes > limits.planBytes) {
      const message = `with this stage the pipeline exceeds ${showBytes(limits.planBytes)} when compiled`;
      findings.error(key, message, hint);
      break;
    }
    if (outlineBytes > limits.outlineBytes) {
      const message = `with this stage the names and needs of all stages exceed ${showBytes(limits.outlineBytes)}`;
      findings.error(key, message, 'give steps shorter names, or join steps into scripts');
      break;
    }
  }
  return planned;
}

/** The most that a run's plan takes for the stage's condition. */
function bytesOf(conditions: StageConditions | undefined): number {
  if (conditions?.stage === undefined) return 0;
  const { text, questions } = conditions.stage;
  return jsonBytes({ kind: 'after-needs', text, answers: [...questions.keys()] }) + 8 * questions.size;
}
