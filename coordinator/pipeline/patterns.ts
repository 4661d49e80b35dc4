/**
 * Patterns over paths and names of branches and tags, as in `on` and `changed()`:
 *
 *     *      any characters but `/`           ?      one character but `/`
 *     **     any number of components         [a-z]  one of these; [!a-z] none of these
 *     {a,b}  either                           \x     the character x
 *
 * A list is read from its beginning, and the last pattern that matches decides; `!` takes away again. A list that begins
 * with `!` begins with everything. A path pattern whose last component is plain (`docs`), or that ends in `/`, means
 * everything below it too.
 *
 * Strangers write patterns and name files, so nothing is matched by backtracking: at a mismatch only the last `*` takes
 * one more, and `Work` bounds the sum of all steps.
 */
import type { Wrong } from './values.js';
import { quoted } from './words.js';

/** Steps that are left. When there are none, whatever is asked matches: a run too many, never one too few. */
export class Work {
  left: number;
  constructor(steps: number) {
    this.left = steps;
  }
}

/** 3,000 changed paths against 100 lists of two patterns take 11 million steps; 20 million take less than a second. */
export const enoughWork = 20_000_000;

const longestPattern = 256;
const mostAlternatives = 64;

type Token =
  | { readonly kind: 'any' }
  | { readonly kind: 'one' }
  | { readonly kind: 'char'; readonly char: string }
  | {
      readonly kind: 'class';
      readonly isNegated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    };
type Component = { readonly kind: 'deep' } | { readonly kind: 'name'; readonly tokens: readonly Token[] };

export type PatternUse = 'paths' | 'refs';

interface Pattern {
  readonly isNegated: boolean;
  readonly alternatives: readonly (readonly Component[])[];
}

export class PatternList {
  readonly #patterns: readonly Pattern[];

  /** The patterns have passed `wrongPattern`. */
  constructor(patterns: readonly string[], use: PatternUse) {
    this.#patterns = patterns.map((text) => parsePattern(text, use));
  }

  matches(text: string, work: Work): boolean {
    // To take it apart costs too.
    work.left -= text.length >> 2;
    const components = text.split('/').map((component) => Array.from(component));
    let result = this.#patterns[0]?.isNegated === true;
    for (const { isNegated, alternatives } of this.#patterns) {
      if (result !== isNegated) continue;
      if (work.left <= 0) return true;
      if (alternatives.some((alternative) => matchComponents(alternative, components, work))) {
        result = !isNegated;
      }
    }
    return result;
  }
}

/** What is wrong with a pattern of a list, its `!` included. */
export function wrongPattern(text: string, use: PatternUse): Wrong | undefined {
  const body = text.startsWith('!') ? text.slice(1) : text;
  if (body.trim() === '') return { message: 'the pattern is empty' };
  if (text.length > longestPattern) return { message: `a pattern has at most ${longestPattern} characters` };
  // eslint-disable-next-line no-control-regex -- no name has them
  if (/[\u0000-\u001f\u007f]/.test(body)) return { message: `${quoted(text)} is not a pattern` };
  if (use === 'refs' && body.startsWith('refs/'))
    return { message: `${quoted(text)} is a full name`, hint: 'write the name alone, such as main or v*' };
  if (body.startsWith('/'))
    return { message: `${quoted(text)} matches nothing`, hint: 'names and paths do not begin with `/`' };
  if (body.split('/').some((part) => part === '..' || part === '.'))
    return { message: `${quoted(text)} matches nothing`, hint: 'no name has `.` or `..` as a part of it' };
  if (/(?<!\\)(?:\\\\)*\\$/.test(body)) return { message: `${quoted(text)} ends with a single backslash` };
  if (expandBraces(body) === undefined)
    return { message: `${quoted(text)} stands for more than ${mostAlternatives} patterns` };
  return undefined;
}

function parsePattern(text: string, use: PatternUse): Pattern {
  const isNegated = text.startsWith('!');
  const body = isNegated ? text.slice(1) : text;
  const alternatives: Component[][] = [];
  for (const alternative of expandBraces(body) ?? []) {
    const parts = alternative.split('/').filter((part) => part !== '');
    const components = parts.map(parseComponent);
    const last = components.at(-1);
    if (last?.kind === 'deep') components.push(anyName);
    if (!alternative.endsWith('/') || use === 'refs') alternatives.push(components);
    const isPlain = last?.kind === 'name' && last.tokens.every((token) => token.kind === 'char');
    if (use === 'paths' && (alternative.endsWith('/') || isPlain))
      alternatives.push([...components, { kind: 'deep' }, anyName]);
  }
  return { isNegated, alternatives };
}

const anyName: Component = { kind: 'name', tokens: [{ kind: 'any' }] };

function parseComponent(text: string): Component {
  if (text === '**') return { kind: 'deep' };
  const tokens: Token[] = [];
  const chars = Array.from(text);
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index] ?? '';
    if (char === '*') {
      if (tokens.at(-1)?.kind !== 'any') tokens.push({ kind: 'any' });
    } else if (char === '?') tokens.push({ kind: 'one' });
    else if (char === '\\') {
      index += 1;
      tokens.push({ kind: 'char', char: chars[index] ?? '' });
    } else if (char === '[') {
      const end = classEnd(chars, index);
      if (end === undefined) tokens.push({ kind: 'char', char });
      else {
        tokens.push(parseClass(chars.slice(index + 1, end)));
        index = end;
      }
    } else tokens.push({ kind: 'char', char });
  }
  return { kind: 'name', tokens };
}

/** Index of the `]` that ends the class; one that comes first is a member. Undefined: the `[` is only a character. */
function classEnd(chars: readonly string[], start: number): number | undefined {
  const first = chars[start + 1] === '!' || chars[start + 1] === '^' ? start + 2 : start + 1;
  const end = chars.indexOf(']', first + 1);
  return end === -1 ? undefined : end;
}

function parseClass(chars: readonly string[]): Token {
  const isNegated = chars[0] === '!' || chars[0] === '^';
  const members = isNegated ? chars.slice(1) : chars;
  const ranges: [string, string][] = [];
  for (let index = 0; index < members.length; index++) {
    const from = members[index] ?? '';
    const to = members[index + 1] === '-' ? members[index + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) index += 2;
  }
  return { kind: 'class', isNegated, ranges };
}

const matchComponents = (
  pattern: readonly Component[],
  components: readonly (readonly string[])[],
  work: Work,
): boolean =>
  wildcard(pattern, components, work, {
    isAny: ({ kind }) => kind === 'deep',
    matches: (component, name) =>
      component.kind === 'name' &&
      wildcard(component.tokens, name, work, { isAny: ({ kind }) => kind === 'any', matches: matchChar }),
  });

/** One pattern of things that match one item each, and of others that match any number of them. */
function wildcard<P, T>(
  pattern: readonly P[],
  items: readonly T[],
  work: Work,
  rules: { readonly isAny: (part: P) => boolean; readonly matches: (part: P, item: T) => boolean },
): boolean {
  let part = 0;
  let item = 0;
  let star = -1;
  let starItem = 0;
  while (item < items.length) {
    work.left -= 1;
    const current = pattern[part];
    const found = items[item];
    if (current !== undefined && rules.isAny(current)) {
      star = part;
      starItem = item;
      part += 1;
    } else if (current !== undefined && found !== undefined && rules.matches(current, found)) {
      part += 1;
      item += 1;
    } else if (star !== -1) {
      part = star + 1;
      starItem += 1;
      item = starItem;
    } else return false;
  }
  while (part < pattern.length) {
    const current = pattern[part];
    if (current === undefined || !rules.isAny(current)) return false;
    part += 1;
  }
  return true;
}

function matchChar(token: Token, char: string): boolean {
  switch (token.kind) {
    case 'any':
    case 'one':
      return true;
    case 'char':
      return token.char === char;
    case 'class': {
      const point = char.codePointAt(0) ?? 0;
      const isInside = token.ranges.some(
        ([from, to]) => (from.codePointAt(0) ?? 0) <= point && point <= (to.codePointAt(0) ?? 0),
      );
      return isInside !== token.isNegated;
    }
  }
}

/** All patterns that the braces stand for; undefined: too many. Braces without a comma are characters, as in a shell. */
function expandBraces(pattern: string): string[] | undefined {
  const done: string[] = [];
  const open = [pattern];
  for (let text = open.pop(); text !== undefined; text = open.pop()) {
    const brace = firstBrace(text);
    if (brace === undefined) done.push(text);
    else for (const option of brace.options.toReversed()) open.push(brace.before + option + brace.after);
    if (done.length + open.length > mostAlternatives) return undefined;
  }
  return done;
}

function firstBrace(
  text: string,
): { readonly before: string; readonly options: readonly string[]; readonly after: string } | undefined {
  for (let start = text.indexOf('{'); start !== -1; start = text.indexOf('{', start + 1)) {
    if (text[start - 1] === '\\') continue;
    const options: string[] = [];
    let depth = 0;
    let from = start + 1;
    for (let index = start; index < text.length; index++) {
      const char = text[index];
      if (char === '\\') index += 1;
      else if (char === '{') depth += 1;
      else if (char === ',' && depth === 1) {
        options.push(text.slice(from, index));
        from = index + 1;
      } else if (char === '}' && --depth === 0) {
        if (options.length === 0) break;
        options.push(text.slice(from, index));
        return { before: text.slice(0, start), options, after: text.slice(index + 1) };
      }
    }
  }
  return undefined;
}
