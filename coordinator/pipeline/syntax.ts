import type { YAMLError } from 'yaml';
import type { Range, SourceText } from './source-text.js';
import { code } from './words.js';

export interface Explained {
  readonly range: Range;
  readonly message: string;
  readonly hint?: string;
}

/** The YAML library's errors in words for people who write pipelines, with what usually causes them. */
export function explainSyntax(error: YAMLError, source: SourceText): Explained {
  const length = source.text.trimEnd().length;
  const ended = error.pos[0] >= length;
  const range = ended
    ? { start: length, end: length }
    : behindBlanks({ start: error.pos[0], end: error.pos[1] }, source);
  const at = source.text[range.start] ?? '';
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return {
        range: { start: error.pos[0], end: error.pos[0] + 1 },
        message: 'a tab in the indentation',
        hint: 'YAML wants spaces there',
      };
    case 'BAD_INDENT':
    case 'BAD_COLLECTION_TYPE':
      if (error.message.startsWith('Flow')) return unclosed(error.message, { range, ended });
      return misindented(range);
    case 'BLOCK_AS_IMPLICIT_KEY':
      if (!error.message.startsWith('Nested')) return misindented(range);
      return nested(range, source);
    case 'MULTILINE_IMPLICIT_KEY':
      return {
        range: restOfLine(range, source),
        message: 'expected `key: value` in this line',
        hint: 'is the `:` missing? If it belongs to the text of the line above, indent it further',
      };
    case 'BAD_SCALAR_START':
      return {
        range,
        message: `a value cannot begin with ${code(at)}`,
        hint: 'put it in quotes',
      };
    case 'BAD_ALIAS':
      return { range, message: `a value cannot begin with ${code(at)}`, hint: 'put it in quotes' };
    case 'BAD_DQ_ESCAPE':
      return {
        range,
        message: error.message.replace('Invalid escape sequence', 'in double quotes there is no escape'),
        hint: 'write \\\\ for a backslash, or use single quotes',
      };
    case 'TAG_RESOLVE_FAILED':
      return {
        range,
        message: `${code(source.slice(range))} is a tag, and has no meaning in a pipeline`,
        hint: 'put a value that begins with ! in quotes',
      };
    case 'MISSING_CHAR':
      return missing(error, { range, ended, source });
    case 'UNEXPECTED_TOKEN':
      return unexpected(error, { range, at, source });
    default:
      return { range, message: uncapitalized(error.message) };
  }
}

const misindented = (range: Range): Explained => ({
  range,
  message: 'this line is indented differently from those it belongs to',
});

/** `a: b: c` in one line, or a line of keys that is indented below a value. */
function nested(range: Range, source: SourceText): Explained {
  const line = source.slice(restOfLine(range, source));
  if (/:(?:\s|$)/.test(line.replace(/(?:^|\s)#.*/, ''))) {
    return {
      range,
      message: 'a second `: ` in one value',
      hint: 'put the value in quotes, or a command below `|`',
    };
  }
  const end = range.start + line.length;
  return misindented(restOfLine(behindBlanks({ start: end, end }, source), source));
}

interface At {
  readonly range: Range;
  readonly ended: boolean;
}

function unclosed(message: string, { range, ended }: At): Explained {
  const [what, bracket] = message.startsWith('Flow sequence') ? ['list', ']'] : ['map', '}'];
  const last = { start: Math.max(0, range.start - 1), end: range.start };
  return ended
    ? { range: last, message: `the file ends before a ${what} is closed by ${code(bracket)}` }
    : { range, message: `expected ${code(bracket)} before this: a ${what} is not closed` };
}

function missing(error: YAMLError, { range, ended, source }: At & { source: SourceText }): Explained {
  const { message } = error;
  if (message.startsWith('Missing closing')) {
    const quote = message.includes('"') ? '"' : "'";
    const start = openingQuote(quote, error.pos[0], source.text);
    return { range: { start, end: start + 1 }, message: `this ${quote} has no closing one` };
  }
  if (message.startsWith('Flow')) return unclosed(message, { range, ended });
  if (message.startsWith('Sequence item')) return misindented(range);
  if (message.startsWith('Implicit map keys')) {
    return {
      range: restOfLine(range, source),
      message: 'expected `key: value` in this line',
      hint: 'is the `:` missing, or the space behind it?',
    };
  }
  if (message.includes('directives-end')) {
    return {
      range,
      message: 'expected `---` behind the lines with `%`',
      hint: 'pipelines need no lines with `%`',
    };
  }
  if (message.startsWith('Missing , ')) {
    return {
      range,
      message: 'expected `,` before this',
      hint: 'put a value that has `,`, `:`, `{` or `[` in it in quotes',
    };
  }
  if (message.startsWith('Missing space after :')) return { range, message: 'expected a space behind `:`' };
  return { range, message: uncapitalized(message) };
}

function unexpected(
  { message }: YAMLError,
  { range, at, source }: { range: Range; at: string; source: SourceText },
): Explained {
  if (at === '{' && source.text[range.start - 1] === '$') {
    return {
      range: { start: range.start - 1, end: range.start + 2 },
      message: 'a value with `${{ }}` within `{ }` or `[ ]` must be in quotes',
    };
  }
  if (message.includes('block-seq-ind')) {
    return { range, message: 'a list behind a key begins in a new line', hint: 'or write it as [a, b]' };
  }
  if (message.startsWith('Block scalar header')) {
    return { range, message: 'text begins in the line below `|` or `>`' };
  }
  if (message.includes('at node end') && /[A-Za-z0-9"'\\$]/.test(at)) {
    return {
      range,
      message: 'this stands behind the end of a value',
      hint: "in single quotes, write '' for one '",
    };
  }
  const shown = at.trim() === '' ? 'the end of the line' : code(at);
  return {
    range,
    message: `${shown} is not expected here`,
    hint: 'put text with characters of YAML in quotes',
  };
}

/** Whatever closed the text would stand behind the opening quote: so that is the last one which is no escape. */
function openingQuote(quote: string, end: number, text: string): number {
  let at = text.lastIndexOf(quote, end - 1);
  for (;;) {
    const doubled =
      quote === "'" &&
      text[at - 1] === "'" &&
      text[at - 2] !== undefined &&
      /[^\s[{,:-]/.test(text[at - 2] ?? '');
    const escaped = quote === '"' && text[at - 1] === '\\';
    if (at <= 0 || (!doubled && !escaped)) return Math.max(0, at);
    at = text.lastIndexOf(quote, at - (doubled ? 2 : 1));
  }
}

/** Errors of indentation point at the beginning of a line; what is seen begins behind blanks and comments. */
function behindBlanks(range: Range, source: SourceText): Range {
  const blanks = /(?: |\r?\n(?!\t)|(?<=\n *)#[^\n]*)*/y;
  blanks.lastIndex = range.start;
  const start = range.start + (blanks.exec(source.text)?.[0].length ?? 0);
  return { start, end: Math.max(range.end, start + 1) };
}

function restOfLine({ start }: Range, source: SourceText): Range {
  const end = source.text.indexOf('\n', start);
  return { start, end: end < 0 ? source.text.length : end };
}

const uncapitalized = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
