/**
 * The command line: names and one line each. Only the module of the command that was asked for is loaded, so that
 * help and small commands start fast.
 */
import { Command, CommanderError } from 'commander';
import { gantryVersion } from '../../shared/version.js';
import type { CommandModule } from './command.js';
import { exitCodeHelp, exitCodes, type ExitCode } from './exit-codes.js';

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

const groups: readonly { readonly heading: string; readonly commands: readonly Entry[] }[] = [
  {
    heading: 'Everyday:',
    commands: [
      {
        name: 'init',
        summary: 'write a starter .gantry.yml for this directory',
        load: () => import('./commands/init.js'),
      },
      {
        name: 'validate',
        summary: 'check a pipeline file and draw its graph',
        load: () => import('./commands/validate.js'),
      },
      {
        name: 'submit',
        summary: 'run the pipeline of this directory, or of a commit',
        load: () => import('./commands/submit.js'),
      },
      { name: 'watch', summary: 'follow a run live', load: () => import('./commands/watch.js') },
      { name: 'logs', summary: 'what the steps of a run wrote', load: () => import('./commands/logs.js') },
      { name: 'show', summary: 'one run whole', load: () => import('./commands/show.js') },
      { name: 'runs', summary: 'list runs', load: () => import('./commands/runs.js') },
      { name: 'wait', summary: 'wait until runs have ended', load: () => import('./commands/wait.js') },
      { name: 'why', summary: 'why stages do not run', load: () => import('./commands/why.js') },
      { name: 'cancel', summary: 'end a run or a stage', load: () => import('./commands/cancel.js') },
      { name: 'retry', summary: 'the same run again', load: () => import('./commands/retry.js') },
      {
        name: 'land',
        summary: 'queue a branch: it lands when the merged result is green',
        load: () => import('./commands/land.js'),
      },
      {
        name: 'gate',
        summary: 'what is queued to land, and who may push past it',
        load: () => import('./commands/gate.js'),
      },
      {
        name: 'environments',
        summary: 'what is deployed where, and what it takes to get there',
        load: () => import('./commands/environments.js'),
      },
      {
        name: 'approve',
        summary: 'let a deployment go to its environment',
        load: () => import('./commands/approve.js'),
      },
      { name: 'reject', summary: 'keep a deployment out', load: () => import('./commands/reject.js') },
      {
        name: 'rollback',
        summary: 'deploy again what was verified last',
        load: () => import('./commands/rollback.js'),
      },
      {
        name: 'artifacts',
        summary: 'list and fetch what runs made',
        load: () => import('./commands/artifacts.js'),
      },
    ],
  },
  {
    heading: 'Running Gantry:',
    commands: [
      {
        name: 'up',
        summary: 'everything on this machine: NATS, storage, coordinator, agents',
        load: () => import('./commands/up.js'),
      },
      { name: 'down', summary: 'stop what `up` started', load: () => import('./commands/down.js') },
      {
        name: 'doctor',
        summary: 'what is missing on this machine, and how to get it',
        load: () => import('./commands/doctor.js'),
      },
      {
        name: 'projects',
        summary: 'repositories whose pushes become runs',
        load: () => import('./commands/projects.js'),
      },
      {
        name: 'secrets',
        summary: 'values that steps of a project get, and nobody sees',
        load: () => import('./commands/secrets.js'),
      },
      { name: 'users', summary: 'who may do what', load: () => import('./commands/users.js') },
      {
        name: 'tokens',
        summary: 'make, list and end tokens of users',
        load: () => import('./commands/tokens.js'),
      },
      { name: 'whoami', summary: 'whose token you use', load: () => import('./commands/whoami.js') },
      { name: 'audit', summary: 'what was done, by whom', load: () => import('./commands/audit.js') },
      {
        name: 'agents',
        summary: 'list and drain agents, make join tokens',
        load: () => import('./commands/agents.js'),
      },
      {
        name: 'coordinator',
        summary: 'the coordinator daemon',
        load: () => import('./commands/coordinator.js'),
      },
      {
        name: 'storage',
        summary: 'a small S3 server for one machine',
        load: () => import('./commands/storage.js'),
      },
      {
        name: 'nats',
        summary: 'keys and configuration for a NATS server',
        load: () => import('./commands/nats.js'),
      },
    ],
  },
];

const entries = groups.flatMap((group) => group.commands);

/** Parses and performs. Throws `CliError` for wrong usage; help and version are no errors. */
export async function runProgram(args: readonly string[]): Promise<ExitCode | undefined> {
  const program = new Command('gantry')
    .description(
      'A distributed, agent-based build system. Start with `gantry up`, then `gantry submit --follow`.',
    )
    .version(gantryVersion(), '-V, --version')
    .helpOption('-h, --help', 'help for a command')
    .helpCommand('help [command]', 'help for a command')
    .showHelpAfterError('(add --help for what it takes)')
    .configureHelp({ helpWidth: Math.min(process.stdout.columns || 120, 120) })
    .addHelpText('after', `\n${exitCodeHelp}`)
    .exitOverride();
  const asked = args.find((arg) => !arg.startsWith('-') && arg !== 'help');
  for (const { heading, commands } of groups) {
    for (const entry of commands) {
      const command = program
        .command(entry.name)
        .summary(entry.summary)
        .description(entry.summary)
        .helpGroup(heading);
      if (entry.name === asked) (await entry.load()).configure(command);
    }
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed help, version or what is wrong with the arguments.
    return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  }
}

/** For completion scripts and tests. */
export const commandNames: readonly string[] = entries.map((entry) => entry.name);
