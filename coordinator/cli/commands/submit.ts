import type { Command } from 'commander';
import { resolve } from 'node:path';
import { normalizeRepositoryUrl, RepositoryUrlError } from '../../../shared/git/repository-url.js';
import type { SubmitRequest } from '../../../shared/wire/gen/gantry/v1/SubmitRequest.js';
import { renderDiagnostics } from '../../pipeline/render.js';
import { CliError } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { resolveConnection } from '../connection.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { followRun } from '../follow/follow.js';
import { connect, type RunsApi } from '../grpc-client.js';
import { createOutput, type Output } from '../output.js';
import { checkEnvironmentNames, parsePairs } from '../run-selector.js';
import { addClientOptions, untilInterrupted, type ClientFlags } from '../session.js';
import {
  checkStageNames,
  pipelineFile,
  readLocalTree,
  refuseTooMuch,
  treeNotes,
} from '../submit/local-tree.js';
import { sendTree } from '../submit/send-tree.js';
import { askAgain, newRunId } from '../submit/submit-run.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface SubmitFlags extends ClientFlags {
  readonly repo?: string;
  readonly commit?: string;
  readonly branch?: string;
  readonly env?: readonly string[];
  readonly input?: readonly string[];
  readonly stage?: readonly string[];
  readonly follow?: boolean;
  readonly yes?: boolean;
}

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[dir]', 'its tree is sent as it is, dirty or not; what git ignores is left out (default: .)')
      .option('--repo <url>', 'instead of a directory: a repository that coordinator and agents can reach')
      .option('--commit <ref>', 'with --repo: commit, branch or tag')
      .option('--branch <name>', 'branch that the run says it is of (default: the one checked out)')
      .option('--env <k=v>', 'variable for all steps, over those of the pipeline; repeatable', collect)
      .option('--input <k=v>', 'input of the pipeline; repeatable', collect)
      .option('--stage <name>', 'only this stage and what it needs; repeatable', collect)
      .option('-f, --follow', 'show it live to its end; the exit code says how it ended')
      .option('--yes', 'send more than 100 MB of untracked files'),
  )
    .description(
      'Run the pipeline of a directory as it is now, or of a commit of a repository. Answers once the run cannot get lost.',
    )
    .addHelpText(
      'after',
      examples(
        'gantry submit --follow',
        'gantry submit --repo https://example.org/app.git --commit main',
        'gantry submit --stage test --env VERBOSE=1',
      ),
    )
    .action(async (directory: string | undefined, flags: SubmitFlags) => {
      exits(await submit(directory, flags));
    });
}

interface Submission {
  readonly flags: SubmitFlags;
  readonly output: Output;
  readonly signal: AbortSignal;
}

async function submit(directory: string | undefined, flags: SubmitFlags): Promise<ExitCode> {
  const output = createOutput({ json: flags.json === true });
  const env = parsePairs(flags.env ?? [], '--env', 'VERBOSE=1');
  checkEnvironmentNames(env);
  const common: SubmitRequest = {
    run: newRunId(),
    env,
    inputs: parsePairs(flags.input ?? [], '--input', 'target=staging'),
    stages: [...(flags.stage ?? [])],
  };
  return untilInterrupted(async (signal) => {
    const submission: Submission = { flags, output, signal };
    try {
      const prepare =
        flags.repo === undefined
          ? await ofDirectory(resolve(directory ?? '.'), submission)
          : ofRepository(directory, flags.repo, submission);
      const connection = resolveConnection(flags, process.env);
      const api = connect(connection);
      try {
        const request = { ...common, ...(await prepare(api, connection.tls?.ca)) };
        return await send(api, request, submission);
      } finally {
        api.close();
      }
    } catch (error) {
      if (signal.aborted && !(error instanceof CliError)) {
        throw new CliError(exitCodes.interrupted, 'interrupted; nothing was submitted', { cause: error });
      }
      throw error;
    }
  });
}

type Prepare = (api: RunsApi, ca: string | undefined) => SubmitRequest | Promise<SubmitRequest>;

/** Everything that can be said without a network is said first. */
async function ofDirectory(directory: string, { flags, output, signal }: Submission): Promise<Prepare> {
  if (flags.commit !== undefined) {
    throw new CliError(exitCodes.usage, '--commit goes with --repo: a directory is sent as it is', {
      remedies: ['to run a commit of it: gantry submit --repo DIR --commit REF (with `up --repo-root DIR`)'],
    });
  }
  const local = await readLocalTree(directory, { signal });
  checkStageNames(flags.stage ?? [], local.stages);
  if (local.warnings.length > 0) {
    output.note(renderDiagnostics(local.warnings, { file: pipelineFile, color: false }));
  }
  for (const note of treeNotes(local.tree)) output.note(note);
  if (flags.yes !== true) refuseTooMuch(local.tree);
  return async (api, ca) => {
    const sent = await sendTree({ api, output, tree: local.tree, ca, signal });
    return {
      bundle: sent.source,
      pipelineText: local.pipelineText,
      pipelineFile,
      branch: flags.branch ?? sent.branch ?? '',
    };
  };
}

function ofRepository(directory: string | undefined, url: string, { flags }: Submission): Prepare {
  if (directory !== undefined) {
    throw new CliError(exitCodes.usage, `give a directory or --repo, not both (${directory})`);
  }
  const commit = flags.commit ?? flags.branch ?? '';
  if (commit === '') throw new CliError(exitCodes.usage, '--repo wants --commit: a commit, branch or tag');
  try {
    // A path is meant from here, not from where the coordinator runs.
    const given = /^\.{1,2}(\/|$)/.test(url) ? resolve(url) : url;
    const repository = normalizeRepositoryUrl(given);
    return () => ({ git: { url: repository.url, commit }, branch: flags.branch ?? '' });
  } catch (error) {
    if (error instanceof RepositoryUrlError)
      throw new CliError(exitCodes.usage, error.message, { cause: error });
    throw error;
  }
}

async function send(
  api: RunsApi,
  request: SubmitRequest,
  { flags, output, signal }: Submission,
): Promise<ExitCode> {
  // The server reads the pipeline of a remote commit first, which takes as long as a fetch does.
  const timeoutMs = request.git === undefined ? 20_000 : 120_000;
  const answer = await askAgain(() => api.submit(request, { timeoutMs }), { output, signal }).catch(
    (error: unknown) => {
      if (!signal.aborted) throw error;
      throw new CliError(
        exitCodes.interrupted,
        'interrupted before the coordinator answered: it may have accepted the run',
        {
          remedies: [`see: gantry show ${request.run ?? ''}`],
          cause: error,
        },
      );
    },
  );
  const run = answer.run ?? '';
  for (const warning of answer.warnings ?? []) output.note(`warning: ${printable(warning)}`);
  if (output.json) output.data({ run });
  if (flags.follow !== true) {
    if (!output.json) {
      const id = run.slice(0, 8);
      output.line(`run ${run}`);
      output.line(`  gantry watch ${id}   follow it live`);
      output.line(`  gantry logs ${id}    what its steps write`);
      output.line(`  gantry cancel ${id}  end it`);
    }
    return exitCodes.done;
  }
  return followRun({ api, output, run: { run, projectName: '' }, signal });
}
