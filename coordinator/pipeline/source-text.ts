import type { ExcerptLine } from './diagnostic.js';

/** Offsets into the text, in UTF-16 units; `end` is behind the last one. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Place {
  readonly line: number;
  readonly column: number;
  readonly endColumn: number;
  readonly excerpt: readonly ExcerptLine[];
}

/** The text of a file, and where in it an offset is for people. */
export class SourceText {
  readonly text: string;
  readonly #lineStarts: readonly number[];

  /** A byte order mark is no part of the text: editors do not count it as a column. */
  constructor(text: string) {
    this.text = text.startsWith('\uFEFF') ? text.slice(1) : text;
    const starts = [0];
    for (let at = this.text.indexOf('\n'); at >= 0; at = this.text.indexOf('\n', at + 1)) starts.push(at + 1);
    this.#lineStarts = starts;
  }

  slice(range: Range): string {
    return this.text.slice(range.start, range.end);
  }

  /** From 1. */
  lineAt(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  }

  /** What lies on several lines is marked on its first one. */
  place(range: Range): Place {
    const line = this.lineAt(range.start);
    const lineStart = this.#lineStarts[line - 1] ?? 0;
    const text = this.#lineText(line);
    const start = Math.min(range.start - lineStart, text.length);
    const end = Math.min(Math.max(range.end - lineStart, start), text.length);
    const column = codePoints(text.slice(0, start)) + 1;
    return {
      line,
      column,
      endColumn: column + Math.max(1, codePoints(text.slice(start, end).trimEnd())),
      excerpt: [excerptOf(line, text, { start, end })],
    };
  }

  #lineText(line: number): string {
    const start = this.#lineStarts[line - 1] ?? 0;
    const next = this.#lineStarts[line];
    const text = this.text.slice(start, next === undefined ? undefined : next - 1);
    return text.endsWith('\r') ? text.slice(0, -1) : text;
  }
}

/** Longer lines are cut: as much behind the mark as fits, and a third of the room before it. */
const longestLine = 110;

function excerptOf(line: number, text: string, { start, end }: Range): ExcerptLine {
  if (text.length <= longestLine) return { line, text, skipped: 0, cut: false };
  const wanted = end <= longestLine ? 0 : Math.max(0, start - Math.floor(longestLine / 3));
  const from = isInsidePair(text, wanted) ? wanted - 1 : wanted;
  const to = Math.min(text.length, from + longestLine);
  const shown = text.slice(from, isInsidePair(text, to) ? to - 1 : to);
  return {
    line,
    text: shown,
    skipped: codePoints(text.slice(0, from)),
    cut: from + shown.length < text.length,
  };
}

/** Whether an offset is in the middle of a character of two UTF-16 units. */
const isInsidePair = (text: string, at: number): boolean =>
  /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(at - 1, at + 1));

const codePoints = (text: string): number =>
  text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
