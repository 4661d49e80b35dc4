import type { Findings } from './findings.js';
import { find, type Located } from './located.js';
import type { Range } from './source-text.js';
import { nearest } from './suggest.js';
import { code } from './words.js';

/** What stages need, by name and in the order of the file; each need once and with its place. */
export type Needs = ReadonlyMap<string, ReadonlyMap<string, Range>>;

/**
 * The needs of all stages. `stated`: stages whose `needs` are well-formed. Reports names that are no stage, stages that
 * need themselves, and circles.
 */
export function needsOf(
  names: readonly string[],
  stated: ReadonlySet<string>,
  { root, findings }: { readonly root: Located; readonly findings: Findings },
): Needs {
  const known = new Set(names);
  const needs = new Map<string, Map<string, Range>>();
  for (const name of names) {
    const mine = new Map<string, Range>();
    needs.set(name, mine);
    const written = stated.has(name) ? find(root, ['stages', name, 'needs']) : undefined;
    if (written === undefined) continue;
    for (const item of written.kind === 'list' ? written.items : [written]) {
      if (item.kind !== 'scalar') continue;
      const need = item.text;
      if (need === name) findings.error(item.range, `stage ${code(name)} needs itself`);
      else if (!known.has(need)) unknownNeed(name, need, { range: item.range, names, findings });
      else if (mine.has(need)) findings.warn(item.range, `${code(need)} is needed twice`);
      else mine.set(need, item.range);
    }
  }
  for (const circle of circlesIn(needs)) {
    const [first = '', second = ''] = circle;
    const range = needs.get(first)?.get(second) ?? root.range;
    const hint = 'each waits for the next: remove one of these needs';
    findings.error(range, `stages need each other in a circle: ${circle.join(' -> ')}`, hint);
  }
  return needs;
}

function unknownNeed(
  stage: string,
  need: string,
  { range, names, findings }: { range: Range; names: readonly string[]; findings: Findings },
): void {
  findings.error(range, `stage ${code(stage)} needs ${code(need)}, but no stage has that name`, () => {
    const meant = nearest(need, names);
    if (meant !== undefined) return `did you mean ${code(meant)}?`;
    const others = names.filter((name) => name !== stage);
    return others.length === 0 || others.length > 20 ? undefined : `stages: ${others.join(', ')}`;
  });
}

type Graph = ReadonlyMap<string, ReadonlyMap<string, unknown>>;

/** One circle of each group of stages that wait for each other, from its first stage in the file back to it. */
export function circlesIn(needs: Graph): string[][] {
  const order = new Map([...needs.keys()].map((name, index) => [name, index]));
  const inFile = (a: string, b: string): number => (order.get(a) ?? 0) - (order.get(b) ?? 0);
  return groupsIn(needs)
    .map((group) => group.sort(inFile))
    .sort(([a = ''], [b = '']) => inFile(a, b))
    .map((group) => shortestCircle(group[0] ?? '', needs, new Set(group)));
}

/** Strongly connected components of more than one stage (Tarjan 1972); the depth of calls is at most that of needs. */
function groupsIn(needs: Graph): string[][] {
  const groups: string[][] = [];
  const index = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();

  const visit = (name: string): number => {
    const mine = index.size;
    let low = mine;
    index.set(name, mine);
    stack.push(name);
    onStack.add(name);
    for (const need of needs.get(name)?.keys() ?? []) {
      const seen = index.get(need);
      if (seen === undefined) low = Math.min(low, visit(need));
      else if (onStack.has(need)) low = Math.min(low, seen);
    }
    if (low < mine) return low;
    const group = stack.splice(stack.indexOf(name));
    for (const member of group) onStack.delete(member);
    if (group.length > 1) groups.push(group);
    return low;
  };
  for (const name of needs.keys()) if (!index.has(name)) visit(name);
  return groups;
}

/** Breadth first, so that what is shown is as short as can be. */
function shortestCircle(start: string, needs: Graph, within: ReadonlySet<string>): string[] {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (const name of queue) {
    for (const need of needs.get(name)?.keys() ?? []) {
      if (need === start) {
        const way = [start];
        for (let at: string | undefined = name; at !== undefined; at = cameFrom.get(at)) way.unshift(at);
        return way;
      }
      if (!within.has(need) || cameFrom.has(need)) continue;
      cameFrom.set(need, name);
      queue.push(need);
    }
  }
  return [start];
}
