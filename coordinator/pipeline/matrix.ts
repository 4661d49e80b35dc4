import type { Cell } from './expression.js';
import type { Findings } from './findings.js';
import { limits } from './limits.js';
import type { LocatedMap, LocatedScalar } from './located.js';
import type { Range } from './source-text.js';
import { code, quoted } from './words.js';

/** A value is part of the stage's title and of `--cell`. */
const longestValue = 100;

/**
 * The cells of a valid matrix: each combination of the values, the last axis turning fastest. Undefined when something
 * was wrong with a value, or there are too many.
 */
export function cellsOf(matrix: LocatedMap, key: Range, findings: Findings): Cell[] | undefined {
  const before = findings.errors;
  let cells: Cell[] = [{}];
  for (const [axis, { value: list }] of matrix.entries) {
    const items = list.kind === 'list' ? list.items : [];
    const values = items.flatMap((item) => (item.kind === 'scalar' ? [item] : []));
    checkValues(axis, values, findings);
    if (cells.length * values.length > limits.matrixCells) {
      const sizes = [...matrix.entries.values()].map(({ value }) =>
        value.kind === 'list' ? value.items.length : 1,
      );
      const message = `a matrix of ${sizes.join(' × ')} values: more than ${limits.matrixCells} stages`;
      findings.error(key, message, 'split the stage, or leave out combinations that do not matter');
      return undefined;
    }
    cells = cells.flatMap((cell) => values.map((value) => ({ ...cell, [axis]: value.text })));
  }
  return findings.errors > before ? undefined : cells;
}

function checkValues(axis: string, values: readonly LocatedScalar[], findings: Findings): void {
  const seen = new Set<string>();
  for (const { text, value, range } of values) {
    if (seen.has(text)) findings.error(range, `${code(axis)} has the value ${quoted(text)} twice`);
    seen.add(text);
    if (text.includes('${{')) findings.error(range, 'a value of a matrix cannot have `${{ }}` in it');
    // eslint-disable-next-line no-control-regex -- a title is one line without control sequences
    if (text.length > longestValue || /[\u0000-\u001f\u007f]/.test(text)) {
      findings.error(range, `a value of a matrix is one line of at most ${longestValue} characters`);
    }
    if (typeof value === 'number' && String(value) !== text) {
      const hint = `put it in quotes: "${text}"`;
      findings.warn(
        range,
        `${text} is the number ${value} in YAML; Gantry keeps it as written, other tools do not`,
        hint,
      );
    }
  }
}
