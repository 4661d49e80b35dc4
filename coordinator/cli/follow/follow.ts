/** Following a run live: the event stream, resumed where it broke, printed or passed on as JSON, to the run's end. */
import { runFromWire } from '../../../shared/wire/run-view.js';
import type { RunSelector } from '../../../shared/wire/gen/gantry/v1/RunSelector.js';
import { CliError } from '../cli-error.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import type { RunsApi } from '../grpc-client.js';
import type { Output } from '../output.js';
import { readTail, tailLines } from './log-tail.js';
import { nextCommands } from './next-commands.js';
import { FollowPrinter } from './printer.js';
import { withQuiet } from './quiet.js';
import { exitCodeOfRun } from './run-end.js';
import { watchEvents } from './watch-events.js';
import type { FollowEvent } from './watch-event.js';

export interface FollowRequest {
  readonly api: RunsApi;
  readonly output: Output;
  readonly run: RunSelector;
  /** Aborts by Ctrl-C: the run goes on. */
  readonly signal: AbortSignal;
}

/** After so long without an event it is said what stages wait for. */
const quietMs = 3000;

/** Resolves with the exit code that the run's end has; throws `CliError` with 130 when the signal aborts first. */
export async function followRun({ api, output, run, signal }: FollowRequest): Promise<ExitCode> {
  const printer = new FollowPrinter({ color: output.color });
  let selector = run;
  let named = '';
  for await (const event of withQuiet(watchEvents({ api, run, signal, output }), quietMs)) {
    if (event === 'quiet') {
      // Nothing happens: then whoever looks wants to know what it waits for.
      if (output.json) continue;
      for (const waiting of await askWhy(api, selector)) {
        for (const line of printer.print(waiting)) output.line(line.text);
      }
      continue;
    }
    if (event.kind === 'state') {
      // From here on it is this run, also when a newer one becomes the latest.
      selector = { run: event.run.run, projectName: '' };
      named = event.run.run;
    }
    if (output.json) {
      output.data(event);
      continue;
    }
    for (const line of printer.print(event)) {
      output.line(line.text);
      if (line.tail === undefined) continue;
      const tail = await readTail(api, selector, line.tail, signal);
      for (const text of tailLines(tail, { color: output.color })) output.line(text);
    }
  }
  if (signal.aborted) throw interrupted(named);
  const ended = runFromWire(await api.show(selector));
  if (!output.json) for (const line of nextCommands(ended)) output.line(line);
  return exitCodeOfRun(ended);
}

/** What stages wait for, as the events that would say it. Never an error: the events themselves go on. */
async function askWhy(api: RunsApi, run: RunSelector): Promise<readonly FollowEvent[]> {
  try {
    const { stages = [] } = await api.why({ run, stage: '' });
    return stages
      .filter((stage) => stage.status === 'waiting')
      .map(({ stage = 0, title = '', reasons = [] }) => ({
        sequence: 0,
        at: new Date().toISOString(),
        kind: 'stage',
        stage,
        title,
        status: 'waiting',
        failure: null,
        waitingFor: reasons,
        whySkipped: null,
      }));
  } catch (error) {
    if (error instanceof CliError) return [];
    throw error;
  }
}

export function interrupted(run: string): CliError {
  const name = run === '' ? '' : ` ${run.slice(0, 8)}`;
  return new CliError(exitCodes.interrupted, `interrupted; the run goes on`, {
    remedies: [`follow it again: gantry watch${name}`, `end it: gantry cancel${name}`],
  });
}
