/** What every command that talks to a coordinator has: where it writes, whom it asks, and when it is interrupted. */
import { forMany } from '../../shared/async/for-many.js';
import type { Command } from 'commander';
import { resolveConnection, type ConnectionFlags } from './connection.js';
import type { ExitCode } from './exit-codes.js';
import { connect, type RunsApi } from './grpc-client.js';
import { createOutput, type Output } from './output.js';

export interface ClientFlags extends ConnectionFlags {
  readonly json?: boolean;
}

export interface Session {
  readonly api: RunsApi;
  readonly output: Output;
}

export function addClientOptions(command: Command): Command {
  return command
    .option('--json', 'for scripts: one JSON document a line')
    .option('--coordinator <host:port>', 'default: GANTRY_COORDINATOR, the current context, 127.0.0.1:7420')
    .option('--token <token>', 'default: GANTRY_TOKEN, or that of the context')
    .option(
      '--ca <file>',
      'authority of the coordinator’s certificate (PEM); default: GANTRY_CA, the context',
    )
    .option('--context <name>', 'another than the current context');
}

export async function withCoordinator(
  flags: ClientFlags,
  work: (session: Session) => Promise<ExitCode>,
): Promise<ExitCode> {
  const output = createOutput({ json: flags.json === true });
  const api = connect(resolveConnection(flags, process.env));
  try {
    return await work({ api, output });
  } finally {
    api.close();
  }
}

/** SIGHUP: the terminal is closed. */
const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `work` with a signal that aborts at the first Ctrl-C (or SIGTERM, SIGHUP); a second one ends the process at once, in
 * case the first finds nobody listening.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  forMany(controller.signal);
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error('interrupted'));
  };
  for (const name of interruptions) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of interruptions) process.off(name, onSignal);
  }
}
