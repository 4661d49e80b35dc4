import type { Command } from 'commander';
import { usersEnvironment } from '../../../shared/git/git-environment.js';
import { GitError, gitText } from '../../../shared/git/git-program.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { selectProject } from '../gate/select-project.js';
import { watchEntry } from '../gate/watch-entry.js';
import {
  addClientOptions,
  untilInterrupted,
  withCoordinator,
  type ClientFlags,
  type Session,
} from '../session.js';
import { askAgain, newRunId } from '../submit/submit-run.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface LandFlags extends ClientFlags {
  readonly project?: string;
  readonly target?: string;
  readonly push?: boolean;
  readonly watch?: boolean;
  readonly squash?: boolean;
  readonly merge?: boolean;
}

/** The first look at a large repository takes a while. */
const slowMs = 600_000;

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[branch]', 'default: the one that is checked out here')
      .description(
        'Queue a branch for its target: it lands when the merged result is green, and is not integrated when it is not. What counts is the branch on the remote.',
      )
      .option('--project <project>', 'default: that of this repository')
      .option('--target <branch>', 'what it is to land on; default: the project’s target')
      .option('--push', 'git push the branch to origin first')
      .option('--watch', 'follow it until it has landed or left the queue')
      .option('--squash', 'as one commit, whatever the project says')
      .option('--merge', 'as a merge commit, whatever the project says'),
  )
    .addHelpText(
      'after',
      examples('gantry land', 'gantry land login --push --watch', 'gantry land fix --target release/1.0'),
    )
    .action(async (branch: string | undefined, flags: LandFlags) => {
      exits(
        await withCoordinator(flags, (session) =>
          untilInterrupted((signal) => land(session, branch, flags, signal)),
        ),
      );
    });
}

async function land(session: Session, named: string | undefined, flags: LandFlags, signal: AbortSignal) {
  const { api, output } = session;
  if (flags.squash === true && flags.merge === true) {
    throw new CliError(exitCodes.usage, 'a branch lands by --squash or by --merge: give one of them');
  }
  const branch = named ?? (await git('symbolic-ref', '--quiet', '--short', 'HEAD'));
  if (branch === undefined) {
    throw new CliError(exitCodes.usage, 'which branch? None is checked out here: gantry land BRANCH');
  }
  if (flags.push === true) await push(session, branch);
  const project = await selectProject(api, flags.project);
  const request = {
    gate: { project: { project }, target: flags.target ?? '' },
    // Made here, so that asking again after an answer that got lost queues it once.
    entry: newRunId(),
    branch,
    method: flags.squash === true ? 'squash' : flags.merge === true ? 'merge' : '',
  };
  const answer = await askAgain(() => api.gate.land(request, { timeoutMs: slowMs }), { output, signal });
  const { target = '', entry = request.entry, commit = '', place = 0, again = false, paused = '' } = answer;
  const local = branch.startsWith('refs/')
    ? undefined
    : await git('rev-parse', '--quiet', '--verify', `refs/heads/${branch}`);
  if (local !== undefined && local !== commit) {
    output.note(
      `your ${printable(branch)} is at ${local.slice(0, 12)}, the remote’s at ${commit.slice(0, 12)}: that one is queued (--push sends yours first)`,
    );
  }
  if (paused !== '') output.note(`the gate of ${printable(target)} stands still: ${printable(paused)}`);
  if (output.json)
    output.data({ project: answer.project ?? '', target, entry, commit, place, again, paused });
  else {
    const where = place === 1 ? 'first in the queue' : `number ${place} in the queue`;
    output.line(
      `${printable(branch)} ${commit.slice(0, 12)} ${again ? 'is' : 'is queued'} for ${printable(target)}: ${where}`,
    );
  }
  if (flags.watch === true)
    return watchEntry(session, { project: answer.project ?? '', target, entry }, signal);
  if (!output.json) output.note('  gantry gate show    the queue, and what it waits for');
  return exitCodes.done;
}

async function push({ output }: Session, branch: string): Promise<void> {
  try {
    await gitText({
      args: ['push', '--quiet', 'origin', '--end-of-options', `refs/heads/${branch}:refs/heads/${branch}`],
      environment: usersEnvironment(),
    });
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    throw new CliError(exitCodes.refused, `${printable(branch)} cannot be pushed: ${error.stderr.trim()}`, {
      cause: error,
    });
  }
  output.note(`pushed ${printable(branch)}`);
}

/** Undefined: there is no such thing here, or no repository at all. */
async function git(...args: readonly string[]): Promise<string | undefined> {
  try {
    return await gitText({ args, environment: usersEnvironment() });
  } catch (error) {
    if (error instanceof GitError) return undefined;
    throw error;
  }
}
