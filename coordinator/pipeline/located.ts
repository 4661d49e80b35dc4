import type { Range } from './source-text.js';

/** A value of the file together with where it is written. Aliases are expanded: a value may occur several times. */
export type Located = LocatedMap | LocatedList | LocatedScalar;

export interface LocatedMap {
  readonly kind: 'map';
  readonly range: Range;
  readonly entries: ReadonlyMap<string, LocatedEntry>;
}

export interface LocatedEntry {
  readonly key: Range;
  readonly value: Located;
}

export interface LocatedList {
  readonly kind: 'list';
  readonly range: Range;
  readonly items: readonly Located[];
}

export interface LocatedScalar {
  readonly kind: 'scalar';
  readonly range: Range;
  readonly value: string | number | boolean | null;
  /** As written: `3.10` stays `3.10`. For a string its value. */
  readonly text: string;
}

/** Keys and indices from the root, as zod gives them. */
export type Path = readonly PropertyKey[];

export function find(root: Located, path: Path): Located | undefined {
  let at: Located | undefined = root;
  for (const part of path) {
    if (at?.kind === 'map') at = at.entries.get(String(part))?.value;
    else if (at?.kind === 'list') at = at.items[Number(part)];
    else return undefined;
  }
  return at;
}

/** Of the value at the path, or of the nearest thing around it. */
export function rangeOf(root: Located, path: Path): Range {
  for (let length = path.length; length > 0; length--) {
    const found = find(root, path.slice(0, length));
    if (found === undefined) continue;
    // What is missing in a map is told at the key that the map stands behind.
    return length < path.length ? keyRangeOf(root, path.slice(0, length)) : found.range;
  }
  return root.range;
}

/** Of the key that the path ends with; of an item of a list, the item. */
export function keyRangeOf(root: Located, path: Path): Range {
  const parent = find(root, path.slice(0, -1));
  const last = path.at(-1);
  if (last !== undefined && parent?.kind === 'map') {
    const entry = parent.entries.get(String(last));
    if (entry !== undefined) return entry.key;
  }
  return find(root, path)?.range ?? root.range;
}

/** The value without places, for validation. */
export function plain(located: Located): unknown {
  switch (located.kind) {
    case 'scalar':
      return located.value;
    case 'list':
      return located.items.map(plain);
    case 'map':
      return Object.fromEntries([...located.entries].map(([key, entry]) => [key, plain(entry.value)]));
  }
}
