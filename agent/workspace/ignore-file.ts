/**
 * A `.dockerignore`: one pattern a line, `!` makes exceptions, the last that matches decides. What matches a directory
 * matches all that is in it. By `Glob`, which takes no pattern and no name for more than length × length.
 */
import { posix } from 'node:path';
import { Glob, GlobError } from './glob.js';

/** Each is asked for each file. */
const maxPatterns = 1000;

interface Rule {
  readonly glob: Glob;
  readonly leavesOut: boolean;
}

export class IgnoreFile {
  readonly #rules: readonly Rule[];

  /** Throws `GlobError`. */
  constructor(text: string) {
    const rules = text
      .replace(/^\uFEFF/, '')
      .split('\n')
      .flatMap(ruleOf);
    if (rules.length > maxPatterns) throw new GlobError(`there are more than ${maxPatterns} patterns`);
    this.#rules = rules;
  }

  /** Whether something in a directory that is left out may be taken all the same. */
  get hasExceptions(): boolean {
    return this.#rules.some(({ leavesOut }) => !leavesOut);
  }

  leavesOut(path: Buffer): boolean {
    // Names are bytes: one that is no UTF-8 is told from others only as such.
    const components = path
      .toString('latin1')
      .split('/')
      .map((component) => Buffer.from(component, 'latin1'));
    return this.#rules.findLast(({ glob }) => reaches(glob, components))?.leavesOut ?? false;
  }
}

/** Whether the pattern matches the path or a directory above it. */
function reaches(glob: Glob, components: readonly Buffer[]): boolean {
  let position = glob.start();
  return components.some((component) => {
    // Not as at the top of a workspace, where `*` does not mean `.git`.
    position = glob.step(position, component, false);
    return position.matches;
  });
}

function ruleOf(line: string): readonly Rule[] {
  if (line.startsWith('#')) return [];
  const written = line.trim();
  const leavesOut = !written.startsWith('!');
  const path = posix.normalize((leavesOut ? written : written.slice(1)).trim()).replace(/^\/+|\/+$/g, '');
  // Nothing is above the context, and the whole of it cannot be left out.
  if (path === '' || path === '.' || path === '..' || path.startsWith('../')) return [];
  return [{ glob: new Glob(toGlob(path)), leavesOut }];
}

/** Braces are no braces there, and `**` may be a part of a name: `**.pyc`. */
const toGlob = (pattern: string): string =>
  pattern.replace(/[{}]/g, String.raw`\$&`).replace(/(^|\/)\*\*(?=[^/*])/g, '$1**/*');
