/** Following a run live: the event stream, resumed where it broke, printed or passed on as JSON, to the run's end. */
import { backoffMs } from '../../../shared/async/backoff.js';
import { sleep } from '../../../shared/async/sleep.js';
import { isEnded } from '../../../shared/model/run.js';
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
import { followEventFromWire, type FollowEvent } from './watch-event.js';

export interface FollowRequest {
  readonly api: RunsApi;
  readonly output: Output;
  readonly run: RunSelector;
  /** Aborts by Ctrl-C: the run goes on. */
  readonly signal: AbortSignal;
}

/** How long a coordinator may be away before following gives up: restarts and failovers take seconds. */
const patienceMs = 120_000;
/** After so long without an event it is said what stages wait for. */
const quietMs = 3000;

/** Resolves with the exit code that the run's end has; throws `CliError` with 130 when the signal aborts first. */
export async function followRun({ api, output, run, signal }: FollowRequest): Promise<ExitCode> {
  const printer = new FollowPrinter({ color: output.color });
  let selector = run;
  let named = '';
  for await (const event of withQuiet(watchEvents(api, run, signal, output), quietMs)) {
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

/** Every event up to the run's end, although the coordinator restarts meanwhile. Ends early when the signal aborts. */
export async function* watchEvents(
  api: RunsApi,
  run: RunSelector,
  signal: AbortSignal,
  output: Pick<Output, 'note'>,
): AsyncIterable<FollowEvent> {
  let selector = run;
  let sequence = 0;
  let ended = false;
  let failures = 0;
  let awaySince: number | undefined;
  while (!signal.aborted) {
    try {
      for await (const message of api.watch({ run: selector, afterSequence: sequence }, signal)) {
        if (awaySince !== undefined) output.note('connected again');
        awaySince = undefined;
        failures = 0;
        const event = followEventFromWire(message);
        if (event === undefined) continue;
        if (event.kind === 'state') selector = { run: event.run.run, projectName: '' };
        sequence = Math.max(sequence, event.sequence);
        ended ||=
          (event.kind === 'run' && isEnded(event.status)) ||
          (event.kind === 'state' && isEnded(event.run.status));
        yield event;
      }
      if (ended) return;
    } catch (error) {
      const away = error instanceof CliError && error.exitCode === exitCodes.unreachable;
      // Nothing was seen yet: whoever typed the command wants to know at once.
      if (!away || sequence === 0) throw error;
      if (ended) return;
      if (awaySince === undefined) output.note(`${error.message}; trying again`);
      awaySince ??= Date.now();
      if (Date.now() - awaySince > patienceMs) throw error;
    }
    try {
      await sleep(backoffMs({ firstMs: 100, maxMs: 2000 }, failures++, Math.random()), signal);
    } catch {
      return; // aborted
    }
  }
}
