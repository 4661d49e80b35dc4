import type { Command } from 'commander';
import { runSummaryFromWire } from '../../../shared/wire/run-view.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { projectNameOf } from '../project-name.js';
import { runTable } from '../run-text.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';

interface RunsFlags extends ClientFlags {
  readonly project?: string;
  readonly here?: boolean;
  readonly branch?: string;
  readonly status?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

const statuses = ['pending', 'waiting', 'running', 'succeeded', 'failed', 'canceled'];

export function configure(command: Command): void {
  addClientOptions(
    command
      .option('--project <name>', 'of this project: host/path of its repository, or a directory')
      .option('--here', 'of the project that this directory belongs to')
      .option('--branch <name>', 'of this branch')
      .option('--status <status>', statuses.join(' | '))
      .option('--limit <n>', 'at most so many, 1 to 100', '20')
      .option('--cursor <cursor>', 'go on where an earlier list ended'),
  )
    .description('List runs, newest first.')
    .addHelpText(
      'after',
      examples('gantry runs --here --status failed', "gantry runs --json | jq -r '.runs[].run'"),
    )
    .action(async (flags: RunsFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const limit = Number(flags.limit);
          if (!Number.isInteger(limit) || limit < 1 || limit > 100) {
            throw new CliError(
              exitCodes.usage,
              `--limit ${flags.limit ?? ''}: expected a number from 1 to 100`,
            );
          }
          if (flags.status !== undefined && !statuses.includes(flags.status)) {
            throw new CliError(exitCodes.usage, `--status ${flags.status}: expected ${statuses.join(', ')}`);
          }
          const projectName =
            flags.project ?? (flags.here === true ? await projectNameOf(process.cwd()) : '');
          const page = await api.list({
            projectName,
            branch: flags.branch ?? '',
            status: flags.status ?? '',
            limit,
            cursor: flags.cursor ?? '',
          });
          const runs = (page.runs ?? []).map(runSummaryFromWire);
          const cursor = page.cursor ?? '';
          if (output.json) {
            output.data({ runs, cursor: cursor === '' ? null : cursor });
            return exitCodes.done;
          }
          if (runs.length === 0) output.note('no runs; `gantry submit` starts one');
          for (const line of runTable(runs, {
            color: output.color,
            now: Date.now(),
            project: projectName === '',
          })) {
            output.line(line);
          }
          if (cursor !== '') output.note(`more: gantry runs --cursor ${cursor}`);
          return exitCodes.done;
        }),
      );
    });
}
