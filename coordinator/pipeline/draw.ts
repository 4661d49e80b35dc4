import type { PlannedStage } from '../../shared/model/pipeline.js';
import type { StageConditions } from './plan-conditions.js';
import { visible } from './words.js';

/** Stages of one name: one, or the cells of its matrix. */
interface Group {
  readonly name: string;
  readonly stages: readonly PlannedStage[];
  /** Names, in the order of the file. */
  readonly needs: readonly string[];
  readonly level: number;
  /** Its condition, as written. */
  readonly condition: string | undefined;
}

/**
 * A drawing of the stages for a terminal: what starts at once at the top, below it what waits for something above.
 *
 * ```text
 *   lint
 *   test      × 2  python=3.11|3.12
 *     │
 *     ▼
 *   package   after lint, test   if branch == "main"
 * ```
 */
export function renderGraph(
  stages: readonly PlannedStage[],
  conditions: ReadonlyMap<number, StageConditions> = new Map(),
): string {
  const groups = groupsOf(stages, conditions);
  const width = Math.max(...groups.map((group) => group.name.length), 0);
  const levels: string[][] = [];
  for (const group of groups) (levels[group.level] ??= []).push(lineOf(group, width));
  return levels.map((lines) => lines.join('\n')).join('\n    │\n    ▼\n');
}

function groupsOf(
  stages: readonly PlannedStage[],
  conditions: ReadonlyMap<number, StageConditions>,
): Group[] {
  const nameOfNumber = new Map(stages.map((stage) => [stage.number, stage.name]));
  const members = new Map<string, PlannedStage[]>();
  for (const stage of stages) members.set(stage.name, [...(members.get(stage.name) ?? []), stage]);
  const needsOf = (name: string): string[] => {
    const numbers = members.get(name)?.[0]?.needs ?? [];
    return [...new Set(numbers.flatMap((number) => nameOfNumber.get(number) ?? []))];
  };
  const levels = new Map<string, number>();
  const levelOf = (name: string): number => {
    const known = levels.get(name);
    if (known !== undefined) return known;
    // A plan has no circles. One that had would end here all the same.
    levels.set(name, 0);
    const level = Math.max(0, ...needsOf(name).map((need) => levelOf(need) + 1));
    levels.set(name, level);
    return level;
  };
  return [...members].map(([name, cells]) => ({
    name,
    stages: cells,
    needs: needsOf(name),
    level: levelOf(name),
    condition: conditions.get(cells[0]?.number ?? 0)?.stage?.text,
  }));
}

function lineOf({ name, stages, needs, condition }: Group, width: number): string {
  const notes = [
    ...(needs.length === 0 ? [] : [`after ${needs.join(', ')}`]),
    ...(Object.keys(stages[0]?.cell ?? {}).length === 0 ? [] : [`× ${stages.length}  ${axesOf(stages)}`]),
    ...(stages[0]?.allowFailure === true ? ['(may fail)'] : []),
    ...(stages[0]?.environment === undefined ? [] : [`deploys to ${stages[0].environment}`]),
    ...(condition === undefined ? [] : [`if ${shortened(condition)}`]),
  ];
  return `  ${name.padEnd(width)}   ${notes.join('   ')}`.trimEnd();
}

/** On one line, and no longer than a terminal is wide. */
function shortened(condition: string): string {
  const line = visible(condition.replace(/\s+/g, ' '));
  return line.length <= 80 ? line : `${line.slice(0, 79)}…`;
}

/** `python=3.11|3.12 os=linux|macos` */
function axesOf(stages: readonly PlannedStage[]): string {
  return Object.keys(stages[0]?.cell ?? {})
    .map((axis) => `${axis}=${[...new Set(stages.map((stage) => stage.cell[axis]))].join('|')}`)
    .join('  ');
}
