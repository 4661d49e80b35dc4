import type { Command } from 'commander';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { followRun } from '../follow/follow.js';
import { selectRun } from '../run-selector.js';
import { addClientOptions, untilInterrupted, withCoordinator, type ClientFlags } from '../session.js';
import { askAgain, newRunId } from '../submit/submit-run.js';

interface RetryFlags extends ClientFlags {
  readonly failed?: boolean;
  readonly follow?: boolean;
  readonly withSecrets?: boolean;
  readonly force?: string;
}

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[run]', 'id or its beginning; left out: the latest of this repository')
      .option('--failed', 'only what failed (not built yet: the whole run is done again without it)')
      .option(
        '--with-secrets',
        'give it the secrets that it names, where the run had none: a tree that somebody sent by hand. Read first what it does with them',
      )
      .option(
        '--force <reason>',
        'its deployments go on although the environment before has not verified the same; put on record. Admins only',
      )
      .option('-f, --follow', 'show the new run live to its end'),
  )
    .description('The same again: a new run of the same commit and pipeline.')
    .addHelpText(
      'after',
      examples(
        'gantry retry k3f7 --follow',
        'gantry retry k3f7 --force "staging is down, and this mends it"',
      ),
    )
    .action(async (run: string | undefined, flags: RetryFlags) => {
      if (flags.failed === true) {
        throw new CliError(exitCodes.refused, '--failed is not available yet', {
          remedies: ['retry the whole run: leave out --failed'],
        });
      }
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const request = {
            run: await selectRun(run),
            newRun: newRunId(),
            withSecrets: flags.withSecrets === true,
            force: flags.force ?? '',
          };
          return untilInterrupted(async (signal) => {
            const answer = await askAgain(() => api.retry(request), { output, signal });
            for (const warning of answer.warnings ?? []) output.note(warning);
            const id = answer.run ?? '';
            if (output.json) output.data({ run: id });
            if (flags.follow === true)
              return followRun({ api, output, run: { run: id, projectName: '' }, signal });
            if (!output.json) {
              output.line(`run ${id}`);
              output.line(`  gantry watch ${id.slice(0, 8)}   follow it live`);
            }
            return exitCodes.done;
          });
        }),
      );
    });
}
