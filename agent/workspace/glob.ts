/**
 * Globs over paths that are bytes. Own code, because the globs on npm walk by path and follow links, and take names for
 * UTF-8; here the walker decides what is opened and asks, component by component, whether going on can lead to a match.
 *
 *     *        any characters of one component, a leading dot included      ?        one character
 *     **       any number of components                                   [a-z]    one of these; [!a-z] none of these
 *     {a,b}    either                                                     \x       the character x
 *
 * A pattern whose last component is plain (`htmlcov`), or that ends in `/`, means everything below a directory of that name
 * too. `.git` at the top is matched only by a pattern that names it: `**` means the work, not its repository.
 *
 * A pattern is matched by a set of positions, never by backtracking, so that no pattern and no name takes more than
 * length × length.
 */
export class GlobError extends Error {
  override readonly name = 'GlobError';
}

/** How far each alternative has got on the way to a path. */
export interface GlobPosition {
  /** The path so far is a match. */
  readonly matches: boolean;
  /** Some path below it may be. */
  readonly mayMatchBelow: boolean;
  readonly states: ReadonlySet<string>;
}

type Token =
  | { readonly kind: 'any' }
  | { readonly kind: 'one' }
  | { readonly kind: 'char'; readonly char: string }
  | {
      readonly kind: 'class';
      readonly negated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    };
type Component =
  | { readonly kind: 'deep' }
  | { readonly kind: 'name'; readonly tokens: readonly Token[]; readonly plain: boolean };

const maxAlternatives = 256;

export class Glob {
  readonly #alternatives: readonly (readonly Component[])[];

  /** Throws `GlobError` for a pattern that is empty, absolute, leaves the directory, or has unbalanced braces. */
  constructor(readonly pattern: string) {
    if (pattern === '') throw new GlobError('a pattern cannot be empty');
    if (pattern.startsWith('/')) {
      throw new GlobError(`${pattern} is absolute: patterns are relative to the workspace`);
    }
    if (pattern.includes('\0')) throw new GlobError('a pattern cannot contain a NUL');
    const all: (readonly Component[])[] = [];
    for (const text of expandBraces(pattern)) {
      const components = parse(text);
      const last = components.at(-1);
      if (last === undefined) {
        // `.` or `./`: everything.
        all.push(everything);
        continue;
      }
      if (!text.endsWith('/')) all.push(components);
      if (text.endsWith('/') || (last.kind === 'name' && last.plain))
        all.push([...components, ...everything]);
    }
    this.#alternatives = all;
  }

  start(): GlobPosition {
    const states = new Set<string>();
    this.#alternatives.forEach((components, alternative) => addState(states, alternative, components, 0));
    return this.#position(states);
  }

  /** One component further down. `top`: the component is directly in the workspace. */
  step(from: GlobPosition, name: Buffer, top: boolean): GlobPosition {
    const states = new Set<string>();
    const text = name.toString('utf8');
    // What is not UTF-8 is matched byte by byte.
    const chars = Buffer.from(text, 'utf8').equals(name)
      ? Array.from(text)
      : Array.from(name.toString('latin1'));
    const repository = top && text === '.git';
    for (const state of from.states) {
      const [alternative = 0, index = 0] = state.split(':').map(Number);
      const components = this.#alternatives[alternative] ?? [];
      const component = components[index];
      if (component === undefined) continue;
      if (component.kind === 'deep') {
        if (!repository) addState(states, alternative, components, index);
      } else if (!(repository && !component.plain) && matchName(component.tokens, chars)) {
        addState(states, alternative, components, index + 1);
      }
    }
    return this.#position(states);
  }

  /** For a path at once. */
  test(path: string | Buffer): boolean {
    const bytes = typeof path === 'string' ? Buffer.from(path) : path;
    let position = this.start();
    let top = true;
    for (const component of bytes.toString('latin1').split('/')) {
      position = this.step(position, Buffer.from(component, 'latin1'), top);
      top = false;
    }
    return position.matches;
  }

  #position(states: ReadonlySet<string>): GlobPosition {
    let matches = false;
    let mayMatchBelow = false;
    for (const state of states) {
      const [alternative = 0, index = 0] = state.split(':').map(Number);
      if (index >= (this.#alternatives[alternative]?.length ?? 0)) matches = true;
      else mayMatchBelow = true;
    }
    return { matches, mayMatchBelow, states };
  }
}

/** One component or more. */
const everything: readonly Component[] = [
  { kind: 'deep' },
  { kind: 'name', tokens: [{ kind: 'any' }], plain: false },
];

/** `**` may stand for nothing, so who has come to it has come to what follows it too. */
function addState(
  states: Set<string>,
  alternative: number,
  components: readonly Component[],
  index: number,
): void {
  states.add(`${alternative}:${index}`);
  if (components[index]?.kind === 'deep') addState(states, alternative, components, index + 1);
}

function parse(pattern: string): Component[] {
  const components: Component[] = [];
  for (const text of pattern.split('/')) {
    if (text === '' || text === '.') continue;
    if (text === '..') throw new GlobError(`${pattern} leaves the workspace by ".."`);
    if (text === '**') {
      if (components.at(-1)?.kind !== 'deep') components.push({ kind: 'deep' });
    } else components.push(parseName(text, pattern));
  }
  if (components.at(-1)?.kind === 'deep') components.push(...everything.slice(1));
  return components;
}

function parseName(text: string, pattern: string): Component {
  const tokens: Token[] = [];
  const chars = Array.from(text);
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index] ?? '';
    if (char === '*') {
      if (tokens.at(-1)?.kind !== 'any') tokens.push({ kind: 'any' });
    } else if (char === '?') tokens.push({ kind: 'one' });
    else if (char === '\\') {
      index += 1;
      const escaped = chars[index];
      if (escaped === undefined) throw new GlobError(`${pattern} ends with a single backslash`);
      tokens.push({ kind: 'char', char: escaped });
    } else if (char === '[') {
      const end = classEnd(chars, index);
      if (end === undefined) tokens.push({ kind: 'char', char });
      else {
        tokens.push(parseClass(chars.slice(index + 1, end)));
        index = end;
      }
    } else tokens.push({ kind: 'char', char });
  }
  return { kind: 'name', tokens, plain: tokens.every((token) => token.kind === 'char') };
}

/** Index of the `]` that ends the class; one that comes first is a member. Undefined: the `[` is only a character. */
function classEnd(chars: readonly string[], start: number): number | undefined {
  const first = chars[start + 1] === '!' || chars[start + 1] === '^' ? start + 2 : start + 1;
  const end = chars.indexOf(']', first + 1);
  return end === -1 ? undefined : end;
}

function parseClass(chars: readonly string[]): Token {
  const negated = chars[0] === '!' || chars[0] === '^';
  const members = negated ? chars.slice(1) : chars;
  const ranges: [string, string][] = [];
  for (let index = 0; index < members.length; index++) {
    const from = members[index] ?? '';
    const to = members[index + 1] === '-' ? members[index + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) index += 2;
  }
  return { kind: 'class', negated, ranges };
}

/** At a mismatch only the last `*` takes one character more: earlier ones cannot do better. */
function matchName(tokens: readonly Token[], chars: readonly string[]): boolean {
  let token = 0;
  let char = 0;
  let star = -1;
  let starChar = 0;
  while (char < chars.length) {
    const current = tokens[token];
    if (current?.kind === 'any') {
      star = token;
      starChar = char;
      token += 1;
    } else if (current !== undefined && matchChar(current, chars[char] ?? '')) {
      token += 1;
      char += 1;
    } else if (star !== -1) {
      token = star + 1;
      starChar += 1;
      char = starChar;
    } else return false;
  }
  while (tokens[token]?.kind === 'any') token += 1;
  return token === tokens.length;
}

function matchChar(token: Exclude<Token, { kind: 'any' }>, char: string): boolean {
  switch (token.kind) {
    case 'one':
      return true;
    case 'char':
      return token.char === char;
    case 'class': {
      const code = char.codePointAt(0) ?? 0;
      const inside = token.ranges.some(
        ([from, to]) => (from.codePointAt(0) ?? 0) <= code && code <= (to.codePointAt(0) ?? 0),
      );
      return inside !== token.negated;
    }
  }
}

/** All patterns that the braces stand for. Braces without a comma are characters, as in a shell. */
function expandBraces(pattern: string): string[] {
  const done: string[] = [];
  const open = [pattern];
  for (let text = open.pop(); text !== undefined; text = open.pop()) {
    const brace = firstBrace(text);
    if (brace === undefined) done.push(text);
    else for (const option of [...brace.options].reverse()) open.push(brace.before + option + brace.after);
    if (done.length + open.length > maxAlternatives) {
      throw new GlobError(`${pattern} stands for more than ${maxAlternatives} patterns`);
    }
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
