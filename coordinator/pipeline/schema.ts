import { z } from 'zod';
import { durationPattern } from './duration.js';
import { build, oneKindOfWork } from './schema-build.js';
import { expected, listOf, name, oneOrMore, path, says, scalar } from './schema-parts.js';
import { notify, on } from './schema-top.js';
import { either, quoted } from './words.js';

/**
 * The one description of `.gantry.yml`: it checks files and becomes the JSON Schema of editors. It says what a value
 * looks like where it is written; what values mean together (needs, matrix, paths) is checked when they are planned,
 * behind their expressions.
 *
 * Messages are for people. A second line of a message is its hint.
 */

/** `include` and `exclude` are kept for what they mean elsewhere. */
export const axisPattern = /^(?!(?:in|ex)clude$)[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** The environment of a step; `GANTRY` and names with `GANTRY_` are the run's facts. */
export const envNamePattern = /^(?!GANTRY(?:_|$))[A-Za-z_][A-Za-z0-9_]*$/;

const mapHint = (example: string) => (input: unknown) =>
  typeof input === 'object' && input !== null && !Array.isArray(input) ? undefined : `write ${example}`;

const variableName = z.string(expected('the name of a variable')).regex(
  envNamePattern,
  says((input) =>
    /^GANTRY(?:_|$)/.test(input)
      ? `${quoted(input)} is reserved: names with \`GANTRY_\` are set by Gantry`
      : `${quoted(input)} cannot be the name of a variable: letters, digits and \`_\`, not beginning with a digit`,
  ),
);

const env = z
  .record(
    variableName,
    scalar('a string', (input) =>
      input === null || input === undefined
        ? 'write "" for an empty value'
        : 'a variable holds text: put JSON or lists in quotes',
    ),
    expected('a map of variables', mapHint('`env: { NAME: value }`')),
  )
  .describe(
    'Environment variables. Numbers and booleans are kept as written (`3.10` stays `3.10`). Later wins: facts of the run, ' +
      'the top level, the stage, `$GANTRY_ENV`, the step.',
  );

const duration = z
  .string(
    expected('a duration such as 10m or 1h30m', (input) =>
      typeof input === 'number'
        ? `a number has no unit: write ${input}m (minutes) or ${input}s (seconds)`
        : undefined,
    ),
  )
  .regex(
    new RegExp(`${durationPattern.source}|\\$\\{\\{`),
    says((input) => `${quoted(input)} is not a duration: write 90s, 10m, 1h30m or 2d`),
  );

const image = z.union(
  [z.string(), z.null()],
  expected('an image such as `python:3.12`', (input) =>
    typeof input === 'number' ? 'put it in quotes' : undefined,
  ),
);

const condition = z
  .union(
    [z.string(), z.boolean()],
    expected('a condition such as `branch == "main"`', (input) =>
      Array.isArray(input) ? 'combine conditions with `&&` and `||`' : undefined,
    ),
  )
  .describe(
    'A condition in CEL. It may ask: `event` (push, change, gate, tag, schedule, manual, submit), `branch`, `target`, `tag`, `commit`, ' +
      '`author`, `message`, `inputs.NAME`, `matrix.NAME`, `changed("src/**")`; what is not given is "". With `== != in && || !`, ' +
      '`startsWith`, `endsWith`, `contains` and `matches`. A YAML value that begins with `!`, `"` or `[` stands in quotes.',
  );

const secretName = z.string(expected('the name of a secret')).regex(
  new RegExp(`${envNamePattern.source}|\\$\\{\\{`),
  says(
    (input) => `${quoted(input)} cannot be the name of a secret: letters, digits and \`_\`, such as TOKEN`,
  ),
);

const secrets = z
  .union(
    [
      listOf(variableName, 'a list of names'),
      z.record(variableName, secretName, expected('a map of variables')),
    ],
    expected('a list of names, or a map of variables', (input) =>
      typeof input === 'string' ? `write \`secrets: [${input}]\`` : undefined,
    ),
  )
  .describe(
    'Secrets of the project: their names, which are those of the variables too, or `{ VARIABLE: NAME }`. The values are masked in ' +
      'logs. Only trusted runs get them.',
  );

const whens = ['success', 'failure', 'always'] as const;

const command = (what: string) => z.union([z.string(), z.boolean()], expected(what));

export const stepShape = {
  name: scalar('a name')
    .optional()
    .describe('Shown in lists and logs. Default: the first line of the command.'),
  run: command('a command')
    .optional()
    .describe(
      'A script for the shell (`bash -eo pipefail`, else `sh -e`). Each step is a new shell in the workspace: `cd` and `export` do ' +
        'not last; use `workdir`, and `echo "NAME=value" >> "$GANTRY_ENV"` for later steps.',
    ),
  build: build.optional(),
  env: env.optional(),
  secrets: secrets.optional(),
  if: condition
    .optional()
    .describe(
      'The step is left out where this does not hold. As `if` of a stage, without `needs`, `failed()`, `always()`.',
    ),
  timeout: duration.optional().describe('The step fails after this time: `90s`, `10m`, `1h30m`.'),
  workdir: path.optional().describe('Directory to run in, relative to the workspace.'),
};

/** Also of a step with other faults: what is wrong is told at once. */
const always = { when: () => true };

const step = z.union(
  [
    z.string(),
    z.boolean(),
    z
      .strictObject(stepShape, expected('a step'))
      .check(z.superRefine(oneKindOfWork, always))
      .meta({ oneOf: [{ required: ['run'] }, { required: ['build'] }] })
      .describe('A step with more than its command, or one that builds an image.'),
  ],
  expected('a command, or a map with `run`', (input) =>
    input === null || input === undefined
      ? 'remove the empty item, or write a command behind the `-`'
      : undefined,
  ),
);

export const serviceShape = {
  image: z.string(expected('an image such as `postgres:16`')).describe('Image of the service.'),
  env: env.optional(),
  ready: command('a command')
    .optional()
    .describe('Run in the service until it exits with 0, for a minute at most; the first step waits for it.'),
  command: z
    .array(
      scalar('a word of the command'),
      expected('a list of words', (input) =>
        typeof input === 'string'
          ? `write \`command: [${input.trim().split(/\s+/).join(', ')}]\``
          : undefined,
      ),
    )
    .optional()
    .describe("Command and arguments in place of the image's own."),
};

export const artifactShape = {
  paths: oneOrMore('patterns').describe('Patterns relative to the workspace, such as `dist/**`.'),
  when: z
    .enum(
      whens,
      says((input) => `expected ${either(whens)}, got ${quoted(input)}`),
    )
    .optional()
    .describe('After which end of the steps it is kept. Default: success.'),
  optional: z
    .boolean(expected('true or false'))
    .optional()
    .describe('Without it, a pattern that matches nothing fails the stage.'),
};

const artifact = z.union(
  [
    path,
    listOf(path, 'a list of patterns'),
    z.strictObject(artifactShape, expected('an artifact')).describe('An artifact with conditions.'),
  ],
  expected('a pattern, a list of patterns, or a map with `paths`'),
);

const needName = z.string(
  expected('the name of a stage', () => 'names of stages are strings: put it in quotes'),
);

export const stageShape = {
  needs: z
    .union([needName, z.array(needName)], expected('a list of stages'))
    .optional()
    .describe(
      'Stages that must succeed first; a stage without needs starts at once. The name of a matrix means all its cells.',
    ),
  if: condition
    .optional()
    .describe(
      'A condition in CEL; where it does not hold, the stage is skipped, and with it those that need it. It may ask `event`, ' +
        '`branch`, `target`, `tag`, `commit`, `author`, `message`, `inputs.NAME`, `matrix.NAME`, `changed("src/**")`. One that asks ' +
        '`needs.STAGE.status` (succeeded, failed, canceled, skipped), `failed()` or `always()` decides by itself when all needs have ' +
        'ended, however they have. A canceled run starts nothing.',
    ),
  image: image
    .optional()
    .describe(
      'Container image of the steps. Default: the one at the top; `null`: none, on an agent with the host executor.',
    ),
  user: z
    .union([z.string(), z.number()], expected('a user such as `1000` or `node`'))
    .optional()
    .describe("User the steps run as, by name or number, `user:group` too. Default: the image's."),
  agents: z
    .union(
      [z.string(), z.array(scalar('a label'), expected('a list of labels'))],
      expected('a list of labels', mapHint('`agents: [gpu, arch=arm64]`')),
    )
    .optional()
    .describe('Labels an agent must offer: `gpu`, `os=linux`, `arch=arm64`.'),
  env: env.optional(),
  secrets: secrets.optional(),
  services: z
    .record(
      name('a service'),
      z.strictObject(serviceShape, expected('a service', mapHint('`{ image: "postgres:16" }`'))),
      expected('a map of services', mapHint('`services: { db: { image: "postgres:16" } }`')),
    )
    .optional()
    .describe('Containers that run beside the steps, reached by their names.'),
  timeout: duration
    .optional()
    .describe('The stage fails after this time: `90s`, `10m`, `1h30m`. Default: 60m.'),
  'allow-failure': z
    .boolean(
      expected('true or false', (input) =>
        typeof input === 'string' && /^(yes|on|y|true)$/i.test(input)
          ? 'write `allow-failure: true`'
          : undefined,
      ),
    )
    .optional()
    .describe('Its failure does not fail the run.'),
  environment: name('an environment')
    .optional()
    .describe(
      'Where it deploys to: an environment of the project (`gantry environments add`). It runs once at most, one deployment of an ' +
        'environment at a time, only for what is on a branch or tag of the remote: runs of changes, of the gate and of trees sent by ' +
        'hand skip it, and what needs it.',
    ),
  verify: listOf(command('a command'), 'a list of commands', (input) =>
    typeof input === 'string' && !input.includes('\n') ? `write \`verify: [${input}]\`` : undefined,
  )
    .optional()
    .describe(
      'Commands that say whether the deployment is good, run after the steps and whenever nobody knows how they came out. They ' +
        'should ask for the version that they expect.',
    ),
  matrix: z
    .record(
      z.string().regex(
        axisPattern,
        says(
          (input) =>
            `${quoted(input)} cannot be a name in a matrix: letters, digits and \`_\`, not beginning with a digit`,
        ),
      ),
      listOf(scalar('a value: a string, number or boolean'), 'a list of values', (input) =>
        typeof input === 'string' || typeof input === 'number' ? `write [${input}]` : undefined,
      ),
      expected('a map of lists', mapHint('`matrix: { python: ["3.11", "3.12"] }`')),
    )
    .optional()
    .describe(
      'Makes a stage of each combination of values. `${{ matrix.NAME }}` is the value. Values are kept as written.',
    ),
  steps: listOf(step, 'a list of steps', (input) =>
    typeof input === 'string' && !input.includes('\n')
      ? `write \`steps: [${input}]\`, or \`- ${input}\` in a line of its own`
      : undefined,
  ).describe('Commands, in order, in one workspace. The first that fails ends the stage.'),
  artifacts: z
    .record(
      name('an artifact'),
      artifact,
      expected('a map of artifacts', mapHint('`artifacts: { package: dist/* }`')),
    )
    .optional()
    .describe('Files to keep. Stages that need this one find them at the same paths.'),
};

const stage = z
  .strictObject(stageShape, expected('a stage: a map with `steps`'))
  .describe('Steps that one agent runs in one workspace.');

export const pipelineShape = {
  on: on.optional(),
  image: image.optional().describe('Container image of stages without their own, such as `python:3.12`.'),
  env: env.optional(),
  notify: notify.optional(),
  stages: z
    .record(
      name('a stage'),
      stage,
      expected('a map of stages', mapHint('`stages:`, then `build: { steps: [make] }` indented below')),
    )
    .describe('What to do. All stages start at once but for their `needs`.'),
};

export const pipelineSchema = z
  .strictObject(pipelineShape, expected('a map with `stages`'))
  .describe('A Gantry pipeline.');

/**
 * The same for a pipeline from which invalid parts were cut: everything may be missing. What is planned has this type,
 * so that all that is wrong with a file is found at once.
 */
export const remainsSchema = z
  .strictObject({
    ...pipelineShape,
    stages: z.record(z.string(), z.strictObject(stageShape).partial()),
  })
  .partial();

export type Pipeline = z.infer<typeof remainsSchema>;
export type Stage = NonNullable<Pipeline['stages']>[string];
export type Step = NonNullable<Stage['steps']>[number];
