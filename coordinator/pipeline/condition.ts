/** The text of an `if`, checked and ready to be evaluated. */
import { longestCondition, parseCel, typeOfCel, type CelProblem } from './cel.js';
import type { Findings } from './findings.js';
import { keyOf, partsOf, type Expression, type Question } from './expression-tree.js';
import type { LocatedScalar } from './located.js';
import type { Range } from './source-text.js';
import { translate, type Complain, type Scope } from './translate.js';
import { code } from './words.js';

export interface CompiledCondition {
  /** CEL, without `${{ }}`. */
  readonly text: string;
  readonly expression: Expression;
  /** It speaks of needs, `failed()` or `always()`: it decides by itself, whatever became of the needs. */
  readonly decidesAlone: boolean;
  /** It cannot be decided before the needs have ended. */
  readonly waits: boolean;
  /** Each once. */
  readonly questions: ReadonlyMap<string, Question>;
}

/** Undefined: something was wrong, and was reported at its place in the file. */
export function compileCondition(
  scalar: LocatedScalar,
  { scope, findings }: { readonly scope: Scope; readonly findings: Findings },
): CompiledCondition | undefined {
  const written = unwrapped(scalar, findings);
  if (written === undefined) return undefined;
  const { text } = written;
  const places = new Places(scalar, written, findings);
  const before = findings.errors;
  const complain: Complain = (range, message, hint) => findings.error(places.of(range), message, hint);
  if (text.length > longestCondition) {
    findings.error(scalar.range, `a condition has at most ${longestCondition} characters`);
    return undefined;
  }
  const parsed = parseCel(text);
  if (!parsed.ok) {
    explainSyntax(parsed.problem, text, complain);
    return undefined;
  }
  const expression = translate(parsed.node, scope, complain);
  if (expression === undefined || findings.errors > before) return undefined;
  const typed = typeOfCel(text);
  if (!typed.ok) {
    explainType(typed.problem, text, complain);
    return undefined;
  }
  if (typed.type !== 'bool') {
    const hint = typed.type === 'string' ? `compare it: ${code(`${text} == "…"`)}` : undefined;
    complain(
      { start: 0, end: text.length },
      `a condition is true or false, and this is ${aType(typed.type)}`,
      hint,
    );
    return undefined;
  }
  return { text, ...known(expression) };
}

/** What was compiled before, from the text that a `Condition` carries. Undefined: it was not. */
export function readCondition(text: string): Expression | undefined {
  if (text.length > longestCondition) return undefined;
  const parsed = parseCel(text);
  return parsed.ok ? translate(parsed.node, undefined, () => undefined) : undefined;
}

function known(expression: Expression): Omit<CompiledCondition, 'text'> {
  const questions = new Map<string, Question>();
  let decidesAlone = false;
  let waits = false;
  for (const part of partsOf(expression)) {
    if (part.kind === 'changed' || part.kind === 'matches') questions.set(keyOf(part), part);
    if (part.kind === 'need' || part.kind === 'failed') waits = true;
    if (part.kind === 'always') decidesAlone = true;
  }
  return { expression, questions, waits, decidesAlone: decidesAlone || waits };
}

interface Written {
  readonly text: string;
  /** Where it begins in the scalar's text. */
  readonly from: number;
}

/** Without the `${{ }}` that people are used to, and without what surrounds it. */
function unwrapped(scalar: LocatedScalar, findings: Findings): Written | undefined {
  // `True` and `TRUE` are YAML's words for it.
  const all = typeof scalar.value === 'boolean' ? String(scalar.value) : scalar.text;
  const outer = all.trim();
  const isWrapped = outer.startsWith('${{') && outer.endsWith('}}') && outer.indexOf('${{', 1) < 0;
  const inner = isWrapped ? outer.slice(3, -2) : outer;
  const text = inner.trim();
  if (inner.includes('${{')) {
    const hint = 'a condition is an expression as a whole: write `branch == matrix.branch`';
    findings.error(placeOf(scalar, '${{', findings), '`${{ }}` within a condition', hint);
    return undefined;
  }
  if (text === '') {
    findings.error(scalar.range, 'the condition is empty', 'write such as `branch == "main"`');
    return undefined;
  }
  return { text, from: all.indexOf(text, isWrapped ? all.indexOf('${{') + 3 : 0) };
}

function placeOf(scalar: LocatedScalar, text: string, findings: Findings): Range {
  const at = findings.source.slice(scalar.range).indexOf(text);
  return at < 0
    ? scalar.range
    : { start: scalar.range.start + at, end: scalar.range.start + at + text.length };
}

/** Where a part of the expression stands in the file, where folded or escaped text has another form. */
class Places {
  readonly #raw: string;
  readonly #range: Range;
  readonly #text: string;
  /** Of the expression in the raw text, if it stands there as it is. */
  readonly #at: number;

  constructor(scalar: LocatedScalar, { text, from }: Written, findings: Findings) {
    this.#range = scalar.range;
    this.#raw = findings.source.slice(scalar.range);
    this.#text = text;
    this.#at = this.#raw.indexOf(text, Math.min(from, this.#raw.length));
  }

  of({ start, end }: { readonly start: number; readonly end: number }): Range {
    const origin = this.#range.start;
    if (this.#at >= 0) return { start: origin + this.#at + start, end: origin + this.#at + end };
    // The same occurrence of the same word. A part of several lines is told at its first word.
    const token = /^\S+/.exec(this.#text.slice(start, Math.max(end, start + 1)))?.[0];
    if (token === undefined) return this.#range;
    let at = -1;
    for (let text = -1; text < start;) {
      text = this.#text.indexOf(token, text + 1);
      at = this.#raw.indexOf(token, at + 1);
      if (at < 0 || text < 0) return this.#range;
    }
    return { start: origin + at, end: origin + at + token.length };
  }
}

function explainSyntax(
  { start, end, code: kind, message }: CelProblem,
  text: string,
  complain: Complain,
): void {
  const range = { start, end: Math.max(end, start) };
  const word = text.slice(start, end);
  if (kind === 'limit_exceeded') {
    complain(
      { start: 0, end: text.length },
      'the condition is nested too deeply or has too many parts',
      'split the stage, or ask less',
    );
  } else if (start >= text.trimEnd().length) {
    complain(
      range,
      'the condition ends too early',
      /Expected (\w+)/.test(message) ? closing(message) : undefined,
    );
  } else if (word.startsWith('=')) {
    complain(range, 'expected `==`', 'two `=` compare');
  } else if (word === '&' || word === '|') {
    complain(range, `expected ${code(word + word)}`);
  } else if (/^and\b/.test(word) || /\band$/.test(text.slice(0, end))) {
    complain(range, `unexpected ${code(word)}`, 'write `&&`');
  } else if (/^or\b/.test(word)) {
    complain(range, `unexpected ${code(word)}`, 'write `||`');
  } else if (text.startsWith('not ')) {
    complain({ start: 0, end: 3 }, 'unexpected `not`', 'write `!`, and the condition in quotes');
  } else if (/^[“”‘’]/.test(word)) {
    complain(range, 'typographic quotes', 'write "text"');
  } else if (kind === 'unterminated_string') {
    complain({ start, end: start + 1 }, `this ${text.charAt(start)} has no closing one`);
  } else if (kind === 'unexpected_character' || kind === 'unexpected_token' || kind === 'expected_token') {
    complain(range, `unexpected ${code(word === '' ? 'end' : word)}`);
  } else {
    complain(range, message.charAt(0).toLowerCase() + message.slice(1));
  }
}

const closing = (message: string): string | undefined => {
  if (message.includes('RPAREN')) return 'a `(` is not closed';
  if (message.includes('RBRACKET')) return 'a `[` is not closed';
  return message.includes('COLON') ? 'write `condition ? one : other`' : undefined;
};

function explainType({ start, end, message }: CelProblem, text: string, complain: Complain): void {
  const binary = /^no such overload: (\S+) (\S+) (\S+)$/.exec(message);
  const logical = /^Logical operator requires bool operands, got '(\S+)'$/i.exec(message);
  const unary = /^no such overload: ([!-])(\S+)$/.exec(message);
  if (binary !== null) {
    const [, left = '', operator = '', right = ''] = binary;
    const isText = [left, right].includes('string') && left !== right;
    const number = /(?:int|double|uint)/.test(left + right);
    const hint = isText && number ? 'facts are texts: put the number in quotes' : undefined;
    complain({ start, end }, `${code(operator)} does not go with ${aType(left)} and ${aType(right)}`, hint);
  } else if (unary !== null) {
    const hint =
      unary[2] === 'string' ? `write ${code(`${text.slice(start + 1, end).trim()} == ""`)}` : undefined;
    complain({ start, end }, `${code(unary[1] ?? '')} does not go with ${aType(unary[2] ?? '')}`, hint);
  } else if (logical !== null) {
    const expected = '`&&` and `||` join what is true or false';
    complain({ start, end }, `${expected}, and this has ${aType(logical[1] ?? '')}`);
  } else {
    complain({ start, end }, message.charAt(0).toLowerCase() + message.slice(1));
  }
}

function aType(type: string): string {
  if (type === 'string') return 'a text';
  if (type === 'bool') return 'a truth value';
  if (type === 'int' || type === 'double') return 'a number';
  return type.startsWith('list') ? 'a list' : type;
}
