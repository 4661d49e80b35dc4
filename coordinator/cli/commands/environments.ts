import type { Command } from 'commander';
import { printable } from '../../../shared/text/terminal-text.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { diffText } from '../environments/diff-text.js';
import {
  diffFromWire,
  environmentFromWire,
  type ShownEnvironment,
} from '../environments/environment-from-wire.js';
import { environmentTable, environmentText, inOrder } from '../environments/environment-text.js';
import { addSettingsOptions, settingsFrom, type SettingsFlags } from '../environments/settings-flags.js';
import { exitCodes } from '../exit-codes.js';
import { selectProject } from '../gate/select-project.js';
import { addClientOptions, withCoordinator, type ClientFlags, type Session } from '../session.js';

interface PlaceFlags extends ClientFlags {
  readonly project?: string;
}
interface ReasonFlags extends PlaceFlags {
  readonly reason?: string;
}
interface SettleFlags extends ReasonFlags {
  readonly good?: boolean;
  readonly bad?: boolean;
}

const projectOption = ['--project <project>', 'default: that of this repository, or the only one'] as const;

export function configure(command: Command): void {
  command
    .description(
      'Where what landed is deployed: staging, production. A stage of the pipeline deploys by `environment: NAME`; what it takes to get there is set here.',
    )
    .addHelpText(
      'after',
      examples(
        'gantry environments add staging --url https://staging.example.org',
        'gantry environments add production --promotes-from staging --approval --not-author',
        'gantry environments show production',
      ),
    );
  configureSetting(command);
  configureLooking(command);
  configureDiff(command);
  configureActing(command);
  configureSettle(command);
}

function configureSetting(command: Command): void {
  addClientOptions(
    addSettingsOptions(
      command
        .command('add <environment>')
        .description('Add an environment. Without --approval what is green goes there by itself.')
        .option(...projectOption),
    ),
  )
    .addHelpText(
      'after',
      examples(
        'gantry environments add staging --url https://staging.example.org --branches main',
        'gantry environments add production --promotes-from staging --approvers ann,bob --not-author --rolls-back',
      ),
    )
    .action(async (environment: string, flags: SettingsFlags & PlaceFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const request = { ...(await select(api, environment, flags)), settings: settingsFrom(flags) };
          const added = environmentFromWire(await api.environments.add(request));
          if (output.json) output.data(added);
          else {
            output.line(`environment ${printable(environment)} is added`);
            output.note(`  a stage with \`environment: ${printable(environment)}\` deploys to it`);
            output.note(
              `  gantry secrets set NAME --environment ${printable(environment)}    gives it secrets of its own`,
            );
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    addSettingsOptions(
      command
        .command('set <environment>')
        .description(
          'Change what the flags say, and leave the rest. Approvals that were given before are void.',
        )
        .option(...projectOption),
    ),
  )
    .addHelpText(
      'after',
      examples(
        'gantry environments set production --differs URL,DB_PASSWORD',
        'gantry environments set staging --verify "./smoke.sh" --rolls-back',
      ),
    )
    .action(async (environment: string, flags: SettingsFlags & PlaceFlags) => {
      exits(
        await withCoordinator(flags, async (session) => {
          const { api, output } = session;
          const request = { ...(await select(api, environment, flags)), settings: settingsFrom(flags) };
          showOne(session, environmentFromWire(await api.environments.set(request)));
          if (!output.json) output.note(`  gantry environments show ${printable(environment)}`);
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('remove <environment>')
      .alias('rm')
      .description('Remove an environment, with its history and its secrets. What runs there goes on.')
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry environments remove review-1'))
    .action(async (environment: string, flags: PlaceFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.environments.remove((await select(api, environment, flags)).environment);
          if (output.json) output.data({ removed: environment });
          else output.line(`environment ${printable(environment)} is removed`);
          return exitCodes.done;
        }),
      );
    });
}

function configureLooking(command: Command): void {
  addClientOptions(
    command
      .command('ls')
      .description('All environments: what is there since when, and what waits for approval.')
      .option('--project <project>', 'those of this project only'),
  )
    .addHelpText('after', examples('gantry environments ls'))
    .action(async (flags: PlaceFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { project } = flags;
          const request = project === undefined ? { all: true } : { project: { project } };
          const { environments = [] } = await api.environments.list(request);
          const found = inOrder(environments.map(environmentFromWire));
          if (output.json) output.data({ environments: found });
          else if (found.length === 0) {
            output.note('no environments; add one with `gantry environments add staging`');
          } else {
            for (const line of environmentTable(found, { color: output.color, now: Date.now() }))
              output.line(line);
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('show <environment>')
      .description(
        'One environment: what is there since when, by whom, from which run, with which new commits; what waits, and for what.',
      )
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry environments show production'))
    .action(async (environment: string, flags: PlaceFlags) => {
      exits(
        await withCoordinator(flags, async (session) => {
          showOne(session, await showOf(session.api, environment, flags));
          return exitCodes.done;
        }),
      );
    });
}

function configureDiff(command: Command): void {
  addClientOptions(
    command
      .command('diff <environment> <other>')
      .description(
        'In what the deployments that are there now differ: commit, artifacts, images, steps, variables and secrets, by digest. Exit code 0: identical but for what may differ (--differs), 1: different, 4: nothing is there yet.',
      )
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry environments diff staging production'))
    .action(async (left: string, right: string, flags: PlaceFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const project = { project: await selectProject(api, flags.project) };
          const found = diffFromWire(await api.environments.diff({ project, left, right }));
          if (output.json) output.data(found);
          else for (const line of diffText(found, { left, right }, output.color)) output.line(line);
          return found.isIdentical ? exitCodes.done : exitCodes.runFailed;
        }),
      );
    });
}

function configureActing(command: Command): void {
  addClientOptions(
    command
      .command('hold <environment>')
      .description('Let nothing but rollbacks go there until somebody resumes.')
      .option('--reason <text>', 'shown to whoever asks why')
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry environments hold production --reason "the sale is on"'))
    .action(async (environment: string, flags: ReasonFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const request = { ...(await select(api, environment, flags)), reason: flags.reason ?? '' };
          await api.environments.hold(request);
          if (output.json) output.data({ held: true });
          else {
            output.line(
              `${printable(environment)} is held; \`gantry environments resume ${printable(environment)}\` lets deployments go there again`,
            );
          }
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('resume <environment>')
      .description('Let deployments go there again: ends a hold, and what a rollback left behind.')
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry environments resume production'))
    .action(async (environment: string, flags: PlaceFlags) => {
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          await api.environments.resume((await select(api, environment, flags)).environment);
          if (output.json) output.data({ held: false });
          else output.line(`deployments go to ${printable(environment)} again`);
          return exitCodes.done;
        }),
      );
    });
}

function configureSettle(command: Command): void {
  addClientOptions(
    command
      .command('settle <environment>')
      .description(
        'Say how a deployment came out of which nobody knows it: its agent was lost, or it was cut off. Look at the environment first; whoever settles it takes it upon them that its box may still be at work.',
      )
      .option('--good', 'it is deployed and works')
      .option('--bad', 'it is not')
      .option('--reason <text>', 'put on record')
      .option(...projectOption),
  )
    .addHelpText('after', examples('gantry environments settle production --good'))
    .action(async (environment: string, flags: SettleFlags) => {
      const { good = false, bad = false, reason = '' } = flags;
      if (good === bad) throw new CliError(exitCodes.usage, 'how did it come out? Say --good or --bad');
      exits(
        await withCoordinator(flags, async ({ api, output }) => {
          const { open } = await showOf(api, environment, flags);
          const unsettled =
            open.find(({ status }) => status === 'unknown') ??
            open.find(({ status }) => status === 'verifying');
          if (unsettled === undefined) {
            throw new CliError(
              exitCodes.refused,
              `it is known how every deployment to ${printable(environment)} came out`,
              { remedies: [`gantry environments show ${printable(environment)}`] },
            );
          }
          const { deployment } = unsettled;
          const outcome = good ? 'good' : 'bad';
          const at = await select(api, environment, flags);
          await api.environments.settle({ ...at, deployment, outcome, reason });
          if (output.json) output.data({ environment, deployment, outcome });
          else {
            output.line(`deployment ${deployment} to ${printable(environment)} is settled as ${outcome}`);
            output.note(
              good
                ? `  gantry environments show ${printable(environment)}`
                : `  gantry rollback ${printable(environment)}    goes back to what was verified`,
            );
          }
          return exitCodes.done;
        }),
      );
    });
}

async function select(api: Session['api'], environment: string, { project }: PlaceFlags) {
  return { environment: { project: { project: await selectProject(api, project) }, environment } };
}

async function showOf(
  api: Session['api'],
  environment: string,
  flags: PlaceFlags,
): Promise<ShownEnvironment> {
  return environmentFromWire(
    await api.environments.show((await select(api, environment, flags)).environment),
  );
}

function showOne({ output }: Session, environment: ShownEnvironment): void {
  if (output.json) output.data(environment);
  else {
    for (const line of environmentText(environment, { color: output.color, now: Date.now() }))
      output.line(line);
  }
}
