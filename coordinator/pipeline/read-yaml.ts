import { Composer, Lexer, Parser, type CST, type Document, type ParsedNode } from 'yaml';
import type { Findings } from './findings.js';
import { limits, showBytes, utf8Bytes } from './limits.js';
import type { Located } from './located.js';
import { explainSyntax } from './syntax.js';
import { treeOf } from './yaml-tree.js';

/**
 * Reads the file as one YAML document. Undefined when there is no tree to go on with; why is in the findings. `file`
 * is its name for messages.
 */
export function readYaml(findings: Findings, file: string): Located | undefined {
  const { source } = findings;
  const start = { start: 0, end: 0 };
  const bytes = source.text.length > limits.fileBytes ? source.text.length : utf8Bytes(source.text);
  if (bytes > limits.fileBytes) {
    const message = `the file has ${showBytes(bytes)}, the limit is ${showBytes(limits.fileBytes)}`;
    findings.error(start, message, 'move long scripts to files of the repository');
    return undefined;
  }
  const tokens = tokensOf(findings);
  if (tokens === undefined) return undefined;

  const documents = [...new Composer(composing).compose(tokens, true, source.text.length)];
  const [document, second] = documents;
  if (document === undefined) return undefined;
  if (reportSyntax(document, findings)) return undefined;
  if (second !== undefined) {
    const at = second.range[0];
    findings.error(
      { start: at, end: at },
      `a second document begins here: ${file} holds one pipeline`,
      'remove the `---`',
    );
    return undefined;
  }
  if (document.contents === null || isEmpty(document)) {
    findings.error(start, `${file} is empty`, '`gantry init` writes one to start from');
    return undefined;
  }
  return treeOf(document.contents, findings);
}

/** `uniqueKeys` and `merge` are done by `yaml-tree.ts`; places by `SourceText`. */
const composing = {
  version: '1.2',
  schema: 'core',
  uniqueKeys: false,
  merge: false,
  prettyErrors: false,
  logLevel: 'silent',
} as const;

/**
 * The tokens of the file, within the limits. The library composes nested nodes by recursion: 1 MiB of `[` runs out of
 * stack, and where that happens while a regular expression is compiled, V8 ends the whole process. The parser before it
 * keeps its own stack, whose length is the depth.
 */
function tokensOf(findings: Findings): CST.Token[] | undefined {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let lexemes = 0;
  let errors = 0;
  for (const lexeme of new Lexer().lex(findings.source.text)) {
    const here = { start: parser.offset, end: parser.offset + 1 };
    for (const token of parser.next(lexeme)) {
      tokens.push(token);
      if (token.type === 'error') errors++;
    }
    // The composer joins the errors of one place into one text: with 90,000 of them that takes seconds.
    if (errors > 20) break;
    if (parser.stack.length > limits.depth) {
      findings.error(here, `more than ${limits.depth} lists and maps within each other`);
      return undefined;
    }
    if (++lexemes > limits.tokens) {
      const hint = 'move long scripts to files of the repository';
      findings.error(here, `the file has more than ${limits.tokens} words of YAML`, hint);
      return undefined;
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return tokens;
}

/** One message per line and few at all: after the first, the library often stumbles over the same thing again. */
function reportSyntax(document: Document.Parsed, findings: Findings): boolean {
  const lines = new Set<number>();
  for (const error of [...document.errors, ...document.warnings]) {
    const line = findings.source.lineAt(error.pos[0]);
    if (lines.has(line) || lines.size >= 5) continue;
    lines.add(line);
    const { range, message, hint } = explainSyntax(error, findings.source);
    findings.error(range, message, hint);
  }
  return lines.size > 0;
}

function isEmpty(document: Document.Parsed): boolean {
  const contents: ParsedNode | null = document.contents;
  return contents !== null && 'value' in contents && contents.value === null && contents.source === '';
}
