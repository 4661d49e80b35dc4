import type { Command } from 'commander';
import { CliError } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { interrupted } from '../follow/follow.js';
import { createLogReader } from '../follow/log-reader.js';
import { jsonSink, rawSink, textSink, type LogSink } from '../follow/log-sinks.js';
import { pieceFromWire } from '../follow/log-piece.js';
import { parseCell, selectRun } from '../run-selector.js';
import {
  addClientOptions,
  untilInterrupted,
  withCoordinator,
  type ClientFlags,
  type Session,
} from '../session.js';

interface LogsFlags extends ClientFlags {
  readonly cell?: readonly string[];
  readonly attempt?: string;
  readonly tail?: string;
  readonly follow?: boolean;
  readonly raw?: boolean;
}

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[run]', 'id or its beginning; left out: the latest of this repository')
      .argument('[stage]', 'number or name; left out: all')
      .argument('[step]', 'number or name; left out: all')
      .option('-f, --follow', 'go on with what comes, until the run has ended')
      .option('--raw', 'the exact bytes, nothing else')
      .option('--cell <k=v>', 'of a matrix: the stage with this value; repeatable', collect)
      .option('--attempt <n>', 'of an earlier attempt than the latest')
      .option('--tail <bytes>', 'only about the last so many bytes of each step'),
  )
    .description(
      'What the steps of a run wrote: stdout and stderr in their order, without control sequences but colour.',
    )
    .addHelpText(
      'after',
      examples(
        'gantry logs                              # all of the latest run of this repository',
        'gantry logs k3f7 test --cell python=3.12 --follow',
        'gantry logs k3f7 test 2 --raw > test.log # exact bytes of step 2',
        'gantry logs k3f7 --json | jq -r .text',
      ),
    )
    .action(
      async (
        run: string | undefined,
        stage: string | undefined,
        step: string | undefined,
        flags: LogsFlags,
      ) => {
        exits(
          await withCoordinator(flags, (session) =>
            untilInterrupted((signal) => logs(session, { run, stage, step, flags, signal })),
          ),
        );
      },
    );
}

interface LogsOf {
  readonly run: string | undefined;
  readonly stage: string | undefined;
  readonly step: string | undefined;
  readonly flags: LogsFlags;
  readonly signal: AbortSignal;
}

async function logs(
  { api, output }: Session,
  { run, stage, step, flags, signal }: LogsOf,
): Promise<ExitCode> {
  if (flags.raw === true && flags.json === true) {
    throw new CliError(
      exitCodes.usage,
      '--raw and --json exclude each other: the bytes of a step are not JSON',
    );
  }
  const attempt = wholeNumber(flags.attempt, '--attempt');
  const tailBytes = wholeNumber(flags.tail, '--tail');
  const selector = await selectRun(run);
  const sink: LogSink =
    flags.raw === true
      ? rawSink(output)
      : output.json
        ? jsonSink(output)
        : textSink(output, { oneStep: step !== undefined });
  const reader = createLogReader({ fromStart: tailBytes === 0 });
  let missing = 0;
  let some = false;
  const request = {
    run: selector,
    stage: stage ?? '',
    cell: { ...parseCell(flags.cell ?? []) },
    step: step ?? '',
    follow: flags.follow === true,
    attempt,
    tailBytes,
  };
  for await (const message of api.logs(request, signal)) {
    for (const read of reader.take(pieceFromWire(message))) {
      some = true;
      if (read.kind === 'bytes') await sink.bytes(read.piece);
      else {
        missing += 1;
        await sink.missing(read.piece, read.message);
      }
    }
  }
  await sink.end();
  if (signal.aborted)
    throw flags.follow === true
      ? interrupted(selector.run ?? '')
      : new CliError(exitCodes.interrupted, 'interrupted');
  if (!some && flags.raw !== true && !output.json)
    output.note('nothing was written yet; --follow waits for it');
  if (missing > 0 && flags.raw === true) {
    throw new CliError(exitCodes.notFound, 'the log is not complete: what is missing is said above');
  }
  return exitCodes.done;
}

function wholeNumber(text: string | undefined, option: string): number {
  if (text === undefined) return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CliError(exitCodes.usage, `${option} ${JSON.stringify(text)}: expected a number`);
}
