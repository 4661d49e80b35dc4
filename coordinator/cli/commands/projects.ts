import type { Command } from 'commander';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { isAbsoluteOrUrl } from '../projects/repository-argument.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { age, count, table } from '../format.js';
import { postReceiveHook } from '../projects/post-receive.js';
import { nextForProject, projectTable, projectText } from '../projects/project-text.js';
import { registriesFrom } from '../projects/registry-flags.js';
import { addSettingsOptions, settingsFrom, type SettingsFlags } from '../projects/settings-flags.js';
import { parsePairs } from '../run-selector.js';
import {
  addClientOptions,
  untilInterrupted,
  withCoordinator,
  type ClientFlags,
  type Session,
} from '../session.js';
import { askAgain, newRunId } from '../submit/submit-run.js';
import { colors } from '../output.js';
import { printable } from '../../../shared/text/terminal-text.js';
import type { Project__Output } from '../../../shared/wire/gen/gantry/v1/Project.js';
import { followRun } from '../follow/follow.js';
import { collect } from '../command.js';

interface HookFlags extends ClientFlags {
  readonly rotate?: boolean;
  readonly secretFile?: string;
  readonly install?: string;
}
interface RunFlags extends ClientFlags {
  readonly ref?: string;
  readonly input?: readonly string[];
  readonly follow?: boolean;
}

/** Reading a large repository for the first time takes a while. */
const slowMs = 120_000;
const selected = '[project]';

export function configure(command: Command): void {
  command
    .description(
      'Repositories that Gantry builds by itself: every push becomes a run. PROJECT is a name, an ending of it, or an id; with one project it may be left out.',
    )
    .addHelpText('after', examples('gantry projects add /srv/git/app.git', 'gantry projects ls'));
  configureSettings(command);
  configureLooking(command);
  configureHook(command);
}

function configureSettings(command: Command): void {
  addClientOptions(
    addSettingsOptions(
      command
        .command('add <url>')
        .description(
          'Build a repository from now on: its default branch at once, then each push and, if asked for, tag.',
        ),
    ),
  )
    .addHelpText(
      'after',
      examples(
        'gantry projects add https://git.example.org/team/app.git --token-file token.txt',
        'gantry projects add git@git.example.org:team/app.git --ssh-key key --known-hosts hosts',
        'gantry projects add /srv/git/app.git    # below --repo-root of coordinator and agents',
      ),
    )
    .action(async (url: string, flags: SettingsFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { settings, fetch, push } = settingsFrom(flags);
          const project = await api.projects.add(
            {
              url: isAbsoluteOrUrl(url) ? url : path.resolve(url),
              settings,
              ...(fetch === undefined ? {} : { fetch }),
              ...(push === undefined ? {} : { push }),
              registries: await registriesFrom(flags),
            },
            { timeoutMs: slowMs },
          );
          if (output.json) output.data(project);
          else {
            showProject(output, project);
            output.note('');
            output.note(
              (project.refs ?? 0) === 0
                ? 'It has no commits yet: the first push becomes the first run.'
                : 'Its default branch is being built now; from now on each push is.',
            );
            for (const line of nextForProject(project)) output.note(line);
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    addSettingsOptions(
      command
        .command(`set ${selected}`)
        .description('Change what the flags name, and leave the rest as it is.')
        .option('--no-fetch-credential', 'read without a credential from now on')
        .option('--no-push-credential', 'forget what it is pushed with')
        .option('--forget-registry <host>', 'ask this registry without credentials; repeatable', collect),
    ),
  )
    .addHelpText(
      'after',
      examples(
        'gantry projects set app --poll 1m --cancel-superseded',
        'gantry projects set app --registry registry.example.org --registry-user ci   # asks for the password',
      ),
    )
    .action(async (project: string | undefined, flags: SettingsFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const changed = await api.projects.set(
            {
              project: { project: project ?? '' },
              ...settingsFrom(flags),
              registries: await registriesFrom(flags),
            },
            { timeoutMs: slowMs },
          );
          showProject(output, changed);
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('remove <project>')
      .description('Build it no more. Its runs stay on record; its secrets and credentials are deleted.'),
  )
    .addHelpText('after', examples('gantry projects remove app'))
    .action(async (project: string, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.projects.remove({ project });
          if (output.json) output.data({ removed: project });
          else output.line(`${printable(project)} is built no more`);
          return exitCodes.done;
        }),
      );
    });
}

function configureLooking(command: Command): void {
  addClientOptions(command.command('ls').description('List projects, and which of their branches fail.'))
    .addHelpText('after', examples('gantry projects ls'))
    .action(async (flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const projects = (await api.projects.list({})).projects ?? [];
          if (output.json) output.data({ projects });
          else if (projects.length === 0) output.note('no projects; add one with `gantry projects add URL`');
          else for (const line of projectTable(projects, output.color)) output.line(line);
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(command.command(`show ${selected}`).description('One project whole.'))
    .addHelpText('after', examples('gantry projects show app'))
    .action(async (project: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          showProject(output, await api.projects.show({ project: project ?? '' }));
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command.command(`poll ${selected}`).description('Look for pushes now, not only when it is time.'),
  )
    .addHelpText('after', examples('gantry projects poll app'))
    .action(async (project: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { runs = [], moves = 0 } = await api.projects.poll(
            { project: project ?? '' },
            { timeoutMs: slowMs },
          );
          if (output.json) output.data({ moves, runs });
          else output.line(`${count(moves, 'ref')} moved, ${count(runs.length, 'run')} to come`);
          for (const run of runs) if (!output.json) output.note(`  gantry watch ${run.slice(0, 8)}`);
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command(`run ${selected}`)
      .description('Run the pipeline of a branch, a tag or a commit now, whatever `on` says.')
      .option('--ref <ref>', 'default: the default branch')
      .option('--input <k=v>', 'input of the pipeline; repeatable', collect)
      .option('-f, --follow', 'show it live to its end; the exit code says how it ended'),
  )
    .addHelpText('after', examples('gantry projects run app --ref release/2 --follow'))
    .action(async (project: string | undefined, flags: RunFlags) => {
      exits(await withCoordinator(flags, (session) => run(session, project ?? '', flags)));
    });
  addClientOptions(
    command.command(`deliveries ${selected}`).description('What webhooks have told of late, newest first.'),
  )
    .addHelpText('after', examples('gantry projects deliveries app'))
    .action(async (project: string | undefined, flags: ClientFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const deliveries = (await api.projects.deliveries({ project: project ?? '' })).deliveries ?? [];
          if (output.json) output.data({ deliveries });
          else if (deliveries.length === 0) {
            const named = project === undefined ? '' : ` ${printable(project)}`;
            output.note(`nothing was delivered; \`gantry projects hook${named}\` says how to set a hook up`);
          } else {
            const now = Date.now();
            const rows = deliveries.map(({ id = '', at = '', pusher = '', moves = [], runs = [] }) => [
              age(Date.parse(at), now),
              printable(pusher),
              first(moves.map(printable), ', '),
              first(
                runs.map((one) => one.slice(0, 8)),
                ' ',
              ),
              colors(output.color).dim(printable(id)),
            ]);
            for (const line of table(rows)) output.line(line);
          }
          return exitCodes.done;
        }),
      );
    });
}

/** Of a delivery that tells of many refs: a table is for looking, `--json` has all. */
const shownOfMany = 3;

function first(texts: readonly string[], between: string): string {
  const more = texts.length - shownOfMany;
  return texts.slice(0, shownOfMany).join(between) + (more > 0 ? ` and ${more} more` : '');
}

async function run({ api, output }: Session, project: string, flags: RunFlags) {
  const request = {
    project: { project },
    run: newRunId(),
    ref: flags.ref ?? '',
    inputs: parsePairs(flags.input ?? [], '--input', 'target=staging'),
  };
  return untilInterrupted(async (signal) => {
    const answer = await askAgain(() => api.projects.run(request, { timeoutMs: slowMs }), { output, signal });
    for (const warning of answer.warnings ?? []) output.note(warning);
    const { run: id = request.run } = answer;
    if (flags.follow === true) {
      if (output.json) output.data({ run: id });
      return followRun({ api, output, signal, run: { run: id, projectName: '' } });
    }
    if (output.json) output.data({ run: id });
    else {
      output.line(id);
      output.note(`  gantry watch ${id.slice(0, 8)}    follow it live`);
    }
    return exitCodes.done;
  });
}

function configureHook(command: Command): void {
  addClientOptions(
    command
      .command(`hook ${selected}`)
      .description(
        'Print a post-receive hook that tells of each push at once. Beside it the hook needs a file with the secret that signs.',
      )
      .option('--install <dir>', 'write hook and secret into this bare repository on this machine')
      .option(
        '--secret-file <file>',
        'where the hook finds the secret (default: gantry-hook.secret beside it)',
      )
      .option('--rotate', 'make a new secret; the old one ends at once'),
  )
    .addHelpText(
      'after',
      examples(
        'gantry projects hook app --install /srv/git/app.git',
        'gantry projects hook app --secret-file /etc/gantry-hook.secret > post-receive',
        'gantry projects hook app --json        # URL and secret, for a hook of your own',
      ),
    )
    .action(async (project: string | undefined, flags: HookFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const answer = await api.projects.hook({
            project: { project: project ?? '' },
            rotate: flags.rotate === true,
          });
          const { url = '', secret = '' } = answer;
          const name = answer.project?.name ?? '';
          if (flags.install !== undefined) install(output, flags.install, { url, secret, name });
          else if (output.json) output.data({ url, secret });
          else {
            const secretFile = flags.secretFile ?? 'hooks/gantry-hook.secret';
            await output.write(postReceiveHook({ url, secretFile }));
            output.note(`save this as hooks/post-receive (mode 755) of the repository, and in ${secretFile}`);
            output.note('(mode 600, owned by whoever runs git there) this line:');
            output.note(secret);
          }
          return exitCodes.done;
        }),
      );
    });
}

function install(
  output: Session['output'],
  directory: string,
  { url, secret, name }: { readonly url: string; readonly secret: string; readonly name: string },
): void {
  const hooks = path.join(path.resolve(directory), 'hooks');
  const hook = path.join(hooks, 'post-receive');
  const secretFile = path.join(hooks, 'gantry-hook.secret');
  try {
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    // One that somebody else wrote must not be lost.
    writeFileSync(hook, postReceiveHook({ url, secretFile }), { mode: 0o755, flag: 'wx' });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CliError(exitCodes.refused, `the hook cannot be installed: ${message}`, {
      cause: error,
      remedies: ['a hook that is there already: call both from a script of your own, or remove it'],
    });
  }
  if (output.json) output.data({ hook, secretFile, url });
  else {
    output.line(`${hook} tells ${url} of each push`);
    output.note(`git push to it once, then: gantry projects deliveries ${printable(name)}`);
  }
}

function showProject(output: Session['output'], project: Project__Output): void {
  if (output.json) {
    output.data(project);
    return;
  }
  for (const line of projectText(project, output.color)) output.line(line);
  for (const { name = '', secret = '' } of project.settings?.webhooks ?? []) {
    if (secret === '') continue;
    output.note('');
    output.note(`webhook ${name} signs what it sends with this secret, which is shown only now:`);
    output.note(`  ${secret}`);
  }
}
