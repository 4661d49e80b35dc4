import type { Command } from 'commander';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { age, table } from '../format.js';
import { colors } from '../output.js';
import { readSecret } from '../secret-input.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { printable } from '../terminal-text.js';

interface SetFlags extends ClientFlags {
  readonly file?: string;
}

export function configure(command: Command): void {
  command
    .description(
      'Values that steps of a project get as variables, where their stage names them (`secrets:`). They are stored sealed, masked in logs, and never shown again.',
    )
    .addHelpText('after', examples('gantry secrets set app DEPLOY_TOKEN', 'gantry secrets ls app'));
  configureSet(command);
  configureOthers(command);
}

function configureSet(command: Command): void {
  addClientOptions(
    command
      .command('set <project> <name>')
      .description(
        'Set a secret. Its value comes from stdin, from a file, or is typed unseen; never from the command line, which other users of the machine see. Of a single line the line end is no part of the value.',
      )
      .option('--file <file>', 'read the value from a file; -: from stdin')
      .allowExcessArguments(),
  )
    .addHelpText(
      'after',
      examples(
        'gantry secrets set app DEPLOY_TOKEN              # asks for the value',
        'pass show deploy | gantry secrets set app DEPLOY_TOKEN',
        'gantry secrets set app SIGNING_KEY --file key.pem',
      ),
    )
    .action(async (project: string, name: string, flags: SetFlags, self: Command) => {
      if (self.args.length > 2) {
        throw new CliError(
          exitCodes.usage,
          'the value is no argument, because others see the command line: pipe it in, name a --file, or leave it out and type it. Change a value that was typed here',
        );
      }
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { file } = flags;
          const prompt = `Value of ${name} (not shown): `;
          const value = await readSecret({ prompt, ...(file === undefined ? {} : { file }) });
          const secret = await api.projects.setSecret({ project: { project }, name, value });
          if (output.json) output.data(secret);
          else {
            output.line(`secret ${printable(secret.name ?? '')} is set`);
            output.note(`a stage gets it by \`secrets: [${printable(name)}]\` in .gantry.yml`);
          }
          return exitCodes.done;
        }),
      );
    });
}

function configureOthers(command: Command): void {
  addClientOptions(
    command.command('ls [project]').description('List names, when each was set, and by whom. No values.'),
  )
    .addHelpText('after', examples('gantry secrets ls app'))
    .action(async (project: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const secrets = (await api.projects.listSecrets({ project: project ?? '' })).secrets ?? [];
          if (output.json) output.data({ secrets });
          else if (secrets.length === 0) {
            output.note(
              `no secrets; set one with \`gantry secrets set ${printable(project ?? 'PROJECT')} NAME\``,
            );
          } else {
            const { dim } = colors(output.color);
            const rows = secrets.map(({ name = '', changedAt = '', changedBy = '' }) => [
              printable(name),
              age(Date.parse(changedAt), Date.now()),
              printable(changedBy),
            ]);
            for (const line of table([['NAME', 'SET', 'BY'].map(dim), ...rows])) output.line(line);
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('remove <project> <name>')
      .description('Remove a secret. Stages that name it fail from now on.'),
  )
    .addHelpText('after', examples('gantry secrets remove app DEPLOY_TOKEN'))
    .action(async (project: string, name: string, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.projects.removeSecret({ project: { project }, name });
          if (output.json) output.data({ removed: name });
          else output.line(`secret ${printable(name)} is removed`);
          return exitCodes.done;
        }),
      );
    });
}
