import type { Command } from 'commander';
import type { AuditRow__Output } from '../../../shared/wire/gen/gantry/v1/AuditRow.js';
import { auditTable } from '../access/access-text.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';

interface AuditFlags extends ClientFlags {
  readonly by?: string;
  readonly project?: string;
  readonly action?: string;
  readonly limit: string;
}

const maxRows = 10_000;
const pageRows = 100;

export function configure(command: Command): void {
  addClientOptions(
    command
      .description('What was done, by whom, newest first.')
      .option('--by <name>', 'by one user')
      .option('--project <name>', 'about one project')
      .option('--action <action>', 'of one kind: token, run.cancel …')
      .option('--limit <n>', `at most so many, up to ${maxRows}`, '50'),
  )
    .addHelpText('after', examples('gantry audit --by ann', 'gantry audit --action token --json'))
    .action(async (flags: AuditFlags) => {
      const limit = Number(flags.limit);
      if (!Number.isInteger(limit) || limit < 1 || limit > maxRows) {
        throw new CliError(exitCodes.usage, `--limit ${flags.limit}: expected a number from 1 to ${maxRows}`);
      }
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const rows: AuditRow__Output[] = [];
          let cursor = '';
          do {
            const page = await api.access.audit({
              by: flags.by ?? '',
              project: flags.project ?? '',
              action: flags.action ?? '',
              limit: Math.min(pageRows, limit - rows.length),
              cursor,
            });
            rows.push(...(page.rows ?? []));
            cursor = page.cursor ?? '';
          } while (cursor !== '' && rows.length < limit);
          if (output.json) output.data({ rows, more: cursor !== '' });
          else if (rows.length === 0) output.note('nothing of that kind is on record');
          else {
            for (const line of auditTable(rows, output.color)) output.line(line);
            if (cursor !== '')
              output.note(`there is more: gantry audit --limit ${Math.min(maxRows, limit * 4)}`);
          }
          return exitCodes.done;
        }),
      );
    });
}
