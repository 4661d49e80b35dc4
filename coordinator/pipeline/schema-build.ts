/** A step that builds an image. */
import { z } from 'zod';
import { expected, listOf, scalar } from './schema-parts.js';

const argument = z.string(expected('the name of an argument')).regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
  error: ({ input }) =>
    `${JSON.stringify(input)} cannot be the name of an argument: letters, digits and \`_\`, not beginning with a digit`,
});

export const buildShape = {
  context: z
    .string(expected('a directory of the workspace'))
    .optional()
    .describe('Directory that is sent to the build, relative to the workspace. Default: `.`, all of it.'),
  file: z
    .string(expected('the path of a Dockerfile'))
    .optional()
    .describe('The Dockerfile, relative to the context. Default: `Dockerfile`.'),
  target: z
    .string(expected('the name of a build stage'))
    .optional()
    .describe('Build stage of the Dockerfile to stop at. Default: the last.'),
  args: z
    .record(
      argument,
      scalar('a string', () => 'an argument holds text: put it in quotes'),
      expected('a map of arguments', (input) =>
        Array.isArray(input) ? 'write `args: { NAME: value }`' : undefined,
      ),
    )
    .optional()
    .describe('Values for `ARG` of the Dockerfile. No secrets: whoever has the image can read them.'),
  tags: z
    .union(
      [z.string(), listOf(z.string(expected('a name such as `team/app:1.0`')), 'a list of names')],
      expected('a name such as `registry.example.org/team/app:1.0`, or a list of them'),
    )
    .optional()
    .describe('Names for the image: `registry.example.org/team/app:1.0`.'),
  push: z
    .boolean(expected('true or false'))
    .optional()
    .describe('Push all tags to their registries. Default: false.'),
};

export const build = z
  .union(
    [
      z.string(),
      z
        .strictObject(buildShape, expected('a build: a map with `context`, `file`, `tags` …'))
        .describe('An image, and what to build it from.'),
    ],
    expected('a directory such as `.`, or a map with `context`, `file`, `tags` …', (input) =>
      input === null || input === undefined || input === true
        ? 'write `build: .` to build the Dockerfile of the workspace'
        : undefined,
    ),
  )
  .describe(
    'Builds an image by a Dockerfile, in place of `run`. Later steps find it in `$GANTRY_IMAGE`, later stages by its tags. The stage runs ' +
      'on an agent with Docker.',
  );

/** A key that means nothing where an image is built, and what to do instead. */
const without = {
  run: 'make two steps of it',
  env: 'a build gets values by `args`',
  secrets: 'whoever has an image can read what went into it: a build gets none',
  workdir: 'name the directory by `context`',
} as const;

/** The fields that it looks at. */
interface Fields {
  readonly run?: unknown;
  readonly build?: unknown;
}

/** A step runs a command, or builds an image. */
export function oneKindOfWork(value: unknown, context: z.RefinementCtx): void {
  const add = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message });
  // Asked of whatever stands there; what is no map is told elsewhere.
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  const step: Fields = value;
  if (step.build === undefined) {
    if (step.run === undefined) add('run', 'a command is missing');
    return;
  }
  for (const [key, hint] of Object.entries(without)) {
    if (Object.hasOwn(step, key)) add(key, `\`${key}\` has no place in a step that builds an image\n${hint}`);
  }
}
