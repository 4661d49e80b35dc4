/** `matches()` of conditions: RE2, whose time grows with the text and the pattern, and not with two to the power of them. */
import { RE2JS } from '@bufbuild/re2';
import { quoted } from './words.js';
import type { Wrong } from './values.js';

const longest = 200;
/**
 * Instructions of the compiled expression: with 200 of them the worst of our hostile patterns took 30 ms on the longest
 * text, a commit's message of 2,000 characters.
 */
const mostInstructions = 200;

/** What is wrong with a regular expression. */
export function wrongExpression(pattern: string): Wrong | undefined {
  if (pattern.length > longest)
    return { message: `a regular expression has at most ${longest} characters here` };
  try {
    if (RE2JS.compile(pattern).re2().prog.numInst() <= mostInstructions) return undefined;
    return {
      message: `${quoted(pattern)} is too large`,
      hint: 'repeat less: {1,100} is a hundred times what it repeats',
    };
  } catch (error) {
    const message =
      error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    return {
      message: `${quoted(pattern)} is not a regular expression: ${message}`,
      hint: 'it is one of RE2: without look-around and back-references',
    };
  }
}

/** Whether it matches anywhere in the text. It has passed `wrongExpression`. */
export const matchesAnywhere = (pattern: string, text: string): boolean => RE2JS.compile(pattern).test(text);
