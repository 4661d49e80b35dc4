/** What `gantry up` was asked for, completed once: nothing is optional afterwards but what may really be absent. */
import { resolve } from 'node:path';
import { isLoopback, parseHostPort, readMail } from '../../config.js';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import { dataDir, type DataDir } from './data-dir.js';
import type { Ports } from './up-file.js';

export interface UpFlags {
  readonly data?: string;
  readonly agents?: string;
  readonly slots?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
  readonly executor?: string;
  readonly ignoreImage?: boolean;
  readonly label?: readonly string[];
  readonly repoRoot?: readonly string[];
  readonly smtp?: string;
  readonly mailFrom?: string;
  readonly host?: string;
  readonly advertise?: string;
  readonly grpcPort?: string;
  readonly httpPort?: string;
  readonly natsPort?: string;
  readonly s3Port?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly insecure?: boolean;
  readonly keys?: string;
  readonly nats?: string;
  readonly natsCreds?: string;
  readonly natsCa?: string;
  readonly s3Endpoint?: string;
  readonly s3PublicEndpoint?: string;
  readonly s3Bucket?: string;
  readonly s3Region?: string;
  readonly logLevel?: string;
}

export interface UpOptions {
  readonly data: DataDir;
  readonly agents: number;
  readonly slots: number;
  readonly executor: 'docker' | 'host';
  readonly ignoreImage: boolean;
  readonly labels: readonly string[];
  readonly repoRoots: readonly string[];
  /** May hold a password. Absent: no mail. */
  readonly smtp?: string;
  readonly mailFrom?: string;
  readonly host: string;
  /** Host name or address that others reach this machine by. */
  readonly advertise: string;
  readonly askedPorts: Partial<Ports>;
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  readonly insecure: boolean;
  readonly keys: string;
  /** Present: an existing NATS is used and none is started. */
  readonly nats?: { readonly url: string; readonly creds?: string; readonly ca?: string };
  /** Present: an existing S3 is used and none is started. */
  readonly s3?: { readonly endpoint: string; readonly publicEndpoint: string };
  readonly s3Bucket: string;
  readonly s3Region: string;
  readonly logLevel: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Throws `CliError` with all that is wrong at once. */
export function completeUpOptions(flags: UpFlags, env: Env): UpOptions {
  const problems: string[] = [];
  const data = dataDir(flags.data, env);
  const number = (text: string | undefined, flag: string, usual: number, max: number): number => {
    if (text === undefined) return usual;
    const value = Number(text);
    if (Number.isInteger(value) && value >= 0 && value <= max) return value;
    problems.push(`${flag} ${text}: expected a number up to ${max}`);
    return usual;
  };
  const port = (text: string | undefined, name: keyof Ports): Partial<Ports> =>
    text === undefined ? {} : { [name]: number(text, `--${name}-port`, 0, 65_535) };
  const executor = flags.executor ?? env['GANTRY_EXECUTOR'] ?? 'docker';
  if (executor !== 'docker' && executor !== 'host')
    problems.push(`--executor ${executor}: expected docker or host`);
  const host = flags.host ?? '127.0.0.1';
  const tls = tlsOf(flags, problems);
  if (!isLoopback(host) && tls === undefined && flags.insecure !== true) {
    problems.push(
      `--host ${host}: tokens, code and logs would cross the network readable by all. ` +
        'Give --tls-cert and --tls-key, or say --insecure if the network is yours alone',
    );
  }
  const advertise = flags.advertise ?? host;
  if (advertise === '0.0.0.0' || advertise === '::') {
    problems.push(
      `--host ${host}: give --advertise NAME too, the name or address that others reach this machine by`,
    );
  }
  if (parseHostPort(advertise) !== undefined)
    problems.push('--advertise: a name or address without a port; the ports have flags of their own');
  if (flags.ignoreImage === true && executor !== 'host')
    problems.push('--ignore-image goes with --executor host only');
  for (const [flag, value] of [
    ['--s3-endpoint', flags.s3Endpoint],
    ['--s3-public-endpoint', flags.s3PublicEndpoint],
  ] as const) {
    if (value !== undefined && !/^https?:\/\/[^/]+/.test(value))
      problems.push(`${flag} ${value}: expected an http or https URL`);
  }
  if (
    flags.s3Endpoint !== undefined &&
    ((env['GANTRY_S3_ACCESS_KEY'] ?? '') === '' || (env['GANTRY_S3_SECRET_KEY'] ?? '') === '')
  ) {
    problems.push(
      '--s3-endpoint: give its keys in the environment, GANTRY_S3_ACCESS_KEY and GANTRY_S3_SECRET_KEY',
    );
  }
  const given = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
  const smtp = given(flags.smtp ?? env['GANTRY_SMTP']);
  const mailFrom = given(flags.mailFrom ?? env['GANTRY_MAIL_FROM']);
  readMail(smtp, mailFrom, problems);
  const agents = number(flags.agents, '--agents', 1, 64);
  const slots = number(flags.slots, '--slots', 2, 256);
  if (slots === 0) problems.push('--slots 0: an agent needs at least one');
  const askedPorts = {
    ...port(flags.grpcPort, 'grpc'),
    ...port(flags.httpPort, 'http'),
    ...port(flags.natsPort, 'nats'),
    ...port(flags.s3Port, 's3'),
  };
  if (problems.length > 0) {
    throw new CliError(exitCodes.usage, problems.join('\n'), { remedies: ['gantry up --help'] });
  }
  return {
    data,
    agents,
    slots,
    executor: executor === 'host' ? 'host' : 'docker',
    ignoreImage: flags.ignoreImage === true,
    labels: flags.label ?? [],
    repoRoots: (flags.repoRoot ?? []).map((root) => resolve(root)),
    ...(smtp === undefined ? {} : { smtp }),
    ...(mailFrom === undefined ? {} : { mailFrom }),
    host,
    advertise,
    askedPorts,
    ...(tls === undefined ? {} : { tls }),
    insecure: flags.insecure === true,
    keys: flags.keys === undefined ? data.keys : resolve(flags.keys),
    ...(flags.nats === undefined
      ? {}
      : {
          nats: {
            url: flags.nats,
            ...(flags.natsCreds === undefined ? {} : { creds: resolve(flags.natsCreds) }),
            ...(flags.natsCa === undefined ? {} : { ca: resolve(flags.natsCa) }),
          },
        }),
    ...(flags.s3Endpoint === undefined
      ? {}
      : { s3: { endpoint: flags.s3Endpoint, publicEndpoint: flags.s3PublicEndpoint ?? flags.s3Endpoint } }),
    s3Bucket: flags.s3Bucket ?? 'gantry',
    s3Region: flags.s3Region ?? 'us-east-1',
    logLevel: flags.logLevel ?? 'info',
  };
}

function tlsOf(flags: UpFlags, problems: string[]): UpOptions['tls'] {
  const { tlsCert, tlsKey, tlsCa } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    problems.push('--tls-cert and --tls-key go together: give both or neither');
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return {
    cert: resolve(tlsCert),
    key: resolve(tlsKey),
    ...(tlsCa === undefined ? {} : { ca: resolve(tlsCa) }),
  };
}
