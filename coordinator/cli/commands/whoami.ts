import type { Command } from 'commander';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

export function configure(command: Command): void {
  addClientOptions(command.description('Whose token you use, and what it allows.'))
    .addHelpText('after', examples('gantry whoami'))
    .action(async (flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const {
            name = '',
            role = '',
            scope = '',
            projects = [],
            expiresAt = '',
          } = await api.access.whoAmI({});
          if (output.json) {
            output.data({ name, role, scope, projects, expiresAt: expiresAt === '' ? null : expiresAt });
          } else {
            const where = projects.length === 0 ? 'all projects' : projects.join(', ');
            output.line(printable(`${name} (${role}) at ${api.address}: may ${allowed(scope)}, in ${where}`));
            output.note(
              expiresAt === '' ? 'this token does not expire' : `this token expires at ${expiresAt}`,
            );
          }
          return exitCodes.done;
        }),
      );
    });
}

const allowed = (scope: string): string =>
  scope === 'admin' ? 'read, write and administer' : scope === 'write' ? 'read and write' : scope;
