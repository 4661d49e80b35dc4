/**
 * CEL, the language of `if`: its syntax and types. What a condition means is ours (`expression-tree.ts`, `evaluate.ts`).
 *
 * Both libraries were tried on what we need:
 *
 * | | `@marcbachmann/cel-js` 8.0 | `@bufbuild/cel` 0.6 |
 * |---|---|---|
 * | `brnch == 1`, `branch + 1` before the run | refused, with the place | planned without a word; its checker is not exported and knows no calls |
 * | place of an error | from and to, in UTF-16 units | line and column of syntax errors, none of others |
 * | `(` 2,000 times | refused at a set depth, 10 ms | the stack ends: `RangeError` |
 * | 1,000 × parse, an ordinary condition | 60 ms | 470 ms |
 * | `matches("(a+)+$")` on 27 characters | 17 s: JavaScript's expressions | linear: RE2 |
 * | brings along | nothing | protobuf and the specification's types, 10 MB |
 *
 * So the first one parses and checks types, and never evaluates: not for its regular expressions alone, but because
 * `int("x")`, `1 / 0` or a key that is not there fail when they are evaluated, and a condition that can fail does so in
 * the middle of a run.
 */
import { Environment, ParseError, TypeError, type ASTNode } from '@marcbachmann/cel-js';
import { factNames } from './condition-facts.js';

export type CelNode = ASTNode;

/** Offsets into the expression, in UTF-16 units. */
export interface CelProblem {
  readonly start: number;
  readonly end: number;
  /** As the library has it: `unexpected_character`. */
  readonly code: string;
  /** The library's words. */
  readonly message: string;
}

export type Parsed =
  { readonly ok: true; readonly node: CelNode } | { readonly ok: false; readonly problem: CelProblem };

/** Longer ones are refused before they are parsed. */
export const longestCondition = 4096;

const environment = declared();

function declared(): Environment {
  const made = new Environment({
    limits: { maxAstNodes: 500, maxDepth: 64, maxListElements: 200, maxMapEntries: 1, maxCallArguments: 8 },
  });
  for (const name of factNames) made.registerVariable(name, 'string');
  const never = (): never => {
    throw new Error('conditions are not evaluated by the library');
  };
  return (
    made
      .registerVariable('matrix', 'map<string, string>')
      .registerVariable('inputs', 'map<string, string>')
      // Which stages and axes there are is checked where the names are.
      .registerVariable('needs', 'map<string, map<string, string>>')
      .registerFunction('always(): bool', never)
      .registerFunction('failed(): bool', never)
      .registerFunction('changed(string): bool', never)
      .registerFunction('changed(list<string>): bool', never)
  );
}

/** The expression has at most `longestCondition` characters. Never throws. */
export function parseCel(text: string): Parsed {
  try {
    return { ok: true, node: environment.parse(text).ast };
  } catch (error) {
    return { ok: false, problem: problemOf(error, text) };
  }
}

/** `bool`, `string` …, or what does not fit together. */
export function typeOfCel(
  text: string,
): { readonly ok: true; readonly type: string } | { readonly ok: false; readonly problem: CelProblem } {
  const result = environment.check(text);
  return result.valid
    ? { ok: true, type: result.type ?? 'dyn' }
    : { ok: false, problem: problemOf(result.error, text) };
}

function problemOf(error: unknown, text: string): CelProblem {
  if (!(error instanceof ParseError || error instanceof TypeError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { start: 0, end: text.length, code: 'unknown', message };
  }
  const { start, end } = error.range ?? { start: 0, end: text.length };
  return { start, end, code: error.code, message: error.summary };
}
