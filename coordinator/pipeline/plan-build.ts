/** A step's `build` with every value complete. */
import type { PlannedBuild } from '../../shared/model/pipeline.js';
import type { Findings } from './findings.js';
import { find, keyRangeOf, type Located, type Path } from './located.js';
import { normalPath, wrongImage, wrongPath, wrongVariable, type Wrong } from './values.js';
import { code, quoted } from './words.js';

export interface BuildToPlan {
  readonly root: Located;
  readonly findings: Findings;
  /** Of `build`. */
  readonly path: Path;
  /** The text at a path with its expressions expanded; undefined: not there, or invalid and reported. */
  readonly checked: (path: Path, wrong: (text: string) => Wrong | undefined) => string | undefined;
}

/** More names of one image than anybody needs. */
const maxTags = 32;

export function planBuild({ root, findings, path, checked }: BuildToPlan): PlannedBuild {
  const isShort = find(root, path)?.kind === 'scalar';
  const context = checked(isShort ? path : [...path, 'context'], wrongPath);
  const directory = context === undefined ? undefined : normalPath(context);
  const file = normalPath(checked([...path, 'file'], wrongPath) ?? '');
  const target = checked([...path, 'target'], wrongTarget);
  const tags = tagsOf(path, root, checked);
  const push = find(root, [...path, 'push']);
  const pushes = push?.kind === 'scalar' && push.value === true;
  if (tags.length > maxTags) {
    findings.error(keyRangeOf(root, [...path, 'tags']), `an image has at most ${maxTags} tags here`);
  }
  if (pushes && find(root, [...path, 'tags']) === undefined) {
    const hint = 'write `tags: registry.example.org/team/app:1.0`';
    findings.error(keyRangeOf(root, [...path, 'push']), 'there is nothing to push without `tags`', hint);
  }
  return {
    ...(directory === undefined ? {} : { context: directory }),
    file: file ?? 'Dockerfile',
    ...(target === undefined ? {} : { target }),
    args: argsOf(path, root, checked),
    tags,
    push: pushes,
  };
}

/** What a step is called whose author did not name it. */
export const nameOfBuild = ({ tags, context = '.' }: PlannedBuild): string => `build ${tags[0] ?? context}`;

function tagsOf(path: Path, root: Located, checked: BuildToPlan['checked']): string[] {
  const written = find(root, [...path, 'tags']);
  const paths: Path[] =
    written?.kind === 'list'
      ? written.items.map((_, index) => [...path, 'tags', index])
      : [[...path, 'tags']];
  return [...new Set(paths.flatMap((each) => checked(each, wrongTag) ?? []))];
}

function argsOf(path: Path, root: Located, checked: BuildToPlan['checked']): Record<string, string> {
  const written = find(root, [...path, 'args']);
  if (written?.kind !== 'map') return {};
  const names = [...written.entries.keys()];
  return Object.fromEntries(
    names.map((name) => [name, checked([...path, 'args', name], wrongVariable) ?? '']),
  );
}

function wrongTag(text: string): Wrong | undefined {
  if (!text.includes('@')) return wrongImage(text);
  return {
    message: `${quoted(text)} names an image by its digest, which is known when it is built`,
    hint: `write ${code(text.slice(0, text.indexOf('@')))}`,
  };
}

function wrongTarget(text: string): Wrong | undefined {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(text)) return undefined;
  return { message: `${quoted(text)} is not the name of a build stage`, hint: 'as in `FROM … AS name`' };
}
