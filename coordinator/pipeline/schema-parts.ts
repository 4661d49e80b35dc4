/** Parts of the file's schema, with messages for people: a second line is the hint. */
import { z } from 'zod';
import { namePattern } from '../../shared/model/ids.js';
import { describe, either, quoted } from './words.js';

interface Seen {
  readonly input?: unknown;
}

export const expected = (what: string, hint?: (input: unknown) => string | undefined) => ({
  error: ({ input }: Seen): string => {
    const help = hint?.(input);
    return `expected ${what}, got ${describe(input)}${help === undefined ? '' : `\n${help}`}`;
  },
});

export const says = (message: (input: string) => string) => ({
  error: ({ input }: Seen): string => message(typeof input === 'string' ? input : ''),
});

export const oneWordOf = (words: readonly string[], hints: Readonly<Record<string, string>> = {}) => ({
  error: ({ input }: Seen): string => {
    const got = typeof input === 'string' ? quoted(input) : describe(input);
    const hint = typeof input === 'string' && Object.hasOwn(hints, input) ? hints[input] : undefined;
    return `expected ${either(words)}, got ${got}${hint === undefined ? '' : `\n${hint}`}`;
  },
});

export const name = (what: string) =>
  z.string(expected(`the name of ${what}`)).regex(
    namePattern,
    says(
      (input) =>
        `${quoted(input)} cannot be the name of ${what}: letters, digits, \`.\`, \`_\` and \`-\`, ` +
        'at most 64, beginning with a letter or digit',
    ),
  );

export const scalar = (what: string, hint?: (input: unknown) => string | undefined) =>
  z.union([z.string(), z.number(), z.boolean()], expected(what, hint));

export const listOf = <T extends z.ZodType>(
  item: T,
  what: string,
  hint?: (input: unknown) => string | undefined,
) =>
  z.array(item, expected(what, hint)).min(
    1,
    says(() => `expected ${what}, got an empty list`),
  );

export const path = z.string(expected('a path or pattern in the workspace'));

export const oneOrMore = (what: string) =>
  z.union([path, listOf(path, `a list of ${what}`)], expected(`a pattern or a list of ${what}`));
