import { createTerminalText, printable } from '../../shared/text/terminal-text.js';
import type { LogEnd } from './ended-runs.js';
import { maxLineLength, maxLogLines, type StoryLog } from './story.js';

/** The last lines of a log as text: without control sequences, each of a length that fits a mail. */
export function lastLines(end: LogEnd): StoryLog {
  const terminal = createTerminalText({ color: false });
  const text = terminal.push(end.bytes) + terminal.end();
  const all = text.replace(/\n+$/, '').split('\n');
  // What was read begins in the middle of a line.
  if (end.offset > 0 && all.length > 1) all.shift();
  const kept = all.slice(-maxLogLines);
  return {
    lines: kept.length === 1 && kept[0] === '' ? [] : kept.map(shownLine),
    isCut: end.offset > 0 || all.length > kept.length,
    missing: end.missing === undefined ? null : printable(end.missing),
  };
}

/** Tabs keep their place in a table of columns, which `printable` alone would end. */
export function shownLine(line: string): string {
  const chars = Array.from(line.split('\t').map(printable).join('    ').trimEnd());
  return chars.length <= maxLineLength ? chars.join('') : `${chars.slice(0, maxLineLength - 1).join('')}…`;
}
