import type { Command } from 'commander';
import { printable } from '../../../shared/text/terminal-text.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { selectProject } from '../gate/select-project.js';
import { addClientOptions, untilInterrupted, withCoordinator, type ClientFlags } from '../session.js';
import { askAgain, newRunId } from '../submit/submit-run.js';

interface RollbackFlags extends ClientFlags {
  readonly project?: string;
}

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('<environment>')
      .description(
        'Deploy again what was verified there last: its commit, steps and artifacts, with the secrets of today. It needs no approval, waits for a deployment that is under way, and comes before all others. Afterwards only newer commits go there by themselves.',
      )
      .option('--project <project>', 'default: that of this repository, or the only one'),
  )
    .addHelpText('after', examples('gantry rollback production'))
    .action(async (environment: string, flags: RollbackFlags) => {
      exits(
        await withCoordinator(flags, ({ api, output }) =>
          untilInterrupted(async (signal) => {
            const project = { project: await selectProject(api, flags.project) };
            const request = { environment: { project, environment }, run: newRunId() };
            const answer = await askAgain(() => api.environments.rollback(request), { output, signal });
            const { deployment = 0, run = '', again = false } = answer;
            const name = printable(environment);
            if (output.json)
              output.data({ environment, deployment: deployment === 0 ? null : deployment, run, again });
            else {
              const what = deployment === 0 ? 'by itself already' : `deployment ${deployment}`;
              output.line(`${name} ${again ? 'is being rolled back' : 'is rolled back'}: ${what}`);
              if (run !== '')
                output.note(`  gantry watch ${run.slice(0, 8)}    follow it, once it has begun`);
              output.note(`  gantry environments show ${name}`);
              output.note(
                `  gantry environments resume ${name}    lets older commits than the one it left go there again`,
              );
            }
            return exitCodes.done;
          }),
        ),
      );
    });
}
