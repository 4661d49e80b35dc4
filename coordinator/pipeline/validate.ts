import type { z } from 'zod';
import type { Findings } from './findings.js';
import { mapKindOf, plannedMatrixKeys, type MapKind } from './keys.js';
import { find, keyRangeOf, plain, rangeOf, type Located, type Path } from './located.js';
import { pipelineSchema, remainsSchema, type Pipeline } from './schema.js';
import { without } from './prune.js';
import { nearest } from './suggest.js';
import { code } from './words.js';

type Issue = z.core.$ZodIssue;

/**
 * Checks the shape of a pipeline and reports what is wrong. What is right is returned all the same, so that it can be
 * looked at further: a file's errors come all at once.
 */
export function validate(root: Located, findings: Findings): Pipeline {
  const value = plain(root);
  const result = pipelineSchema.safeParse(value);
  if (result.success) return result.data;
  const cuts: Path[] = [];
  const before = findings.errors;
  for (const issue of result.error.issues) explain(issue, [], { root, findings, cuts });
  if (findings.errors === before) findings.error(root.range, 'this is no valid pipeline');
  const remains = remainsSchema.safeParse(without(value, cuts));
  return remains.success ? remains.data : {};
}

interface Context {
  readonly root: Located;
  readonly findings: Findings;
  /** Where the value is invalid. */
  readonly cuts: Path[];
}

function explain(issue: Issue, prefix: Path, context: Context): void {
  const path = [...prefix, ...issue.path];
  const { root, findings, cuts } = context;
  if (issue.code === 'unrecognized_keys') {
    cuts.push(...issue.keys.map((key) => [...path, key]));
    for (const key of issue.keys) unknownKey([...path, key], context);
    return;
  }
  if (issue.code === 'invalid_union') {
    const branch = branchMeant(issue.errors, find(root, path));
    if (branch !== undefined) {
      for (const inner of branch) explain(inner, path, context);
      return;
    }
  }
  cuts.push(path);
  if (issue.code === 'invalid_key') {
    badName(issue, path, context);
    return;
  }
  const found = find(root, path);
  if (found === undefined) {
    missingKey(path, context);
    return;
  }
  const [message = '', hint] = issue.message.split('\n');
  const behindKey = found.kind === 'scalar' && found.text === '';
  findings.error(behindKey ? keyRangeOf(root, path) : rangeOf(root, path), message, hint);
}

/** Of a union of a string, a list and a map, the one that the value is, if it is one of them. */
function branchMeant(
  branches: readonly (readonly Issue[])[],
  value: Located | undefined,
): readonly Issue[] | undefined {
  // What should be one of some words, and is none: of another kind, if it is a list or a map.
  const isOther = ({ code: kind }: Issue): boolean =>
    kind === 'invalid_type' || (kind === 'invalid_value' && value?.kind !== 'scalar');
  const fitting = branches.filter(
    (issues) => !issues.some((issue) => issue.path.length === 0 && isOther(issue)),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

function unknownKey(path: Path, { root, findings }: Context): void {
  const parent = path.slice(0, -1);
  const key = String(path.at(-1));
  const kind = mapKindOf(parent);
  const range = keyRangeOf(root, path);
  if (kind.planned.includes(key)) {
    findings.error(range, `${code(key)} in ${kind.title} is not supported by this version yet`);
    return;
  }
  if (isCommand(key, find(root, parent), kind)) {
    const hint = `put the command in single quotes, or write it below \`run: |\``;
    findings.error(
      range,
      `this command is read as a map with the key ${code(key)}, because of its \`: \``,
      hint,
    );
    return;
  }
  findings.error(range, `unknown key ${code(key)} in ${kind.title}`, () => {
    const meant = meantBy(key, kind);
    return meant === undefined ? `known keys: ${kind.keys.join(', ')}` : `did you mean ${code(meant)}?`;
  });
}

/** Whether the key is the beginning of a command that has `: ` in it. */
function isCommand(key: string, step: Located | undefined, kind: MapKind): boolean {
  if (!kind.keys.includes('run') || step?.kind !== 'map') return false;
  const isAlone = step.entries.size === 1 && meantBy(key, kind) === undefined && !kind.planned.includes(key);
  return /\s/.test(key) || isAlone;
}

function meantBy(key: string, kind: MapKind): string | undefined {
  return Object.hasOwn(kind.synonyms, key) ? kind.synonyms[key] : nearest(key, kind.keys);
}

function badName(
  issue: Extract<Issue, { code: 'invalid_key' }>,
  path: Path,
  { root, findings }: Context,
): void {
  const key = String(path.at(-1));
  if (path.length === 4 && path[2] === 'matrix' && plannedMatrixKeys.includes(key)) {
    findings.error(keyRangeOf(root, path), `${code(key)} in a matrix is not supported by this version yet`);
    return;
  }
  const message = issue.issues[0]?.message ?? issue.message;
  const hint = /^[^\s:]+:\S/.test(key) ? 'YAML wants a space behind `:`' : undefined;
  findings.error(keyRangeOf(root, path), message, hint);
}

/** Whether a key is missing only because it is written wrong, which is told at that place. */
function isWrittenOtherwise(key: string, parent: Located | undefined, kind: MapKind): boolean {
  if (parent?.kind !== 'map') return false;
  const written = [...parent.entries.keys()].filter((other) => !kind.keys.includes(other)).slice(0, 20);
  // A step has one of the two.
  const wanted = key === 'run' ? ['run', 'build'] : [key];
  return written.some(
    (other) => wanted.includes(meantBy(other, kind) ?? '') || isCommand(other, parent, kind),
  );
}

function missingKey(path: Path, { root, findings }: Context): void {
  const key = String(path.at(-1));
  const range = keyRangeOf(root, path.slice(0, -1));
  const kind = mapKindOf(path.slice(0, -1));
  const { title } = kind;
  if (isWrittenOtherwise(key, find(root, path.slice(0, -1)), kind)) return;
  if (path.length === 1) {
    findings.error(
      { start: range.start, end: range.start },
      'the pipeline has no `stages`',
      'write `stages: { build: { steps: [make] } }`',
    );
  } else if (path.length === 3 && key === 'steps') {
    findings.error(range, `${title} has no steps`, 'write `steps: [make]`');
  } else {
    findings.error(range, `${title} has no ${code(key)}`);
  }
}
