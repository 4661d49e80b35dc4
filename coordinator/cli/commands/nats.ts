import type { Command } from 'commander';
import { join, resolve } from 'node:path';
import { openKeys } from '../../access/keys.js';
import { parseHostPort } from '../../config.js';
import { initNats } from '../../fleet/nats-credentials.js';
import { CliError, messageOf } from '../cli-error.js';
import { examples } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { createOutput } from '../output.js';
import { keepOwnToken } from '../user-token.js';

interface InitFlags {
  readonly listen: string;
  readonly advertise?: string;
  readonly store?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly prefix?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command.description('A NATS server for Gantry.');
  command
    .command('init <dir>')
    .description(
      'Write keys and the configuration of a NATS server that trusts this installation. Safe to repeat: keys stay.',
    )
    .option('--listen <host:port>', 'where the server will listen', '127.0.0.1:7422')
    .option('--advertise <host:port>', 'address that clients are told to use')
    .option('--store <dir>', 'where JetStream keeps its streams (default: DIR/nats)')
    .option('--tls-cert <file>', 'certificate chain of the server')
    .option('--tls-key <file>', 'its key')
    .option('--prefix <word>', 'prefix of subjects and streams, when several installations share a server')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      examples('gantry nats init /etc/gantry --listen 10.0.0.2:4222 --tls-cert nats.pem --tls-key nats.key'),
    )
    .action(async (directory: string, flags: InitFlags) => {
      const output = createOutput({ json: flags.json === true });
      const listen = parseHostPort(flags.listen);
      if (listen === undefined)
        throw new CliError(exitCodes.usage, `--listen ${flags.listen}: expected HOST:PORT`);
      if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined)) {
        throw new CliError(exitCodes.usage, '--tls-cert and --tls-key go together: give both or neither');
      }
      const root = resolve(directory);
      try {
        const made = await initNats(root, {
          listenHost: listen.host,
          port: listen.port,
          storeDir: flags.store ?? join(root, 'nats'),
          ...(flags.advertise === undefined ? {} : { advertise: flags.advertise }),
          ...(flags.tlsCert === undefined || flags.tlsKey === undefined
            ? {}
            : { tls: { certFile: resolve(flags.tlsCert), keyFile: resolve(flags.tlsKey) } }),
          ...(flags.prefix === undefined ? {} : { prefix: flags.prefix }),
        });
        const keys = await openKeys(join(root, 'keys'));
        const { file: tokenFile } = keepOwnToken(keys);
        if (output.json) {
          output.data({
            config: made.configFile,
            credentials: made.credsFile,
            url: made.url,
            keys: keys.directory,
            tokenFile,
          });
          return;
        }
        output.line(`configuration   ${made.configFile}${made.changed ? '' : '  (unchanged)'}`);
        output.line(
          `keys            ${keys.directory}  (copy it to every coordinator; keys/operator is needed by no daemon)`,
        );
        output.line(`your token      ${tokenFile}`);
        output.line('');
        output.line('Next:');
        output.line(`  nats-server -c ${made.configFile}`);
        output.line(`  gantry coordinator --keys ${keys.directory} --nats ${made.url} --s3-endpoint URL`);
        output.line(`  GANTRY_TOKEN=$(cat ${tokenFile}) gantry runs`);
      } catch (error) {
        if (error instanceof CliError) throw error;
        throw new CliError(exitCodes.refused, `${root} cannot be set up: ${messageOf(error)}`, {
          cause: error,
        });
      }
    });
}
