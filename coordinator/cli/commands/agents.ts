import type { Command } from 'commander';
import type { AgentView } from '../../../shared/model/run.js';
import { agentFromWire } from '../../../shared/wire/run-view.js';
import { isLoopback, parseHostPort } from '../../config.js';
import { CliError } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { resolveConnection } from '../connection.js';
import { exitCodes } from '../exit-codes.js';
import { age, table } from '../format.js';
import { quoted } from '../follow/next-commands.js';
import { colors } from '../output.js';
import { addClientOptions, withCoordinator, type ClientFlags } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface TokenFlags extends ClientFlags {
  readonly label?: readonly string[];
  readonly project?: readonly string[];
  readonly hours?: string;
}
interface DrainFlags extends ClientFlags {
  readonly undo?: boolean;
}

export function configure(command: Command): void {
  command.description('The machines that run stages.');
  addClientOptions(command.command('ls').description('List agents: what they offer, and what they do now.'))
    .addHelpText('after', examples('gantry agents ls'))
    .action(async (flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const agents = ((await api.listAgents({})).agents ?? []).map(agentFromWire);
          if (output.json) output.data({ agents });
          else {
            if (agents.length === 0) output.note('no agents; `gantry agents token` says how to start one');
            for (const line of agentTable(agents, output.color)) output.line(line);
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('drain <agent>')
      .description('Give an agent no new stages; those it runs go on to their end.')
      .option('--undo', 'give it stages again'),
  )
    .addHelpText('after', examples('gantry agents drain build-3', 'gantry agents drain build-3 --undo'))
    .action(async (agent: string, flags: DrainFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const answer = await api.drainAgent({ agent, undo: flags.undo === true });
          const view = answer.agent == null ? undefined : agentFromWire(answer.agent);
          if (output.json) output.data({ agent: view ?? null });
          else {
            const running = view?.running.length ?? 0;
            const rest = running === 0 ? 'it runs nothing' : `it still runs ${running}`;
            output.line(
              flags.undo === true ? `${agent} takes stages again` : `${agent} takes no new stages; ${rest}`,
            );
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('token')
      .description(
        'Make a join token: what an agent needs beside the address, and the command to start one with it.',
      )
      .option(
        '--label <label>',
        'a label that the agent may offer, beside os, arch and executor; repeatable; none: any',
        collect,
      )
      .option('--project <name>', 'a project that it may serve; repeatable; none: all', collect)
      .option('--hours <n>', 'valid for so long', '24'),
  )
    .addHelpText('after', examples('gantry agents token --label gpu --hours 1'))
    .action(async (flags: TokenFlags) => {
      const hours = Number(flags.hours);
      if (!Number.isFinite(hours) || hours <= 0 || hours > 24 * 366) {
        throw new CliError(
          exitCodes.usage,
          `--hours ${flags.hours ?? ''}: expected a number of hours, at most a year`,
        );
      }
      const labels = [...(flags.label ?? [])];
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const answer = await api.createJoinToken({
            labels,
            projects: [...(flags.project ?? [])],
            validSeconds: Math.round(hours * 3600),
          });
          const { token = '', coordinator = '', expiresAt = '' } = answer;
          const offered = labels.map((label) => ` --label ${quoted(label)}`).join('');
          const trust = trustFlags(flags, coordinator);
          const start = `GANTRY_TOKEN=${token} gantry-agent --coordinator ${coordinator}${trust}${offered}`;
          if (output.json) output.data({ token, coordinator, expiresAt, command: start });
          else {
            output.line(token);
            output.note(`valid until ${expiresAt}; start an agent on another machine with:`);
            output.note(`  ${start}`);
          }
          return exitCodes.done;
        }),
      );
    });
}

/** How the new agent will know the coordinator: as this command does, with the same file. */
function trustFlags(flags: ClientFlags, coordinator: string): string {
  const { tls } = resolveConnection(flags, process.env);
  if (tls === undefined) {
    const host = parseHostPort(coordinator)?.host;
    return host === undefined || isLoopback(host) ? '' : ' --insecure';
  }
  if (tls.ca === undefined) return '';
  return ` --ca ${quoted(flags.ca ?? process.env['GANTRY_CA'] ?? 'CA.pem')}`;
}

export function agentTable(agents: readonly AgentView[], color: boolean): string[] {
  const paint = colors(color);
  const now = Date.now();
  if (agents.length === 0) return [];
  const head = ['NAME', 'ID', 'STATUS', 'RUNS', 'SEEN', 'LABELS', ''].map((word) => paint.dim(word));
  return table([
    head,
    ...agents.map((agent) => [
      paint.bold(printable(agent.name)),
      agent.id.slice(0, 8),
      agent.status === 'idle' || agent.status === 'busy'
        ? paint.green(agent.status)
        : paint.yellow(agent.status),
      `${agent.running.length}/${agent.slots}`,
      agent.lastSeenMs === null ? 'never seen' : age(now - agent.lastSeenMs, now),
      printable(agent.labels.join(' ')),
      printable(agent.reason ?? agent.running.join(', ')),
    ]),
  ]);
}
