import type { Findings } from './findings.js';
import { limits } from './limits.js';
import type { LocatedScalar } from './located.js';
import type { Range } from './source-text.js';
import { nearest } from './suggest.js';
import { code } from './words.js';

/** The values of one cell of a matrix, in the order of its axes; empty without a matrix. */
export type Cell = Readonly<Record<string, string>>;

export interface Expanding {
  readonly findings: Findings;
  readonly stage: string;
  /** Undefined: the matrix is invalid, which was reported; nothing is said about its values. */
  readonly cell: Cell | undefined;
  /** A value spliced into a script is run by the shell; elsewhere it is only text. */
  readonly use: 'script' | 'value';
}

/** Facts of a run by their names in conditions, and the variables in which steps find them. */
const variables: ReadonlyMap<string, string> = new Map([
  ['event', 'GANTRY_EVENT'],
  ['branch', 'GANTRY_BRANCH'],
  ['target', 'GANTRY_TARGET'],
  ['tag', 'GANTRY_TAG'],
  ['commit', 'GANTRY_COMMIT'],
  ['author', 'GANTRY_AUTHOR'],
  ['message', 'GANTRY_MESSAGE'],
  ['title', 'GANTRY_MESSAGE'],
  ['by', 'GANTRY_BY'],
  ['project', 'GANTRY_PROJECT'],
  ['run', 'GANTRY_RUN'],
  // The names that people bring along.
  ['github.ref_name', 'GANTRY_BRANCH'],
  ['github.head_ref', 'GANTRY_BRANCH'],
  ['github.base_ref', 'GANTRY_TARGET'],
  ['github.workspace', 'GANTRY_WORKSPACE'],
  ['github.sha', 'GANTRY_COMMIT'],
  ['github.actor', 'GANTRY_AUTHOR'],
  ['github.event_name', 'GANTRY_EVENT'],
  ['github.run_id', 'GANTRY_RUN'],
]);

/**
 * The text with the values of the cell in place of `${{ matrix.NAME }}`. Nothing else may stand there: a branch name or
 * a commit's title spliced into a script would be run by the shell. Undefined: something was wrong, and was reported.
 */
export function expand(scalar: LocatedScalar, context: Expanding): string | undefined {
  const { text } = scalar;
  if (!text.includes('${{')) return text;
  const { findings, cell } = context;
  const places = new Places(scalar, findings);
  let result = '';
  let behind = 0;
  let whole = cell !== undefined;
  // No regular expression: where many `${{` have no `}}`, `.*?` takes time in the square of the length.
  for (let at = text.indexOf('${{'); at >= 0; at = text.indexOf('${{', behind)) {
    const end = text.indexOf('}}', at);
    if (end < 0) {
      findings.error(places.of('${{'), '`${{` without its `}}`');
      return undefined;
    }
    const value = valueOf(text.slice(at + 3, end).trim(), places.of(text.slice(at, end + 2)), context);
    whole &&= value !== undefined;
    result += text.slice(behind, at) + (value ?? '');
    behind = end + 2;
    if (result.length <= limits.stageBytes) continue;
    findings.error(scalar.range, 'the values of the matrix make this text too long');
    return undefined;
  }
  return whole ? result + text.slice(behind) : undefined;
}

/** Where each expression stands in the file. Only folded or escaped text has it in another form there. */
class Places {
  readonly #scalar: LocatedScalar;
  readonly #raw: string;
  #from = 0;

  constructor(scalar: LocatedScalar, findings: Findings) {
    this.#scalar = scalar;
    this.#raw = findings.source.slice(scalar.range);
  }

  of(text: string): Range {
    const at = this.#raw.indexOf(text, this.#from);
    if (at < 0) return this.#scalar.range;
    this.#from = at + text.length;
    const start = this.#scalar.range.start + at;
    return { start, end: start + text.length };
  }
}

function valueOf(name: string, range: Range, context: Expanding): string | undefined {
  const { findings, cell, stage } = context;
  if (!name.startsWith('matrix.')) {
    refuse(name, range, context);
    return undefined;
  }
  if (cell === undefined) return undefined;
  const axis = name.slice('matrix.'.length);
  if (Object.hasOwn(cell, axis)) return cell[axis];
  const axes = Object.keys(cell);
  if (axes.length === 0) {
    findings.error(range, `stage ${code(stage)} has no matrix`);
  } else {
    findings.error(range, `the matrix of stage ${code(stage)} has no ${code(axis)}`, () => {
      const meant = nearest(axis, axes);
      return meant === undefined ? `it has: ${axes.join(', ')}` : `did you mean ${code(`matrix.${meant}`)}?`;
    });
  }
  return undefined;
}

function refuse(name: string, range: Range, { findings, use }: Expanding): void {
  const variable = variableFor(name);
  const secret = /^secrets\.([A-Za-z_][A-Za-z0-9_]*)$/.exec(name)?.[1];
  if (secret !== undefined) {
    const hint = `write \`secrets: [${secret}]\` in the stage or step: it has the value as "$${secret}"`;
    findings.error(range, `${code(name)} cannot be put into a text`, hint);
  } else if (variable !== undefined && use === 'script') {
    const hint = `write "$${variable}": the step has it as a variable, and the shell does not run what is in it`;
    findings.error(range, `${code(name)} cannot be put into a command`, hint);
  } else if (variable !== undefined) {
    const hint = `only \`matrix.NAME\` is; steps have this one as "$${variable}"`;
    findings.error(range, `${code(name)} in \`\${{ }}\` is not supported here by this version yet`, hint);
  } else {
    const hint =
      'the facts of the run are variables of each step, such as "$GANTRY_BRANCH" and "$GANTRY_COMMIT"';
    findings.error(range, `expected \`matrix.NAME\` in \`\${{ }}\`, got ${code(name)}`, hint);
  }
}

function variableFor(name: string): string | undefined {
  const input = /^inputs\.([A-Za-z0-9_-]+)$/.exec(name)?.[1];
  if (input !== undefined) return `GANTRY_INPUT_${input.toUpperCase().replaceAll('-', '_')}`;
  return /^env\.([A-Za-z_][A-Za-z0-9_]*)$/.exec(name)?.[1] ?? variables.get(name);
}
