import type { PlannedStage } from '../../shared/model/pipeline.js';
import type { Cell } from './expression.js';
import type { Findings } from './findings.js';
import { needsOf, type Needs } from './graph.js';
import { jsonBytes, limits, showBytes } from './limits.js';
import { find, keyRangeOf, type Located } from './located.js';
import { cellsOf } from './matrix.js';
import { outlineOf } from './outline.js';
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

/** The stages of what is valid of a pipeline. They may be used only if nothing was reported. */
export function planStages(planning: Planning): PlannedStage[] {
  const { root, findings } = planning;
  const drafts = draftsOf(planning);
  const key = keyRangeOf(root, ['stages']);
  if (drafts === undefined) return [];
  const total = drafts.reduce((sum, draft) => sum + (draft.cells?.length ?? 1), 0);
  if (drafts.length === 0 && planning.pipeline.stages !== undefined) {
    findings.error(key, 'the pipeline has no stages', 'write `build: { steps: [make] }` below');
  }
  if (total > limits.stages) {
    findings.error(key, `${total} stages, the cells of matrices counted: at most ${limits.stages}`);
    return [];
  }
  const names = drafts.map((draft) => draft.name);
  const stated = new Set(
    drafts.flatMap((draft) => (draft.definition.needs === undefined ? [] : [draft.name])),
  );
  return withinBounds(numbered(drafts, needsOf(names, stated, { root, findings }), planning), planning);
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
function withinBounds(stages: Iterable<PlannedStage>, { root, findings }: Planning): PlannedStage[] {
  const planned: PlannedStage[] = [];
  let planBytes = 0;
  let outlineBytes = 0;
  for (const stage of stages) {
    planned.push(stage);
    const bytes = jsonBytes(stage);
    planBytes += bytes;
    outlineBytes += jsonBytes(outlineOf(stage));
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
