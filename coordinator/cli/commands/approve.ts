import type { Command } from 'commander';
import { shortRunId } from '../../../shared/model/ids.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { chooseDeployment, type Chosen } from '../environments/choose-deployment.js';
import { environmentFromWire } from '../environments/environment-from-wire.js';
import { deploymentLines } from '../environments/environment-text.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { colors } from '../output.js';
import {
  addClientOptions,
  untilInterrupted,
  withCoordinator,
  type ClientFlags,
  type Session,
} from '../session.js';
import { askAgain } from '../submit/submit-run.js';

interface ApproveFlags extends ClientFlags {
  readonly project?: string;
  readonly commit?: string;
}

/** Where authors may not approve, the coordinator finds out who they are, the first time from the whole history. */
const slowMs = 300_000;

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[environment-or-run]', 'default: the only deployment that waits for approval')
      .description(
        'Let a deployment go to its environment. What is approved is exactly what is shown: its commit, artifacts, images, variables, secrets and the environment’s settings; when one of them changes before it is there, it waits for approval again.',
      )
      .option('--commit <commit>', 'only if this is the commit that waits: its id or the beginning of that')
      .option('--project <project>', 'default: that of this repository, or all'),
  )
    .addHelpText(
      'after',
      examples(
        'gantry approve production',
        'gantry approve production --commit 1a2b3c4',
        'gantry approve k3f7',
      ),
    )
    .action(async (word: string | undefined, flags: ApproveFlags) => {
      exits(
        await withCoordinator(flags, (session) =>
          untilInterrupted((signal) => approve(session, { ...flags, word }, signal)),
        ),
      );
    });
}

async function approve(
  session: Session,
  { word, project, commit }: ApproveFlags & { readonly word: string | undefined },
  signal: AbortSignal,
): Promise<ExitCode> {
  const { api, output } = session;
  const chosen = await chooseDeployment(api, word, project, {
    isMeant: ({ status }) => status === 'approval',
    what: 'waits for approval',
    command: 'gantry approve',
  });
  const at = {
    project: { project: chosen.environment.project },
    environment: chosen.environment.environment,
  };
  const name = printable(at.environment);
  // With its commits; and what is approved is what this says, not what the list said.
  const shown = environmentFromWire(await api.environments.show(at));
  const deployment = shown.open.find((one) => one.deployment === chosen.deployment.deployment);
  const binding = deployment?.binding ?? null;
  if (deployment === undefined || binding === null) throw gone(chosen);
  if (commit !== undefined && !deployment.commit.startsWith(commit.toLowerCase())) {
    throw new CliError(
      exitCodes.refused,
      `${name} waits for the approval of ${deployment.commit.slice(0, 12)} (${printable(deployment.title)}), not of ${printable(commit)}`,
      { remedies: [`gantry environments show ${name}`] },
    );
  }
  const request = { environment: at, deployment: deployment.deployment, binding };
  const answer = await askAgain(() => api.environments.approve(request, { timeoutMs: slowMs }), {
    output,
    signal,
  });
  const { again = false, run = '' } = answer;
  if (output.json) {
    output.data({
      ...at,
      project: at.project.project,
      deployment: deployment.deployment,
      run,
      commit: deployment.commit,
      again,
    });
    return exitCodes.done;
  }
  output.line(`${again ? 'approved before' : 'approved'}: deployment ${deployment.deployment} to ${name}`);
  const after = environmentFromWire(await api.environments.show(at));
  const now = [...after.open, ...after.history].find((one) => one.deployment === deployment.deployment);
  const options = { color: output.color, now: Date.now() };
  for (const line of deploymentLines(now ?? deployment, options, colors(output.color))) output.line(line);
  output.note(`  gantry watch ${shortRunId(deployment.run)}    follow it`);
  output.note(`  gantry environments show ${name}`);
  return exitCodes.done;
}

const gone = ({ environment, deployment }: Chosen): CliError =>
  new CliError(
    exitCodes.refused,
    `deployment ${deployment.deployment} to ${printable(environment.environment)} does not wait for approval any more`,
    { remedies: [`gantry environments show ${printable(environment.environment)}`] },
  );
