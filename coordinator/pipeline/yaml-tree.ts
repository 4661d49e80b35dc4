import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from 'yaml';
import type { Findings } from './findings.js';
import { limits } from './limits.js';
import type { Located, LocatedEntry, LocatedScalar } from './located.js';
import type { Range } from './source-text.js';
import { code } from './words.js';

/** `size` and `height` count expanded values, so that aliases of aliases cannot grow beyond the limits. */
interface Built {
  readonly value: Located;
  readonly size: number;
  readonly height: number;
}

/** Thrown to leave the recursion at a limit; caught in `treeOf`, the only door. */
class TooMuch extends Error {
  readonly range: Range;
  readonly hint: string | undefined;
  constructor(range: Range, message: string, hint?: string) {
    super(message);
    this.range = range;
    this.hint = hint;
  }
}

/** A node of YAML as located values; undefined when a limit was met. Other problems are reported and passed over. */
export function treeOf(root: Node, findings: Findings): Located | undefined {
  try {
    return new TreeBuilder(findings).build(root).value;
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    findings.error(error.range, error.message, error.hint);
    return undefined;
  }
}

/**
 * Walks nodes in the order of the text, so an anchor means its latest definition, as YAML wants. An alias reuses the
 * value built for its anchor. (The library resolves each alias by a walk over the whole document, and looks for
 * double keys by comparing each with each: both take minutes for a hostile file.)
 */
class TreeBuilder {
  readonly #findings: Findings;
  readonly #anchors = new Map<string, Built | 'being built'>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** `behind`: the key that the value stands behind, marked where the value is empty. */
  build(node: unknown, behind?: Range): Built {
    if (isAlias(node)) return this.#alias(node.source, spanOf(node));
    const anchor = isMap(node) || isSeq(node) || isScalar(node) ? node.anchor : undefined;
    if (anchor !== undefined) this.#anchors.set(anchor, 'being built');
    const built = this.#unanchored(node, behind);
    if (anchor !== undefined) this.#anchors.set(anchor, built);
    return built;
  }

  #unanchored(node: unknown, behind?: Range): Built {
    if (isMap(node)) return this.#map(node, spanOf(node));
    if (isSeq(node)) {
      const range = spanOf(node);
      const items: Built[] = [];
      const sum = new Sum(range);
      for (const item of node.items) {
        const built = this.build(item);
        sum.add(built);
        items.push(built);
      }
      return sum.built({ kind: 'list', range, items: items.map((item) => item.value) });
    }
    return { value: this.#scalar(node, behind), size: 1, height: 1 };
  }

  #scalar(node: unknown, behind?: Range): LocatedScalar {
    if (!isScalar(node)) return { kind: 'scalar', range: behind ?? nowhere, value: null, text: '' };
    const range = spanOf(node);
    const value: unknown = node.value;
    if (typeof value === 'string') return { kind: 'scalar', range, value, text: value };
    const text = node.source ?? '';
    if (typeof value === 'number' || typeof value === 'boolean')
      return { kind: 'scalar', range, value, text };
    if (value === null)
      return { kind: 'scalar', range: text === '' ? (behind ?? range) : range, value, text };
    this.#findings.error(range, 'this kind of value has no meaning in a pipeline', 'quote it: "…"');
    return { kind: 'scalar', range, value: text, text };
  }

  #alias(name: string, range: Range): Built {
    const target = this.#anchors.get(name);
    if (target === 'being built') throw new TooMuch(range, `the alias ${code(`*${name}`)} contains itself`);
    if (target !== undefined) return target;
    this.#findings.error(
      range,
      `no anchor ${code(`&${name}`)} above this alias`,
      () => 'a value that begins with * is an alias in YAML: put it in quotes if it is text',
    );
    return { value: { kind: 'scalar', range, value: null, text: '' }, size: 1, height: 1 };
  }

  #map(node: YAMLMap, range: Range): Built {
    const entries = new Map<string, LocatedEntry>();
    const merged: Located[] = [];
    const sum = new Sum(range);
    for (const pair of node.items) {
      const key = this.#key(pair, range);
      const built = this.build(pair.value, key?.range ?? range);
      sum.add(built);
      if (key === undefined) continue;
      const earlier = entries.get(key.text);
      if (key.text === '<<' && isScalar(pair.key) && pair.key.type === 'PLAIN') {
        merged.push(...this.#merged(built.value, key.range));
      } else if (key.text === '__proto__') {
        this.#findings.error(key.range, 'the key `__proto__` is reserved');
      } else if (earlier !== undefined) {
        const line = this.#findings.source.lineAt(earlier.key.start);
        this.#findings.error(key.range, `the key ${code(key.text)} is already set in line ${line}`);
      } else {
        entries.set(key.text, { key: key.range, value: built.value });
      }
    }
    for (const map of merged) {
      if (map.kind !== 'map') continue;
      for (const [name, entry] of map.entries) if (!entries.has(name)) entries.set(name, entry);
    }
    return sum.built({ kind: 'map', range, entries });
  }

  /** The key's text as written: `3.10:` is the key `3.10`. */
  #key(pair: Pair, around: Range): LocatedScalar | undefined {
    const { value } = this.build(pair.key);
    if (value.kind === 'scalar' && value.value !== null) return value;
    const range = value.range.end > value.range.start ? value.range : around;
    if (value.kind === 'scalar') this.#findings.error(range, 'a key is missing before `:`');
    else {
      const hint = '`{` and `[` begin maps and lists in YAML: put the text in quotes';
      this.#findings.error(range, `a key must be text, not a ${value.kind}`, hint);
    }
    return undefined;
  }

  /** `<<: *base` or `<<: [*a, *b]`: their keys, unless the map has them itself. */
  #merged(value: Located, key: Range): readonly Located[] {
    const maps = value.kind === 'list' ? value.items : [value];
    if (maps.some((map) => map.kind !== 'map'))
      this.#findings.error(key, 'expected a map behind `<<`, or a list of maps');
    return maps;
  }
}

const expanded = 'aliases are expanded before they are counted';

/** Adds up what a list or map holds, and stops at the limits. */
class Sum {
  readonly #range: Range;
  #size = 1;
  #height = 0;

  constructor(range: Range) {
    this.#range = range;
  }

  add(built: Built): void {
    this.#size += built.size;
    this.#height = Math.max(this.#height, built.height);
    if (this.#size > limits.values)
      throw new TooMuch(this.#range, `more than ${limits.values} values in one pipeline`, expanded);
    if (this.#height >= limits.depth)
      throw new TooMuch(this.#range, `more than ${limits.depth} lists and maps within each other`, expanded);
  }

  built(value: Located): Built {
    return { value, size: this.#size, height: this.#height + 1 };
  }
}

function spanOf({ range }: { readonly range?: readonly [number, number, number] | null }): Range {
  return range == null ? nowhere : { start: range[0], end: range[1] };
}

const nowhere: Range = { start: 0, end: 0 };
