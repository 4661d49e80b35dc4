import type { Command } from 'commander';
import { resolve } from 'node:path';
import { BlobError } from '../../../shared/blob/blob-error.js';
import { bytesOfFilePath } from '../../../shared/blob/file-path.js';
import { HttpTransfer } from '../../../shared/blob/http-transfer.js';
import type { RunSelector } from '../../../shared/wire/gen/gantry/v1/RunSelector.js';
import { runFromWire } from '../../../shared/wire/run-view.js';
import { chooseFiles, fetchFiles } from '../artifacts/fetch-artifacts.js';
import { artifactFromMessage, type RemoteArtifact } from '../artifacts/remote-artifact.js';
import { SafeDirectory } from '../artifacts/safe-directory.js';
import { CliError, messageOf } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { resolveConnection } from '../connection.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { count, size, table } from '../format.js';
import type { RunsApi } from '../grpc-client.js';
import { parseCell, selectRun } from '../run-selector.js';
import {
  addClientOptions,
  untilInterrupted,
  withCoordinator,
  type ClientFlags,
  type Session,
} from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';

interface CellFlags extends ClientFlags {
  readonly cell?: readonly string[];
}
interface GetFlags extends CellFlags {
  readonly output?: string;
}

export function configure(command: Command): void {
  command.description('What stages kept: list it, fetch it.');
  addClientOptions(
    command
      .command('ls')
      .argument('[run]', 'id or its beginning; left out: the latest of this repository')
      .argument('[stage]', 'number or name; left out: all')
      .option('--cell <k=v>', 'of a matrix: the stage with this value; repeatable', collect)
      .description('List artifacts and their files.'),
  )
    .addHelpText(
      'after',
      examples('gantry artifacts ls', "gantry artifacts ls k3f7 --json | jq -r '.artifacts[].files[].path'"),
    )
    .action(async (run: string | undefined, stage: string | undefined, flags: CellFlags) => {
      exits(
        await withCoordinator(flags, async (session) => {
          const artifacts = await find(session, { run, stage, name: undefined, flags, presign: false });
          list(session, artifacts);
          return exitCodes.done;
        }),
      );
    });
  addClientOptions(
    command
      .command('get')
      .argument('<run>', 'id or its beginning')
      .argument('[stage]', 'number or name; left out: all')
      .argument('[name]', 'of the artifact; left out: all')
      .argument('[path]', 'one file of it, or a directory; left out: all')
      .option(
        '-o, --output <dir>',
        'where to (default: here); files get the paths that they had in the workspace',
      )
      .option('--cell <k=v>', 'of a matrix: the stage with this value; repeatable', collect)
      .description('Fetch artifacts. Every file is verified against its SHA-256 before it appears.'),
  )
    .addHelpText(
      'after',
      examples(
        'gantry artifacts get k3f7 package wheel -o out',
        'gantry artifacts get k3f7 test coverage htmlcov/index.html',
      ),
    )
    .action(
      async (
        run: string,
        stage: string | undefined,
        name: string | undefined,
        path: string | undefined,
        flags: GetFlags,
      ) => {
        exits(await withCoordinator(flags, (session) => get(session, { run, stage, name, path, flags })));
      },
    );
}

interface Which {
  readonly run: string | undefined;
  readonly stage: string | undefined;
  readonly name: string | undefined;
  readonly flags: CellFlags;
  readonly presign: boolean;
}

async function find({ api }: Session, which: Which): Promise<readonly RemoteArtifact[]> {
  const run = await selectRun(which.run);
  const cell = parseCell(which.flags.cell ?? []);
  const stages =
    Object.keys(cell).length === 0 ? [which.stage ?? ''] : await stagesOfCell(api, run, which.stage, cell);
  const artifacts: RemoteArtifact[] = [];
  for (const stage of stages) {
    const answer = await api.artifacts({ run, stage, name: which.name ?? '', presign: which.presign });
    artifacts.push(...(answer.artifacts ?? []).map(artifactFromMessage));
  }
  return artifacts;
}

async function stagesOfCell(
  api: RunsApi,
  run: RunSelector,
  stage: string | undefined,
  cell: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const view = runFromWire(await api.show(run));
  const found = view.stages.filter(
    (candidate) =>
      (stage === undefined || candidate.name === stage || String(candidate.number) === stage) &&
      Object.entries(cell).every(([key, value]) => candidate.cell[key] === value),
  );
  if (found.length > 0) return found.map((one) => String(one.number));
  throw new CliError(
    exitCodes.notFound,
    `no stage ${stage ?? ''} has ${Object.entries(cell)
      .map(([k, v]) => `${k}=${v}`)
      .join(', ')}`,
    {
      remedies: [`the stages: ${view.stages.map((one) => one.title).join(', ')}`],
    },
  );
}

const jsonFiles = (artifact: RemoteArtifact): readonly object[] =>
  artifact.files.map((file) => ({
    path: bytesOfFilePath(file).toString(),
    mode: file.mode,
    size: file.size,
    sha256: file.sha256,
    ...(file.link === undefined ? {} : { link: file.link }),
  }));

function list({ output }: Session, artifacts: readonly RemoteArtifact[]): void {
  if (output.json) {
    output.data({
      artifacts: artifacts.map((artifact) => ({
        stage: artifact.stage,
        stageNumber: artifact.stageNumber,
        name: artifact.name,
        files: jsonFiles(artifact),
      })),
    });
    return;
  }
  if (artifacts.length === 0) output.note('no artifacts (a stage’s artifacts are there once it has ended)');
  for (const artifact of artifacts) {
    const bytes = artifact.files.reduce((sum, file) => sum + file.size, 0);
    output.line(
      `${printable(artifact.stage)} · ${artifact.name}  ${count(artifact.files.length, 'file')}, ${size(bytes)}`,
    );
    const rows = artifact.files.map((file) => [
      `  ${(file.mode & 0o777).toString(8)}`,
      size(file.size).padStart(9),
      file.sha256.slice(0, 12),
      printable(bytesOfFilePath(file).toString()) +
        (file.link === undefined ? '' : ` → ${printable(file.link)}`),
    ]);
    for (const line of table(rows)) output.line(line);
  }
}

interface Getting {
  readonly run: string;
  readonly stage: string | undefined;
  readonly name: string | undefined;
  readonly path: string | undefined;
  readonly flags: GetFlags;
}

async function get(session: Session, { run, stage, name, path, flags }: Getting): Promise<ExitCode> {
  const { output } = session;
  const artifacts = await find(session, { run, stage, name, flags, presign: true });
  if (artifacts.length === 0) {
    throw new CliError(
      exitCodes.notFound,
      `there is no such artifact${name === undefined ? '' : ` (${name})`}`,
      {
        remedies: [`see what there is: gantry artifacts ls ${run}`],
      },
    );
  }
  const wanted = chooseFiles(artifacts, path);
  const directory = resolve(flags.output ?? '.');
  return untilInterrupted(async (signal) => {
    const ca = resolveConnection(flags, process.env).tls?.ca;
    const transfer = new HttpTransfer(ca === undefined ? {} : { ca });
    const into = await openDirectory(directory);
    try {
      for (const one of wanted) await fetchFiles(one, into, { transfer, signal });
    } catch (error) {
      if (signal.aborted)
        throw new CliError(exitCodes.interrupted, 'interrupted; files that are there are whole', {
          cause: error,
        });
      if (error instanceof BlobError) {
        throw new CliError(exitCodes.ours, error.message, {
          remedies: ['`gantry doctor` checks the storage as this machine reaches it'],
          cause: error,
        });
      }
      throw error;
    } finally {
      await into.close();
      transfer.close();
    }
    const files = wanted.flatMap(({ artifact, files: of }) => jsonFiles({ ...artifact, files: of }));
    if (output.json) output.data({ directory, files });
    else output.line(`${count(files.length, 'file')} fetched to ${directory}, all verified`);
    return exitCodes.done;
  });
}

async function openDirectory(directory: string): Promise<SafeDirectory> {
  try {
    return await SafeDirectory.open(directory);
  } catch (error) {
    throw new CliError(exitCodes.usage, `cannot write to ${directory}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
