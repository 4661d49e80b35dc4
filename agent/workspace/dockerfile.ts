/**
 * The images that a Dockerfile builds upon, so that they are resolved as all images of a run are: by the project's
 * credentials, to one digest. Pure. What cannot be told from the text alone (an unknown variable, a line that goes on) is
 * left as it is, and the daemon looks for it.
 */

export interface Base {
  /** Of the reference in the text. */
  readonly start: number;
  readonly end: number;
  /** With its variables filled in. */
  readonly image: string;
}

export interface DockerfileOptions {
  readonly args: Readonly<Record<string, string>>;
  /** Build stages after it are not built. */
  readonly target?: string;
}

export function basesOf(text: string, { args, target }: DockerfileOptions): readonly Base[] {
  const bases: Base[] = [];
  const stages: string[] = [];
  const variables = new Map<string, string>();
  for (const { line, start } of instructions(text)) {
    const from = /^(\s*FROM\s+(?:--platform=\S+\s+)?)(\S+)(?:\s+AS\s+(\S+))?\s*$/i.exec(line);
    const copy = /^(\s*(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=)(\S+)/i.exec(line);
    if (from !== null) {
      if (target !== undefined && isStage(target, stages.slice(-1), stages.length - 1)) return bases;
      take(from[1], from[2], start);
      stages.push((from[3] ?? '').toLowerCase());
    } else if (copy !== null) {
      if (!/^\d+$/.test(copy[2] ?? '')) take(copy[1], copy[2], start);
    } else if (stages.length === 0) {
      defineArgument(line, variables, args);
    }
  }
  return bases;

  function take(before = '', written = '', lineStart: number): void {
    const image = expand(written, variables);
    if (image === undefined || image === '' || image === 'scratch') return;
    if (stages.includes(image.toLowerCase())) return;
    const start = lineStart + before.length;
    bases.push({ start, end: start + written.length, image });
  }
}

/** The text with other references in place of its own. */
export function withBases(text: string, bases: readonly Base[], images: readonly string[]): string {
  let result = '';
  let at = 0;
  bases.forEach(({ start, end }, index) => {
    result += text.slice(at, start) + (images[index] ?? text.slice(start, end));
    at = end;
  });
  return result + text.slice(at);
}

/** By name, or by number from 0. */
const isStage = (target: string, names: readonly string[], number: number): boolean =>
  names.includes(target.toLowerCase()) || target === String(number);

/** Lines that are a whole instruction; what goes on in the next line is left out, with all that belongs to it. */
function* instructions(text: string): Generator<{ readonly line: string; readonly start: number }> {
  const escape = /^(?:#[^\n]*\n)*#\s*escape\s*=\s*`/i.test(text) ? '`' : '\\';
  let start = 0;
  let goesOn = false;
  for (const raw of text.split('\n')) {
    const line = raw.replace(/\r$/, '');
    // Comments and empty lines within an instruction do not end it.
    const isComment = /^\s*(?:#|$)/.test(line);
    const continues = !isComment && line.trimEnd().endsWith(escape);
    if (!isComment) {
      if (!goesOn && !continues) yield { line, start };
      goesOn = continues;
    }
    start += raw.length + 1;
  }
}

function defineArgument(
  line: string,
  variables: Map<string, string>,
  args: Readonly<Record<string, string>>,
): void {
  const [, name, written] = /^\s*ARG\s+([A-Za-z_]\w*)(?:=(\S*))?\s*$/i.exec(line) ?? [];
  if (name === undefined) return;
  const given = Object.hasOwn(args, name) ? args[name] : undefined;
  const value = given ?? (written === undefined ? undefined : expand(unquoted(written), variables));
  if (value !== undefined) variables.set(name, value);
}

const unquoted = (text: string): string => /^(["'])(.*)\1$/.exec(text)?.[2] ?? text;

/** Undefined: something in it is not known. */
function expand(text: string, variables: ReadonlyMap<string, string>): string | undefined {
  const known = text.replace(
    /\$(?:\{([A-Za-z_]\w*)(?::-([^{}$]*))?\}|([A-Za-z_]\w*))/g,
    (whole, braced: string | undefined, otherwise: string | undefined, plain: string | undefined) => {
      const value = variables.get(braced ?? plain ?? '');
      return value === undefined || value === '' ? (otherwise ?? value ?? whole) : value;
    },
  );
  return /[$"'\\`]/.test(known) ? undefined : known;
}
