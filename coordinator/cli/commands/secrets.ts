import type { Command } from 'commander';
import type { Secret__Output } from '../../../shared/wire/gen/gantry/v1/Secret.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { age, table } from '../format.js';
import { selectProject } from '../gate/select-project.js';
import { colors } from '../output.js';
import { readSecret } from '../secret-input.js';
import { addClientOptions, withCoordinator, type ClientFlags, type Session } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface ScopeFlags extends ClientFlags {
  readonly environment?: string;
  readonly project?: string;
}
interface SetFlags extends ScopeFlags {
  readonly file?: string;
}

const environmentOption = [
  '--environment <environment>',
  'of this environment: only its deployments get it',
] as const;
const projectOption = ['--project <project>', 'default: that of this repository'] as const;

export function configure(command: Command): void {
  command
    .description(
      'Values that steps of a project get as variables, where their stage names them (`secrets:`). They are stored sealed, masked in logs, and never shown again. An environment has secrets of its own: deployments there get those before the project’s.',
    )
    .addHelpText(
      'after',
      examples(
        'gantry secrets set DEPLOY_TOKEN',
        'gantry secrets set DB_PASSWORD --environment production',
        'gantry secrets ls',
      ),
    );
  configureSet(command);
  configureList(command);
  configureRemove(command);
}

function configureSet(command: Command): void {
  addClientOptions(
    command
      .command('set <project-or-name> [name]')
      .usage('[options] [project] <name>')
      .description(
        'Set a secret. Its value comes from stdin, from a file, or is typed unseen; never from the command line, which other users of the machine see. Of a single line the line end is no part of the value.',
      )
      .option(...environmentOption)
      .option(...projectOption)
      .option('--file <file>', 'read the value from a file; -: from stdin')
      .allowExcessArguments(),
  )
    .addHelpText(
      'after',
      examples(
        'gantry secrets set DEPLOY_TOKEN                  # asks for the value',
        'gantry secrets set DB_PASSWORD --environment production < password.txt',
        'pass show deploy | gantry secrets set app DEPLOY_TOKEN',
        'gantry secrets set SIGNING_KEY --project app --file key.pem',
      ),
    )
    .action(async (first: string, second: string | undefined, flags: SetFlags, self: Command) => {
      // No project is written like a variable: then what follows is not its secret's name.
      const isValueTyped =
        second !== undefined && (flags.project !== undefined || /^[A-Z_][A-Z0-9_]*$/.test(first));
      if (self.args.length > 2 || isValueTyped) {
        throw new CliError(
          exitCodes.usage,
          'the value is no argument, because others see the command line: pipe it in, name a --file, or leave it out and type it. Change a value that was typed here',
        );
      }
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { file, environment = '' } = flags;
          const { project, name } = await named(api, { first, second, flags });
          const prompt = `Value of ${name} (not shown): `;
          const value = await readSecret({ prompt, ...(file === undefined ? {} : { file }) });
          const secret = await api.projects.setSecret({ project: { project }, name, value, environment });
          if (output.json) output.data(secret);
          else {
            output.line(`secret ${printable(secret.name ?? '')} is set${of(environment)}`);
            output.note(
              environment === ''
                ? `a stage gets it by \`secrets: [${printable(name)}]\` in .gantry.yml`
                : `a stage with \`environment: ${printable(environment)}\` gets it by \`secrets: [${printable(name)}]\``,
            );
          }
          return exitCodes.done;
        }),
      );
    });
}

function configureList(command: Command): void {
  addClientOptions(
    command
      .command('ls [project]')
      .description('List names, when each was set, and by whom. No values.')
      .option('--environment <environment>', 'those of this environment only')
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry secrets ls', 'gantry secrets ls app --environment production'))
    .action(async (word: string | undefined, flags: ScopeFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const project = await selectProject(api, word ?? flags.project);
          const request = { project: { project }, environment: flags.environment ?? '' };
          const secrets = (await api.projects.listSecrets(request)).secrets ?? [];
          if (output.json) output.data({ secrets });
          else if (secrets.length === 0) {
            output.note('no secrets; set one with `gantry secrets set NAME [--environment ENV]`');
          } else for (const line of secretTable(secrets, output.color)) output.line(line);
          return exitCodes.done;
        }),
      );
    });
}

function secretTable(secrets: readonly Secret__Output[], color: boolean): string[] {
  const { dim } = colors(color);
  const rows = secrets.map(({ name = '', environment = '', changedAt = '', changedBy = '' }) => [
    printable(name),
    printable(environment),
    age(Date.parse(changedAt), Date.now()),
    printable(changedBy),
  ]);
  return table([['NAME', 'ENVIRONMENT', 'SET', 'BY'].map(dim), ...rows]);
}

function configureRemove(command: Command): void {
  addClientOptions(
    command
      .command('remove <project-or-name> [name]')
      .alias('rm')
      .usage('[options] [project] <name>')
      .description('Remove a secret. Stages that name it fail from now on.')
      .option(...environmentOption)
      .option(...projectOption),
  )
    .addHelpText(
      'after',
      examples(
        'gantry secrets remove DEPLOY_TOKEN',
        'gantry secrets rm app DB_PASSWORD --environment production',
      ),
    )
    .action(async (first: string, second: string | undefined, flags: ScopeFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { environment = '' } = flags;
          const { project, name } = await named(api, { first, second, flags });
          await api.projects.removeSecret({ project: { project }, name, environment });
          if (output.json) output.data({ removed: name, environment });
          else output.line(`secret ${printable(name)} is removed${of(environment)}`);
          return exitCodes.done;
        }),
      );
    });
}

const of = (environment: string): string =>
  environment === '' ? '' : ` for environment ${printable(environment)}`;

/** `PROJECT NAME`, or NAME alone. */
async function named(
  api: Session['api'],
  {
    first,
    second,
    flags,
  }: { readonly first: string; readonly second: string | undefined; readonly flags: ScopeFlags },
): Promise<{ readonly project: string; readonly name: string }> {
  if (second === undefined) return { project: await selectProject(api, flags.project), name: first };
  return { project: first, name: second };
}
