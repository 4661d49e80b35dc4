import type { Command } from 'commander';
import { examples } from '../command.js';
import { createOutput } from '../output.js';
import { dataDir } from '../up/data-dir.js';
import { runDown } from '../up/down.js';

interface DownFlags {
  readonly data?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option('--data <dir>', 'what was given to `gantry up` (default: GANTRY_DATA, $XDG_STATE_HOME/gantry)')
    .option('--json', 'for scripts: {"stopped":[{"name":…,"pid":…}]}')
    .description(
      'Stop everything that `gantry up` started, also when it was killed itself. Nothing that is stored is removed.',
    )
    .addHelpText('after', examples('gantry down'))
    .action(async (flags: DownFlags) => {
      const output = createOutput({ json: flags.json === true });
      const data = dataDir(flags.data, process.env);
      const { daemons } = await runDown(data, (text) => output.note(text));
      if (output.json) output.data({ stopped: daemons });
      else if (daemons.length > 0) {
        output.line(`stopped ${daemons.map((daemon) => `${daemon.name} (${daemon.pid})`).join(', ')}`);
      } else {
        output.line(`nothing of ${data.root} is running`);
        if (flags.data === undefined) output.note('  if `up` was given --data DIR, give it here too');
      }
    });
}
