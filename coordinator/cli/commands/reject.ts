import type { Command } from 'commander';
import { printable } from '../../../shared/text/terminal-text.js';
import { examples, exits } from '../command.js';
import { chooseDeployment } from '../environments/choose-deployment.js';
import { exitCodes } from '../exit-codes.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';

interface RejectFlags extends ClientFlags {
  readonly project?: string;
  readonly reason: string;
}

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[environment-or-run]', 'default: the only deployment that waits for approval')
      .description(
        'Keep a deployment out that waits for approval. Its stage fails, and says by whom and why.',
      )
      .requiredOption('--reason <text>', 'told to whoever wants to deploy it')
      .option('--project <project>', 'default: that of this repository, or all'),
  )
    .addHelpText('after', examples('gantry reject production --reason "not before the sale is over"'))
    .action(async (word: string | undefined, flags: RejectFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { environment, deployment } = await chooseDeployment(api, word, flags.project, {
            // A rollback that has not begun is withdrawn like this.
            isMeant: ({ status, rollbackOf, beganAt }) =>
              status === 'approval' || (rollbackOf !== null && beganAt === null),
            what: 'waits for approval',
            command: 'gantry reject',
          });
          const at = { project: { project: environment.project }, environment: environment.environment };
          const { reason } = flags;
          await api.environments.reject({ environment: at, deployment: deployment.deployment, reason });
          const name = printable(environment.environment);
          if (output.json) {
            output.data({ environment: environment.environment, deployment: deployment.deployment, reason });
          } else {
            output.line(
              `rejected: deployment ${deployment.deployment} to ${name}, ${deployment.commit.slice(0, 12)} ${printable(deployment.title)}`,
            );
            output.note(`  gantry environments show ${name}`);
          }
          return exitCodes.done;
        }),
      );
    });
}
