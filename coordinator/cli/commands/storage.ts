import type { Command } from 'commander';
import { Option } from 'commander';
import { readFileSync } from 'node:fs';
import { createLog, logLevels } from '../../../shared/log.js';
import { openKeys } from '../../access/keys.js';
import { isLoopback, parseHostPort } from '../../config.js';
import { startStorage } from '../../storage/server.js';
import { CliError, messageOf } from '../cli-error.js';
import { examples } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { untilInterrupted } from '../session.js';

interface StorageFlags {
  readonly listen: string;
  readonly data?: string;
  readonly keys?: string;
  readonly region: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecure?: boolean;
  readonly logLevel: string;
  readonly json?: boolean;
}

const option = (flags: string, text: string, env: string): Option => new Option(flags, text).env(env);

export function configure(command: Command): void {
  command
    .addOption(
      option('--listen <host:port>', 'where to listen', 'GANTRY_STORAGE_LISTEN').default('127.0.0.1:7423'),
    )
    .addOption(option('--data <dir>', 'where objects are kept', 'GANTRY_STORAGE_DATA'))
    .addOption(
      option(
        '--keys <dir>',
        'directory with s3.key, made when missing; or GANTRY_S3_ACCESS_KEY and GANTRY_S3_SECRET_KEY',
        'GANTRY_KEYS',
      ),
    )
    .addOption(
      option('--region <name>', 'region that clients sign for', 'GANTRY_S3_REGION').default('us-east-1'),
    )
    .addOption(option('--tls-cert <file>', 'certificate chain', 'GANTRY_TLS_CERT'))
    .addOption(option('--tls-key <file>', 'its key', 'GANTRY_TLS_KEY'))
    .addOption(option('--insecure', 'listen off loopback without TLS', 'GANTRY_INSECURE'))
    .addOption(option('--log-level <level>', logLevels.join(' | '), 'GANTRY_LOG_LEVEL').default('info'))
    .option('--json', 'log as JSON lines also on a terminal')
    .description('A small S3 server that keeps objects as files: for one machine that has no other storage.')
    .addHelpText(
      'after',
      examples('gantry storage --data /var/lib/gantry/storage --keys /var/lib/gantry/keys'),
    )
    .action(run);
}

async function run(flags: StorageFlags): Promise<void> {
  const problems: string[] = [];
  const listen = parseHostPort(flags.listen);
  if (listen === undefined) problems.push(`--listen ${flags.listen}: expected HOST:PORT`);
  if (flags.data === undefined) problems.push('--data DIR is missing: where objects are kept');
  if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined))
    problems.push('--tls-cert and --tls-key go together');
  if (
    listen !== undefined &&
    !isLoopback(listen.host) &&
    flags.tlsCert === undefined &&
    flags.insecure !== true
  ) {
    problems.push(
      `--listen ${flags.listen}: what is stored would cross the network readable by all. Give --tls-cert and --tls-key, or say --insecure if the network is yours alone`,
    );
  }
  if (!logLevels.some((level) => level === flags.logLevel)) {
    problems.push(`--log-level ${flags.logLevel}: expected ${logLevels.join(' | ')}`);
  }
  const keys = await keysOf(flags, problems);
  const cert = readPem(flags.tlsCert, problems);
  const key = readPem(flags.tlsKey, problems);
  if (problems.length > 0 || listen === undefined || flags.data === undefined || keys === undefined) {
    throw new CliError(exitCodes.usage, problems.join('\n'), { remedies: ['gantry storage --help'] });
  }
  const log = createLog({
    name: 'storage',
    level: flags.logLevel,
    pretty: process.stderr.isTTY && flags.json !== true,
  });
  const storage = await startStorage({
    dataDir: flags.data,
    host: listen.host,
    port: listen.port,
    ...keys,
    region: flags.region,
    ...(cert === undefined || key === undefined ? {} : { tls: { cert, key } }),
    log,
  }).catch((error: unknown) => {
    throw new CliError(exitCodes.refused, `the storage cannot start: ${messageOf(error)}`, { cause: error });
  });
  await untilInterrupted(
    (signal) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  );
  await storage.close();
  log.info('storage has stopped');
}

async function keysOf(
  flags: StorageFlags,
  problems: string[],
): Promise<{ readonly accessKey: string; readonly secretKey: string } | undefined> {
  const accessKey = process.env['GANTRY_S3_ACCESS_KEY'] ?? '';
  const secretKey = process.env['GANTRY_S3_SECRET_KEY'] ?? '';
  if (accessKey !== '' && secretKey !== '') return { accessKey, secretKey };
  if (flags.keys !== undefined) return (await openKeys(flags.keys)).s3;
  problems.push(
    '--keys DIR is missing (or GANTRY_S3_ACCESS_KEY and GANTRY_S3_SECRET_KEY): nobody may come in without a key',
  );
  return undefined;
}

function readPem(file: string | undefined, problems: string[]): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    problems.push(`cannot read ${file}: ${messageOf(error)}`);
    return undefined;
  }
}
