import type { Diagnostic, ExcerptLine } from './diagnostic.js';
import { visible } from './words.js';

export interface RenderOptions {
  /** Name of the file, as the reader knows it. */
  readonly file: string;
  /** ANSI colours: on a terminal only. */
  readonly color: boolean;
}

/**
 * Diagnostics for people, in the form of rustc: what, where, the line with a mark under it, what to do. Without a line
 * break at the end. Nothing that a file contains can act upon the terminal.
 *
 * ```text
 * error: unknown key `step` in stage `test`
 *  --> .gantry.yml:4:5
 *   |
 * 4 |     step: [make]
 *   |     ^^^^
 *   = help: did you mean `steps`?
 * ```
 */
export function renderDiagnostics(diagnostics: readonly Diagnostic[], options: RenderOptions): string {
  const sorted = [...diagnostics].sort((a, b) => a.line - b.line || a.column - b.column);
  const blocks = sorted.map((diagnostic) => render(diagnostic, options));
  if (sorted.length > 1) blocks.push(summary(sorted, options));
  return blocks.join('\n\n');
}

function render(diagnostic: Diagnostic, { file, color }: RenderOptions): string {
  const paint = painter(color);
  const tone = diagnostic.severity === 'error' ? 'red' : 'yellow';
  const width = String(diagnostic.line).length;
  const gutter = paint('blue', `${' '.repeat(width)} |`);
  const place = `${visible(file)}:${diagnostic.line}:${diagnostic.column}`;
  const lines = [
    `${paint(tone, diagnostic.severity)}${paint('bold', `: ${diagnostic.message}`)}`,
    `${' '.repeat(width)}${paint('blue', '-->')} ${place}`,
    gutter,
  ];
  for (const excerpt of diagnostic.excerpt) {
    const marked = excerpt.line === diagnostic.line;
    const { text, indent, marks } = excerptOf(excerpt, marked ? diagnostic : undefined);
    const number = paint('blue', `${String(excerpt.line).padStart(width)} |`);
    lines.push(text === '' ? number : `${number} ${text}`);
    if (marked) lines.push(`${gutter} ${' '.repeat(indent)}${paint(tone, '^'.repeat(marks))}`);
  }
  if (diagnostic.hint !== undefined)
    lines.push(`${' '.repeat(width)} ${paint('blue', '=')} ${paint('bold', 'help')}: ${diagnostic.hint}`);
  return lines.join('\n');
}

interface ShownLine {
  readonly text: string;
  /** Columns of the terminal before the mark, and of the mark. */
  readonly indent: number;
  readonly marks: number;
}

function excerptOf(line: ExcerptLine, mark: Pick<Diagnostic, 'column' | 'endColumn'> | undefined): ShownLine {
  const characters = Array.from(line.text, shownCharacter);
  const from = Math.max(0, (mark?.column ?? 1) - 1 - line.skipped);
  const to = Math.max(from + 1, (mark?.endColumn ?? 1) - 1 - line.skipped);
  const before = line.skipped > 0 ? '…' : '';
  const text = characters.map((one) => one.text).join('');
  return {
    text: `${before}${text}${line.cut ? '…' : ''}`.trimEnd(),
    indent: before.length + widthOf(characters.slice(0, from)),
    marks: Math.max(1, widthOf(characters.slice(from, to))),
  };
}

interface ShownCharacter {
  readonly text: string;
  readonly width: number;
}

function shownCharacter(character: string): ShownCharacter {
  if (character === '\t') return { text: '    ', width: 4 };
  const text = visible(character);
  if (text !== character) return { text, width: text.length };
  if (/^\p{M}$/u.test(character)) return { text, width: 0 };
  return { text, width: wide.test(character) ? 2 : 1 };
}

/** East Asian wide characters and emoji, roughly: a mark one column off does no harm. */
const wide =
  /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u;

const widthOf = (characters: readonly ShownCharacter[]): number =>
  characters.reduce((sum, one) => sum + one.width, 0);

function summary(diagnostics: readonly Diagnostic[], { file }: RenderOptions): string {
  const count = (severity: Diagnostic['severity']): string | undefined => {
    const found = diagnostics.filter((one) => one.severity === severity).length;
    return found === 0 ? undefined : `${found} ${severity}${found === 1 ? '' : 's'}`;
  };
  const counts = [count('error'), count('warning')].filter((part) => part !== undefined);
  return `${counts.join(' and ')} in ${visible(file)}`;
}

const codes = { red: '1;31', yellow: '1;33', blue: '1;34', bold: '1' } as const;

function painter(color: boolean): (tone: keyof typeof codes, text: string) => string {
  return (tone, text) => (color ? `\u001b[${codes[tone]}m${text}\u001b[0m` : text);
}
