import type { Command } from 'commander';
import { CliError } from '../cli-error.js';
import { tokenTable } from '../access/access-text.js';
import { collect, examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface CreateFlags extends ClientFlags {
  readonly user?: string;
  readonly scope?: string;
  readonly project?: readonly string[];
  readonly days?: string;
  readonly neverExpires?: boolean;
  readonly note?: string;
}
interface ListFlags extends ClientFlags {
  readonly user?: string;
}

const maxDays = 3_650;

export function configure(command: Command): void {
  command.description('What people and scripts prove themselves with: acts for a user, within its scope.');
  configureCreate(command);
  addClientOptions(
    command
      .command('ls')
      .description('List tokens: yours, and as an admin all.')
      .option('--user <name>', 'of one user only'),
  )
    .addHelpText('after', examples('gantry tokens ls --user ann'))
    .action(async (flags: ListFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const tokens = (await api.access.listTokens({ user: flags.user ?? '' })).tokens ?? [];
          const look = { color: output.color, now: Date.now() };
          if (output.json) output.data({ tokens });
          else if (tokens.length > 0) for (const line of tokenTable(tokens, look)) output.line(line);
          else output.note('no tokens; `gantry tokens create --user NAME` makes one');
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(command.command('revoke <id>').description('End a token, at once and for good.'))
    .addHelpText('after', examples('gantry tokens revoke abcdefgh23456777'))
    .action(async (id: string, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.access.revokeToken({ id });
          if (output.json) output.data({ id });
          else output.line(`token ${printable(id)} is revoked`);
          return exitCodes.done;
        }),
      );
    });
}

function configureCreate(command: Command): void {
  addClientOptions(
    command
      .command('create')
      .description('Make a token; it is shown once. One for yourself allows no more than the token you use.')
      .option('--user <name>', 'for whom; default: yourself')
      .option('--scope <scope>', 'read, write or admin; default: what the role allows')
      .option('--project <name>', 'limit it to a project; repeatable; none: all of the user’s', collect)
      .option('--days <n>', 'valid for so long; default: 90')
      .option('--never-expires', 'until it is revoked')
      .option('--note <text>', 'what it is for'),
  )
    .addHelpText(
      'after',
      examples(
        'gantry tokens create --user ann',
        'gantry tokens create --user ann --scope read --days 7 --note dashboard',
      ),
    )
    .action(async (flags: CreateFlags) => {
      const validSeconds = secondsOf(flags);
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { text = '', token } = await api.access.createToken({
            user: flags.user ?? '',
            scope: flags.scope ?? '',
            projects: [...(flags.project ?? [])],
            validSeconds,
            neverExpires: flags.neverExpires === true,
            note: flags.note ?? '',
          });
          if (output.json) output.data({ text, token: token ?? null });
          else {
            output.line(text);
            const until = token?.expiresAt ?? '';
            output.note(until === '' ? 'valid until it is revoked' : `valid until ${until}`);
            output.note('it is not shown again; its user types, with it in place of TOKEN:');
            output.note(`  export GANTRY_COORDINATOR=${api.address} GANTRY_TOKEN=TOKEN`);
            output.note('  gantry whoami');
            output.note(`to end it:  gantry tokens revoke ${token?.id ?? ''}`);
          }
          return exitCodes.done;
        }),
      );
    });
}

/** 0: the coordinator's default. */
function secondsOf({ days, neverExpires }: CreateFlags): number {
  if (days === undefined) return 0;
  if (neverExpires === true) {
    throw new CliError(exitCodes.usage, '--days and --never-expires contradict each other: give one');
  }
  const number = Number(days);
  if (Number.isFinite(number) && number > 0 && number <= maxDays) return Math.ceil(number * 86_400);
  throw new CliError(exitCodes.usage, `--days ${days}: expected a number of days, at most ${maxDays}`);
}
