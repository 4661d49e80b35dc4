import type { Command } from 'commander';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CliError } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { gateFromWire } from '../gate/gate-from-wire.js';
import { gateTable, gateText } from '../gate/gate-text.js';
import { selectProject } from '../gate/select-project.js';
import { hookMark, updateHook } from '../gate/update-hook.js';
import { addClientOptions, withCoordinator, type ClientFlags, type Session } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface GateFlags extends ClientFlags {
  readonly target?: string;
}
interface ReasonFlags extends GateFlags {
  readonly reason?: string;
  readonly project?: string;
}
interface ProtectFlags extends ClientFlags {
  readonly user?: readonly string[];
  /** True: into the repository that the project names. */
  readonly install?: string | true;
}

const targetOption = ['--target <branch>', 'default: the project’s target'] as const;

export function configure(command: Command): void {
  command.description(
    'The integration gate: what is queued to land, and who may push past it. PROJECT may be left out in its repository, or where there is one only. `gantry land` queues a change; `gantry projects set --gate-require` makes the gate.',
  );
  configureLooking(command);
  configureActing(command);
  configureProtect(command);
}

function configureLooking(command: Command): void {
  addClientOptions(
    command.command('ls').description('All gates: how long their queues are, and which stand still.'),
  )
    .addHelpText('after', examples('gantry gate ls'))
    .action(async (flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const gates = ((await api.gate.list({ all: true })).gates ?? []).map(gateFromWire);
          if (output.json) output.data({ gates });
          else if (gates.length === 0) output.note('nothing was queued yet: `gantry land BRANCH`');
          else for (const line of gateTable(gates, output.color)) output.line(line);
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('show [project]')
      .description('One queue: what each entry waits for, and what became of the last ones.')
      .option(...targetOption),
  )
    .addHelpText('after', examples('gantry gate show', 'gantry gate show app --target release/1.0'))
    .action(async (project: string | undefined, flags: GateFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const gate = gateFromWire(await api.gate.show(await selectGate(api, project, flags)));
          if (output.json) output.data(gate);
          else for (const line of gateText(gate, { now: Date.now(), color: output.color })) output.line(line);
          return exitCodes.done;
        }),
      );
    });
}

function configureActing(command: Command): void {
  addClientOptions(
    command
      .command('eject <entry>')
      .description(
        'Take an entry out of the queue. ENTRY is its branch, its id, or the first characters of that.',
      )
      .option('--project <project>', 'default: that of this repository')
      .option('--reason <text>', 'told to whoever queued it')
      .option(...targetOption),
  )
    .addHelpText('after', examples('gantry gate eject login --reason "waits for the new schema"'))
    .action(async (entry: string, flags: ReasonFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const gate = await selectGate(api, flags.project, flags);
          const { message = '' } = await api.gate.eject({ gate, entry, reason: flags.reason ?? '' });
          if (output.json) output.data({ ejected: entry, message });
          else output.line(message === '' ? `${printable(entry)} is out of the queue` : printable(message));
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('pause [project]')
      .description('Let nothing land until somebody resumes. The queue is kept, and grows.')
      .option('--reason <text>', 'shown to whoever asks why')
      .option(...targetOption),
  )
    .addHelpText('after', examples('gantry gate pause --reason "release freeze"'))
    .action(async (project: string | undefined, flags: ReasonFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.gate.pause({ gate: await selectGate(api, project, flags), reason: flags.reason ?? '' });
          if (output.json) output.data({ paused: true });
          else output.line('the gate stands still; `gantry gate resume` lets it go on');
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('resume [project]')
      .description('Go on. Of a target that was rewound or deleted: with the target as it is now.')
      .option(...targetOption),
  )
    .addHelpText('after', examples('gantry gate resume'))
    .action(async (project: string | undefined, flags: GateFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.gate.resume(await selectGate(api, project, flags));
          if (output.json) output.data({ paused: false });
          else output.line('the gate goes on');
          return exitCodes.done;
        }),
      );
    });
}

function configureProtect(command: Command): void {
  addClientOptions(
    command
      .command('protect [project]')
      .description(
        'Print an update hook for the repository that lets only the gate push to its targets. A forge has branch protection of its own: allow the gate’s user there.',
      )
      .option(
        '--user <name>',
        'whom the server knows the gate as, beside the user of its push token; repeatable',
        collect,
      )
      .option(
        '--install [dir]',
        'write it into this bare repository on this machine; default: the project’s',
      ),
  )
    .addHelpText(
      'after',
      examples(
        'gantry gate protect app --install',
        'gantry gate protect app --user gantry > /srv/git/app.git/hooks/update',
      ),
    )
    .action(async (project: string | undefined, flags: ProtectFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const answer = await api.gate.protect({ project: await selectProject(api, project) });
          const { refs = [], tokenDigest = '', user = '', directory = '' } = answer;
          const users = [...new Set([...(flags.user ?? []), user])].filter((name) => name !== '');
          const hook = updateHook({ project: answer.project ?? '', refs, tokenDigest, users });
          if (flags.install === undefined) {
            if (output.json) output.data({ hook, refs });
            else {
              await output.write(hook);
              output.note('save this as hooks/update (mode 755) of the repository');
            }
          } else install(output, flags.install === true ? directory : flags.install, { hook, refs });
          return exitCodes.done;
        }),
      );
    });
}

async function selectGate(api: Session['api'], project: string | undefined, { target }: GateFlags) {
  return { project: { project: await selectProject(api, project) }, target: target ?? '' };
}

function install(
  output: Session['output'],
  directory: string,
  { hook, refs }: { readonly hook: string; readonly refs: readonly string[] },
): void {
  if (directory === '') {
    throw new CliError(
      exitCodes.usage,
      'the project’s repository is not on the coordinator’s machine: name one with --install DIR',
    );
  }
  const hooks = path.join(path.resolve(directory), 'hooks');
  const file = path.join(hooks, 'update');
  try {
    // One that somebody else wrote must not be lost.
    if (existsSync(file) && !readFileSync(file, 'utf8').includes(hookMark)) {
      throw new Error(`${file} is there already, and not of ours`);
    }
    writeFileSync(file, hook, { mode: 0o755 });
    chmodSync(file, 0o755);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CliError(exitCodes.refused, `the hook cannot be installed: ${message}`, {
      cause: error,
      remedies: ['a hook that is there already: call both from a script of your own, or remove it'],
    });
  }
  if (output.json) output.data({ hook: file, refs });
  else output.line(`${file} lets only the gate push to ${refs.map(printable).join(', ')}`);
}
