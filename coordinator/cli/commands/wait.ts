import type { Command } from 'commander';
import { shortRunId } from '../../../shared/model/ids.js';
import { runFromWire } from '../../../shared/wire/run-view.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { interrupted } from '../follow/follow.js';
import { exitCodeOfRun } from '../follow/run-end.js';
import { watchEvents } from '../follow/watch-events.js';
import type { RunsApi } from '../grpc-client.js';
import type { Output } from '../output.js';
import { selectRun } from '../run-selector.js';
import { addClientOptions, untilInterrupted, withCoordinator, type ClientFlags } from '../session.js';

interface WaitFlags extends ClientFlags {
  readonly timeout?: string;
}

export function configure(command: Command): void {
  addClientOptions(
    command
      .argument('[run...]', 'ids or their beginnings; left out: the latest of this repository')
      .option('--timeout <seconds>', 'wait no longer than this'),
  )
    .description(
      'Wait until all of the runs have ended. The exit code is that of the first one that did not succeed.',
    )
    .addHelpText('after', examples('gantry wait k3f7 m2xa', 'gantry wait --timeout 600 && ./deploy.sh'))
    .action(async (runs: readonly string[], flags: WaitFlags) => {
      exits(
        await withCoordinator(flags, ({ api, output }) =>
          untilInterrupted(async (interrupt) => {
            const timeout = flags.timeout === undefined ? undefined : seconds(flags.timeout);
            const signal = timeout === undefined ? interrupt : AbortSignal.any([interrupt, timeout]);
            const wanted = runs.length === 0 ? [undefined] : runs;
            const codes = await Promise.all(wanted.map((run) => waitFor(run, { api, output, signal })));
            if (interrupt.aborted) throw interrupted(runs.length === 1 ? (runs[0] ?? '') : '');
            if (timeout?.aborted === true) {
              throw new CliError(
                exitCodes.refused,
                `after ${flags.timeout ?? ''} s not all of the runs have ended; they go on`,
              );
            }
            return codes.find((code) => code !== exitCodes.done) ?? exitCodes.done;
          }),
        ),
      );
    });
}

async function waitFor(
  run: string | undefined,
  { api, output, signal }: { readonly api: RunsApi; readonly output: Output; readonly signal: AbortSignal },
): Promise<ExitCode> {
  let selector = await selectRun(run);
  for await (const event of watchEvents({ api, run: selector, signal, output })) {
    if (event.kind === 'state') selector = { run: event.run.run, projectName: '' };
  }
  if (signal.aborted) return exitCodes.done;
  const ended = runFromWire(await api.show(selector));
  if (output.json) output.data(ended);
  else output.line(`run ${shortRunId(ended.run)} ${ended.status}`);
  return exitCodeOfRun(ended);
}

function seconds(text: string): AbortSignal {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || value > 2_000_000) {
    throw new CliError(exitCodes.usage, `--timeout ${text}: expected seconds`);
  }
  return AbortSignal.timeout(value * 1000);
}
