import type { Command } from 'commander';
import { examples, exits } from '../command.js';
import { followRun } from '../follow/follow.js';
import { selectRun } from '../run-selector.js';
import { addClientOptions, untilInterrupted, withCoordinator, type ClientFlags } from '../session.js';

export function configure(command: Command): void {
  addClientOptions(command.argument('[run]', 'id or its beginning; left out: the latest of this repository'))
    .description(
      'Follow a run live, to its end: a line for each event. The exit code says how the run ended.',
    )
    .addHelpText('after', examples('gantry watch', 'gantry watch k3f7 --json'))
    .action(async (run: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const selector = await selectRun(run);
          return untilInterrupted((signal) => followRun({ api, output, run: selector, signal }));
        }),
      );
    });
}
