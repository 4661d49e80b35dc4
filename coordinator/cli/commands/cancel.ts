import type { Command } from 'commander';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { selectRun } from '../run-selector.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[run]', 'id or its beginning; left out: the latest of this repository')
      .argument('[stage]', 'only this stage: number or name'),
  )
    .description('End a run, or one of its stages. What has succeeded stays so; what runs is stopped.')
    .addHelpText('after', examples('gantry cancel k3f7', 'gantry cancel k3f7 deploy'))
    .action(async (run: string | undefined, stage: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const answer = await api.cancel({ run: await selectRun(run), stage: stage ?? '' });
          const { run: id = '', status = '' } = answer;
          if (output.json) output.data({ run: id, status });
          else {
            output.line(
              `run ${id.slice(0, 8)}${stage === undefined ? '' : ` stage ${stage}`}: cancel requested (${status})`,
            );
            output.line(`  gantry watch ${id.slice(0, 8)}   see it end`);
          }
          return exitCodes.done;
        }),
      );
    });
}
