import type { Command } from 'commander';
import { CliError } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { userTable } from '../access/access-text.js';
import { exitCodes } from '../exit-codes.js';
import { count } from '../format.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface UserFlags extends ClientFlags {
  readonly role?: string;
  readonly mail?: readonly string[];
  readonly project?: readonly string[];
  readonly secrets?: boolean;
}
interface SetFlags extends UserFlags {
  /** True unless `--no-mails` is given: it has no positive form. */
  readonly mails: boolean;
  readonly allProjects?: boolean;
}

export function configure(command: Command): void {
  command.description(
    'Who may do what. A developer sees runs and starts them; an admin also sets up projects, agents and users.',
  );
  configureAdd(command);
  configureSet(command);
  addClientOptions(command.command('ls').description('List users.'))
    .addHelpText('after', examples('gantry users ls'))
    .action(async (flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const users = (await api.access.listUsers({})).users ?? [];
          if (output.json) output.data({ users });
          else if (users.length > 0) for (const line of userTable(users, output.color)) output.line(line);
          else
            output.note(
              'no users but the owner, whose token `gantry up` made; `gantry users add NAME` adds one',
            );
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command.command('remove <name>').description('Remove a user; all their tokens end at once.'),
  )
    .addHelpText('after', examples('gantry users remove ann'))
    .action(async (name: string, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const tokens = (await api.access.removeUser({ name })).tokens ?? 0;
          if (output.json) output.data({ name, tokens });
          else output.line(`user ${printable(name)} is removed; ${count(tokens, 'token')} ended`);
          return exitCodes.done;
        }),
      );
    });
}

function configureAdd(command: Command): void {
  addClientOptions(
    command
      .command('add <name>')
      .description('Add a user: a name in audit and runs, and where their mail goes.')
      .option('--role <role>', 'developer or admin', 'developer')
      .option('--mail <address>', 'an address of theirs, as their commits have it; repeatable', collect)
      .option('--project <name>', 'limit them to a project (name or URL); repeatable; none: all', collect)
      .option('--secrets', 'runs of trees that they submit get the secrets that they name'),
  )
    .addHelpText(
      'after',
      examples(
        'gantry users add ann --mail ann@example.org',
        'gantry users add bob --project https://git.example.org/team/app --secrets',
      ),
    )
    .action(async (name: string, flags: UserFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const user = await api.access.addUser({
            name,
            role: flags.role ?? 'developer',
            mails: [...(flags.mail ?? [])],
            projects: [...(flags.project ?? [])],
            mayUseSecrets: flags.secrets === true,
          });
          if (output.json) output.data({ user });
          else {
            for (const line of userTable([user], output.color)) output.line(line);
            output.note('what they need to use it:');
            output.note(`  gantry tokens create --user ${name}`);
          }
          return exitCodes.done;
        }),
      );
    });
}

function configureSet(command: Command): void {
  addClientOptions(
    command
      .command('set <name>')
      .description(
        'Change what the flags name, and leave the rest as it is. In force at once, also for tokens.',
      )
      .option('--role <role>', 'developer or admin')
      .option('--mail <address>', 'their addresses from now on; repeatable', collect)
      .option('--no-mails', 'forget their addresses')
      .option('--project <name>', 'limit them to these projects from now on; repeatable', collect)
      .option('--all-projects', 'limit them to none')
      .option('--secrets', 'runs of trees that they submit get the secrets that they name')
      .option('--no-secrets', 'they do not'),
  )
    .addHelpText(
      'after',
      examples('gantry users set ann --role admin', 'gantry users set bob --no-secrets --all-projects'),
    )
    .action(async (name: string, flags: SetFlags) => {
      if (flags.allProjects === true && flags.project !== undefined)
        throw contradiction('--all-projects', '--project');
      if (!flags.mails && flags.mail !== undefined) throw contradiction('--no-mails', '--mail');
      const mails = flags.mails ? flags.mail : [];
      const projects = flags.allProjects === true ? [] : flags.project;
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const user = await api.access.setUser({
            name,
            role: flags.role ?? '',
            ...(flags.secrets === undefined ? {} : { mayUseSecrets: flags.secrets }),
            setMails: mails !== undefined,
            mails: [...(mails ?? [])],
            setProjects: projects !== undefined,
            projects: [...(projects ?? [])],
          });
          if (output.json) output.data({ user });
          else for (const line of userTable([user], output.color)) output.line(line);
          return exitCodes.done;
        }),
      );
    });
}

const contradiction = (one: string, other: string): CliError =>
  new CliError(exitCodes.usage, `${other} and ${one} contradict each other: give one`);
