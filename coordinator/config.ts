/** Configuration of the coordinator: flags, then `GANTRY_*`, then defaults. Read here and nowhere else, all errors at once. */
import { Option, type Command } from 'commander';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { logLevels } from '../shared/log.js';
import { parseMailAddress, type MailAddress } from '../shared/model/mail-address.js';
import { parseSmtpUrl, SmtpUrlError, type SmtpServer } from './feedback/smtp-url.js';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface CoordinatorConfig {
  readonly grpcListen: HostPort;
  readonly httpListen: HostPort;
  /** `host:port` given to agents and shown to people. */
  readonly advertise: string;
  /** Scheme, host and port that webhooks are sent to. */
  readonly publicUrl: string;
  readonly prefix: string;
  readonly keysDirectory: string;
  /** Rebuilt at any time: fetched repositories for reading pipeline files. */
  readonly cacheDirectory: string;
  readonly nats: {
    readonly servers: readonly string[];
    /** Servers as agents reach them; by default the same. */
    readonly advertise: readonly string[];
    readonly replicas: number;
    readonly ca?: Buffer;
    /** With an existing server that knows no JWT: the coordinator's static user and the one all agents share. */
    readonly users?: {
      readonly coordinator: { readonly user: string; readonly password: string };
      readonly agents: { readonly user: string; readonly password: string };
    };
    readonly credentials?: string;
  };
  readonly s3: {
    readonly endpoint: string;
    readonly publicEndpoint: string;
    readonly bucket: string;
    readonly region: string;
    /** Absent: those of the keys directory. */
    readonly accessKey?: string;
    readonly secretKey?: string;
    /** Authority of the storage's certificate, when it is one of your own. */
    readonly ca?: Buffer;
  };
  readonly repoRoots: readonly string[];
  /** Absent: no mail is sent. */
  readonly mail?: { readonly server: SmtpServer; readonly from: MailAddress };
  readonly tls?: { readonly certificate: Buffer; readonly key: Buffer; readonly ca?: Buffer };
  readonly logLevel: string;
  readonly logPretty: boolean;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'));
  }
}

const collect = (value: string, previous: readonly string[] | undefined): string[] => [
  ...(previous ?? []),
  value,
];

const option = (flags: string, text: string, env: string): Option => new Option(flags, text).env(env);

/** Adds the coordinator's flags to a command; `readCoordinatorConfig` reads what was parsed. */
export function addCoordinatorOptions(command: Command): Command {
  return command
    .addOption(
      option('--grpc-listen <host:port>', 'where agents and the CLI connect', 'GANTRY_GRPC_LISTEN').default(
        '127.0.0.1:7420',
      ),
    )
    .addOption(
      option('--http-listen <host:port>', 'health and webhooks', 'GANTRY_HTTP_LISTEN').default(
        '127.0.0.1:7421',
      ),
    )
    .addOption(
      option(
        '--advertise <host[:port]>',
        'address given to agents and people (default: --grpc-listen)',
        'GANTRY_ADVERTISE',
      ),
    )
    .addOption(
      option(
        '--public-url <url>',
        'where webhooks are sent, as git servers reach it (default: http, the advertised host, and the port of --http-listen)',
        'GANTRY_PUBLIC_URL',
      ),
    )
    .addOption(option('--keys <dir>', 'keys that coordinators share (see `gantry nats init`)', 'GANTRY_KEYS'))
    .addOption(option('--cache <dir>', 'fetched repositories; may be deleted at any time', 'GANTRY_CACHE'))
    .addOption(
      option('--nats <urls>', 'NATS servers, separated by commas', 'GANTRY_NATS').default(
        'nats://127.0.0.1:7422',
      ),
    )
    .addOption(
      option(
        '--nats-advertise <urls>',
        'NATS servers as agents reach them (default: --nats)',
        'GANTRY_NATS_ADVERTISE',
      ),
    )
    .addOption(
      option(
        '--nats-creds <file>',
        'credentials of the coordinator (default: coordinator.creds of --keys)',
        'GANTRY_NATS_CREDS',
      ),
    )
    .addOption(
      option(
        '--nats-ca <file>',
        'certificate authority of the NATS servers (default for tls:// servers: --tls-ca)',
        'GANTRY_NATS_CA',
      ),
    )
    .addOption(
      option(
        '--nats-user <user:password>',
        'static user of an existing server, instead of credentials',
        'GANTRY_NATS_USER',
      ),
    )
    .addOption(
      option(
        '--nats-agent-user <user:password>',
        'static user that all agents share on that server',
        'GANTRY_NATS_AGENT_USER',
      ),
    )
    .addOption(
      option(
        '--nats-replicas <n>',
        'replicas of the streams on a NATS cluster',
        'GANTRY_NATS_REPLICAS',
      ).default('1'),
    )
    .addOption(option('--prefix <word>', 'prefix of subjects and streams', 'GANTRY_PREFIX').default('gantry'))
    .addOption(
      option('--s3-endpoint <url>', 'S3-compatible storage', 'GANTRY_S3_ENDPOINT').default(
        'http://127.0.0.1:7423',
      ),
    )
    .addOption(
      option(
        '--s3-public-endpoint <url>',
        'the same as agents and people reach it (default: --s3-endpoint)',
        'GANTRY_S3_PUBLIC_ENDPOINT',
      ),
    )
    .addOption(option('--s3-bucket <name>', 'bucket', 'GANTRY_S3_BUCKET').default('gantry'))
    .addOption(option('--s3-region <name>', 'region', 'GANTRY_S3_REGION').default('us-east-1'))
    .addOption(option('--s3-access-key <key>', 'access key (default: of --keys)', 'GANTRY_S3_ACCESS_KEY'))
    .addOption(
      option(
        '--s3-secret-key <key>',
        'secret key: better in the environment than in a process list',
        'GANTRY_S3_SECRET_KEY',
      ),
    )
    .addOption(
      new Option(
        '--repo-root <dir>',
        'repositories below this directory may be built (repeatable; environment: GANTRY_REPO_ROOT, separated by commas)',
      ).argParser(collect),
    )
    .addOption(
      option(
        '--smtp <url>',
        'mail goes out by smtp://HOST:PORT or smtps://…; with USER:PASSWORD@ better in the environment than in a process list',
        'GANTRY_SMTP',
      ),
    )
    .addOption(
      option('--mail-from <address>', 'sender of mail (default: gantry@ this machine)', 'GANTRY_MAIL_FROM'),
    )
    .addOption(option('--tls-cert <file>', 'certificate chain of this server', 'GANTRY_TLS_CERT'))
    .addOption(option('--tls-key <file>', 'its key', 'GANTRY_TLS_KEY'))
    .addOption(
      option(
        '--tls-ca <file>',
        'authority of that certificate when it is one of your own; trusted for NATS and storage too',
        'GANTRY_TLS_CA',
      ),
    )
    .addOption(option('--insecure', 'listen off loopback without TLS', 'GANTRY_INSECURE'))
    .addOption(option('--log-level <level>', logLevels.join(' | '), 'GANTRY_LOG_LEVEL').default('info'));
}

type Raw = Readonly<Record<string, unknown>>;

/** `raw`: commander's options. Throws ConfigError with every problem. */
export function readCoordinatorConfig(
  raw: Raw,
  env: NodeJS.ProcessEnv,
  terminal: boolean,
): CoordinatorConfig {
  const problems: string[] = [];
  const text = (name: string): string | undefined => {
    const value = raw[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const file = (name: string, flag: string): Buffer | undefined => {
    const path = text(name);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      problems.push(`${flag} ${path}: cannot be read (${String(error)})`);
      return undefined;
    }
  };
  const listen = (name: string, flag: string): HostPort => {
    const parsed = parseHostPort(text(name) ?? '');
    if (parsed === undefined) problems.push(`${flag}: expected HOST:PORT, got ${text(name) ?? 'nothing'}`);
    return parsed ?? { host: '127.0.0.1', port: 0 };
  };
  const url = (name: string, flag: string): string => {
    const value = text(name) ?? '';
    if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
      problems.push(`${flag}: expected an http or https URL, got ${value}`);
    }
    return value.replace(/\/+$/, '');
  };
  const user = (name: string, flag: string): { user: string; password: string } | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    const colon = value.indexOf(':');
    if (colon < 1) problems.push(`${flag}: expected USER:PASSWORD`);
    return { user: value.slice(0, colon), password: value.slice(colon + 1) };
  };

  const grpcListen = listen('grpcListen', '--grpc-listen');
  const httpListen = listen('httpListen', '--http-listen');
  const keysDirectory = text('keys');
  if (keysDirectory === undefined) {
    problems.push('--keys DIR is missing: the directory that `gantry nats init DIR` made (DIR/keys)');
  }
  const certificate = file('tlsCert', '--tls-cert');
  const key = file('tlsKey', '--tls-key');
  const tlsCa = file('tlsCa', '--tls-ca');
  if ((certificate === undefined) !== (key === undefined)) {
    problems.push('--tls-cert and --tls-key go together: give both or neither');
  }
  if (!isLoopback(grpcListen.host) && certificate === undefined && raw['insecure'] !== true) {
    problems.push(
      `--grpc-listen ${grpcListen.host}: tokens, code and logs would cross the network readable by all. ` +
        'Give --tls-cert and --tls-key, or say --insecure if the network is yours alone',
    );
  }
  const replicas = Number(text('natsReplicas'));
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > 5) {
    problems.push(`--nats-replicas: expected a number from 1 to 5, got ${text('natsReplicas') ?? 'nothing'}`);
  }
  const prefix = text('prefix') ?? '';
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(prefix)) {
    problems.push(`--prefix: expected lower-case letters, digits and hyphens, got ${prefix}`);
  }
  const logLevel = text('logLevel') ?? 'info';
  if (!logLevels.some((level) => level === logLevel)) {
    problems.push(`--log-level: expected ${logLevels.join(' | ')}, got ${logLevel}`);
  }
  const natsUser = user('natsUser', '--nats-user');
  const natsAgentUser = user('natsAgentUser', '--nats-agent-user');
  if ((natsUser === undefined) !== (natsAgentUser === undefined)) {
    problems.push(
      '--nats-user and --nats-agent-user go together: agents must not use the coordinator’s user',
    );
  }
  const accessKey = text('s3AccessKey');
  const secretKey = text('s3SecretKey');
  if ((accessKey === undefined) !== (secretKey === undefined)) {
    problems.push('GANTRY_S3_ACCESS_KEY and GANTRY_S3_SECRET_KEY go together: give both or neither');
  }
  const s3Endpoint = url('s3Endpoint', '--s3-endpoint');
  const s3PublicEndpoint =
    text('s3PublicEndpoint') === undefined ? s3Endpoint : url('s3PublicEndpoint', '--s3-public-endpoint');
  const servers = list(text('nats'));
  if (servers.length === 0) problems.push('--nats: expected at least one server, like nats://127.0.0.1:4222');
  const givenCa = file('natsCa', '--nats-ca');
  // An authority given for servers without TLS would make the client refuse them.
  const natsCa = givenCa ?? (servers.some((server) => server.startsWith('tls://')) ? tlsCa : undefined);
  const advertise = text('advertise') ?? `${grpcListen.host}:${grpcListen.port}`;
  if (/^(?:0\.0\.0\.0|\[?::\]?)(?::\d+)?$/.test(advertise)) {
    problems.push(
      `--advertise is missing: with --grpc-listen ${text('grpcListen') ?? ''} agents and people must be told a name or address of this machine`,
    );
  }
  const advertised = parseHostPort(advertise)?.host ?? advertise;
  const httpHost = advertised.includes(':') ? `[${advertised}]` : advertised;
  const publicUrl =
    text('publicUrl') === undefined
      ? `http://${httpHost}:${httpListen.port}`
      : url('publicUrl', '--public-url');
  const roots = raw['repoRoot'];
  const repoRoots =
    Array.isArray(roots) && roots.length > 0
      ? roots.filter((root): root is string => typeof root === 'string')
      : (env['GANTRY_REPO_ROOT'] ?? '').split(',').filter((root) => root !== '');
  const mail = readMail(text('smtp'), text('mailFrom'), problems);
  if (problems.length > 0) throw new ConfigError(problems);

  const keys = keysDirectory ?? '';
  const credentials = text('natsCreds');
  return {
    grpcListen,
    httpListen,
    advertise: parseHostPort(advertise) === undefined ? `${advertise}:${grpcListen.port}` : advertise,
    publicUrl,
    prefix,
    keysDirectory: keys,
    cacheDirectory: text('cache') ?? `${keys}/../cache`,
    nats: {
      servers,
      advertise: text('natsAdvertise') === undefined ? servers : list(text('natsAdvertise')),
      replicas,
      ...(natsCa === undefined ? {} : { ca: natsCa }),
      ...(natsUser === undefined || natsAgentUser === undefined
        ? {}
        : { users: { coordinator: natsUser, agents: natsAgentUser } }),
      ...(credentials === undefined ? {} : { credentials }),
    },
    s3: {
      endpoint: s3Endpoint,
      publicEndpoint: s3PublicEndpoint,
      bucket: text('s3Bucket') ?? 'gantry',
      region: text('s3Region') ?? 'us-east-1',
      ...(accessKey === undefined || secretKey === undefined ? {} : { accessKey, secretKey }),
      ...(tlsCa === undefined ? {} : { ca: tlsCa }),
    },
    repoRoots,
    ...(mail === undefined ? {} : { mail }),
    ...(certificate === undefined || key === undefined
      ? {}
      : { tls: { certificate, key, ...(tlsCa === undefined ? {} : { ca: tlsCa }) } }),
    logLevel,
    logPretty: terminal,
  };
}

/** Also what `gantry up` checks before it starts anything. Adds to `problems` what is wrong, never with the URL itself. */
export function readMail(
  smtp: string | undefined,
  mailFrom: string | undefined,
  problems: string[],
): CoordinatorConfig['mail'] {
  const from = parseMailAddress(mailFrom ?? `gantry@${hostname()}`) ?? parseMailAddress('gantry@localhost');
  if (mailFrom !== undefined && parseMailAddress(mailFrom) === undefined) {
    problems.push(
      `--mail-from ${mailFrom}: expected one address like gantry@example.org, without a name or brackets`,
    );
  }
  if (smtp === undefined || smtp === '' || from === undefined) return undefined;
  try {
    return { server: parseSmtpUrl(smtp), from };
  } catch (error) {
    if (!(error instanceof SmtpUrlError)) throw error;
    problems.push(`--smtp (GANTRY_SMTP): ${error.message}`);
    return undefined;
  }
}

const list = (value: string | undefined): readonly string[] =>
  (value ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** `host:port`, `[v6]:port`. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  return host === undefined || port > 65535 ? undefined : { host, port };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
