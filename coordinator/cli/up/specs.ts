/** The daemons of one machine: programs, arguments and environment. Pure but for the paths of the installation. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonSpec } from './daemon.js';
import type { UpOptions } from './options.js';
import type { Ports } from './up-file.js';

export interface Addresses {
  /** `host:port` */
  readonly grpc: string;
  readonly http: string;
  readonly nats: string;
  readonly s3: string;
  /** The same as daemons of this machine reach them. */
  readonly local: { readonly grpc: string; readonly nats: string; readonly s3: string };
}

export interface Installation {
  readonly node: string;
  readonly main: string;
  readonly agentMain: string;
  /** Changes with every build, so that adopted daemons of an older one are started anew. */
  readonly build: string;
}

/** Where the programs of this installation are: this file is in `dist/coordinator/cli/up/`. */
export function installation(version: string): Installation {
  const main = join(import.meta.dirname, '..', 'main.js');
  const agentMain = join(import.meta.dirname, '..', '..', '..', 'agent', 'main.js');
  const changedAt = [main, agentMain].map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return { node: process.execPath, main, agentMain, build: `${version} ${changedAt.join(' ')}` };
}

export function addressesOf(options: UpOptions, ports: Ports): Addresses {
  const scheme = options.tls === undefined ? 'http' : 'https';
  const natsScheme = options.tls === undefined ? 'nats' : 'tls';
  const loopback = options.host === '0.0.0.0' || options.host === '::' ? '127.0.0.1' : options.host;
  // A certificate is for the name that others use; so the daemons of this machine use it too.
  const near = options.tls === undefined ? loopback : options.advertise;
  const at = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return {
    grpc: at(options.advertise, ports.grpc),
    // Health and metrics hold no secret and are plain.
    http: `http://${at(options.advertise, ports.http)}`,
    nats: options.nats?.url ?? `${natsScheme}://${at(options.advertise, ports.nats)}`,
    s3: options.s3?.publicEndpoint ?? `${scheme}://${at(options.advertise, ports.s3)}`,
    local: {
      grpc: at(near, ports.grpc),
      nats: options.nats?.url ?? `${natsScheme}://${at(near, ports.nats)}`,
      s3: options.s3?.endpoint ?? `${scheme}://${at(near, ports.s3)}`,
    },
  };
}

export interface SpecInput {
  readonly options: UpOptions;
  readonly ports: Ports;
  readonly install: Installation;
  readonly natsServer: string;
  readonly natsConfig: string;
  /** Environment that all daemons inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Join token for agent n; a new one for every start. */
  readonly joinToken: () => string;
}

export function natsSpec(input: SpecInput, configText: string): DaemonSpec {
  const args = ['-c', input.natsConfig];
  const listens = { nats: input.ports.nats };
  return spec(input, { name: 'nats', program: input.natsServer, args, extra: configText, listens });
}

export function storageSpec(input: SpecInput): DaemonSpec {
  const { options, ports, install } = input;
  const args = [
    'storage',
    ...['--listen', hostPort(options.host, ports.s3)],
    ...['--data', options.data.storage],
    ...['--keys', options.keys],
    ...['--region', options.s3Region],
    ...['--log-level', options.logLevel],
  ];
  if (options.tls !== undefined) args.push('--tls-cert', options.tls.cert, '--tls-key', options.tls.key);
  if (options.insecure) args.push('--insecure');
  return spec(input, {
    name: 'storage',
    program: install.node,
    args: [install.main, ...args],
    drop: s3Keys,
    listens: { s3: ports.s3 },
  });
}

export function coordinatorSpec(input: SpecInput): DaemonSpec {
  const { options, ports, install } = input;
  const to = addressesOf(options, ports);
  const args = [
    'coordinator',
    ...['--grpc-listen', hostPort(options.host, ports.grpc)],
    ...['--http-listen', hostPort(options.host, ports.http)],
    ...['--advertise', to.grpc],
    ...['--keys', options.keys],
    ...['--cache', options.data.cache],
    ...['--nats', to.local.nats, '--nats-advertise', to.nats],
    ...['--s3-endpoint', to.local.s3, '--s3-public-endpoint', to.s3],
    ...['--s3-bucket', options.s3Bucket, '--s3-region', options.s3Region],
    ...['--log-level', options.logLevel],
    ...options.repoRoots.flatMap((root) => ['--repo-root', root]),
  ];
  if (options.nats?.creds !== undefined) args.push('--nats-creds', options.nats.creds);
  const natsCa = options.nats === undefined ? options.tls?.ca : options.nats.ca;
  if (natsCa !== undefined) args.push('--nats-ca', natsCa);
  if (options.tls !== undefined) args.push('--tls-cert', options.tls.cert, '--tls-key', options.tls.key);
  if (options.tls?.ca !== undefined) args.push('--tls-ca', options.tls.ca);
  if (options.insecure) args.push('--insecure');
  // What the surroundings say of an existing storage must not get to the embedded one.
  const drop = options.s3 === undefined ? s3Keys : [];
  return spec(input, {
    name: 'coordinator',
    program: install.node,
    args: [install.main, ...args],
    drop,
    // The URL may hold a password, which everybody could read in a process list.
    env: mailEnvironment(options),
    extra: Object.values(mailEnvironment(options)).join('\n'),
    listens: { grpc: ports.grpc, http: ports.http },
  });
}

export function agentSpec(input: SpecInput, n: number): DaemonSpec {
  const { options, ports, install } = input;
  const name = `agent-${n}`;
  const args = [
    ...['--coordinator', addressesOf(options, ports).local.grpc],
    ...['--data', join(options.data.agents, name)],
    ...['--name', name],
    ...['--slots', String(options.slots)],
    ...['--executor', options.executor],
    ...['--log-level', options.logLevel],
    ...options.labels.flatMap((label) => ['--label', label]),
    ...options.repoRoots.flatMap((root) => ['--repo-root', root]),
  ];
  if (options.ignoreImage) args.push('--ignore-image');
  // One person's machine: its images may be used by name.
  if (options.executor === 'docker') args.push('--local-images', '*');
  if (options.tls?.ca !== undefined) args.push('--ca', options.tls.ca);
  else if (options.tls === undefined && options.insecure) args.push('--insecure');
  return spec(input, {
    name,
    program: install.node,
    args: [install.agentMain, ...args],
    drop: s3Keys,
    // Large transfers on several threads otherwise keep 30 MB in arenas of the C library.
    env: { MALLOC_ARENA_MAX: '2' },
    secrets: () => ({ GANTRY_TOKEN: input.joinToken() }),
    terminations: 2,
  });
}

const mailEnvironment = ({ smtp, mailFrom }: UpOptions): Readonly<Record<string, string>> => ({
  ...(smtp === undefined ? {} : { GANTRY_SMTP: smtp }),
  ...(mailFrom === undefined ? {} : { GANTRY_MAIL_FROM: mailFrom }),
});

const s3Keys = ['GANTRY_S3_ACCESS_KEY', 'GANTRY_S3_SECRET_KEY'] as const;

/** Whom and as whom the caller of `up` talks to, and flags of which `up` itself decides: daemons must not inherit them. */
const ofTheCaller = [
  'TOKEN',
  'TOKEN_FILE',
  'CA',
  'CONTEXT',
  'CONFIG',
  'COORDINATOR',
  'DATA',
  'NAME',
  'INSECURE',
  'IGNORE_IMAGE',
  'SMTP',
  'MAIL_FROM',
].map((name) => `GANTRY_${name}`);

interface Program {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Counts for the digest. */
  readonly extra?: string;
  /** Variables that are not inherited. */
  readonly drop?: readonly string[];
  /** Beside what is inherited, which wins. */
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: () => Readonly<Record<string, string>>;
  readonly terminations?: 2;
  readonly listens?: Partial<Ports>;
}

function spec(input: Pick<SpecInput, 'env' | 'install'>, of: Program): DaemonSpec {
  const { name, program, args } = of;
  const dropped = new Set([...ofTheCaller, ...(of.drop ?? [])]);
  const inherited = Object.entries(input.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !dropped.has(entry[0]),
  );
  // Of what is inherited only our own variables make a difference worth a restart.
  const ours = inherited.filter(([key]) => key.startsWith('GANTRY_')).sort();
  const digest = createHash('sha256')
    .update(JSON.stringify([input.install.build, program, args, ours, of.extra ?? '']))
    .digest('hex')
    .slice(0, 16);
  return {
    name,
    program,
    args,
    env: { ...of.env, ...Object.fromEntries(inherited) },
    secrets: of.secrets ?? (() => ({})),
    digest,
    terminations: of.terminations ?? 1,
    listens: of.listens ?? {},
  };
}

const hostPort = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
