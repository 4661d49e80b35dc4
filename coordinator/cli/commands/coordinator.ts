import type { Command } from 'commander';
import { createLog } from '../../../shared/log.js';
import {
  addCoordinatorOptions,
  ConfigError,
  readCoordinatorConfig,
  type CoordinatorConfig,
} from '../../config.js';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { untilInterrupted } from '../session.js';

export function configure(command: Command): void {
  addCoordinatorOptions(command)
    .option('--json', 'log as JSON lines also on a terminal')
    .description(
      'The coordinator daemon. It needs NATS with JetStream and S3-compatible storage, and keeps nothing itself.',
    )
    .addHelpText(
      'after',
      examples(
        'gantry coordinator --keys /var/lib/gantry/keys --nats nats://10.0.0.2:4222 --s3-endpoint https://s3.example.org \\',
        '  --grpc-listen 0.0.0.0:7420 --advertise ci.example.org --tls-cert ci.pem --tls-key ci.key',
      ),
    )
    .action(async (flags: Readonly<Record<string, unknown>>) => {
      const pretty = process.stderr.isTTY && flags['json'] !== true;
      try {
        exits(await run(readCoordinatorConfig(flags, process.env, pretty)));
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        throw new CliError(exitCodes.usage, error.problems.join('\n'), {
          remedies: ['gantry coordinator --help'],
          cause: error,
        });
      }
    });
}

/** Resolves when it was told to stop and has; otherwise it says why it ends, and whoever keeps it running starts it again. */
async function run(config: CoordinatorConfig): Promise<ExitCode> {
  const log = createLog({ name: 'coordinator', level: config.logLevel, pretty: config.logPretty });
  return untilInterrupted(async (signal) => {
    try {
      // All that a coordinator is made of takes a second to load, which its help need not.
      const { serve } = await import('../../serve.js');
      const serving = await serve(config, log, signal);
      await serving.ended;
      log.info('stopped');
      return exitCodes.done;
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      if (signal.aborted) return exitCodes.done;
      log.fatal({ err: error }, 'the coordinator ends');
      return exitCodes.ours;
    }
  });
}
