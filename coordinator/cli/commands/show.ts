import type { Command } from 'commander';
import { runFromWire } from '../../../shared/wire/run-view.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { selectRun } from '../run-selector.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { runLines } from '../run-text.js';

export function configure(command: Command): void {
  addClientOptions(command.argument('[run]', 'id or its beginning; left out: the latest of this repository'))
    .addHelpText('after', examples('gantry show', 'gantry show k3f7 --json | jq .status'))
    .action(async (run: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const view = runFromWire(await api.show(await selectRun(run)));
          if (output.json) output.data(view);
          else for (const line of runLines(view, { color: output.color, now: Date.now() })) output.line(line);
          return exitCodes.done;
        }),
      );
    });
}
