/**
 * The agent's configuration: flags over `GANTRY_*` environment over defaults. Read once, here; all wrong values are
 * reported together. Afterwards nothing is optional that has a default, and every unit is in a name.
 */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { defaultName, labelPattern } from './host/labels.js';
import { parseSize } from './host/size.js';
import { logLevels } from '../shared/log.js';

export interface AgentConfig {
  /** `host:port` of any coordinator. */
  readonly coordinator: string;
  /** How the coordinator proves itself. */
  readonly trust:
    | { readonly kind: 'plain' }
    | { readonly kind: 'system-roots' }
    | { readonly kind: 'ca'; readonly pem: string };
  /** Join token; absent where the agent has registered before and has its key. */
  readonly token: string | undefined;
  readonly name: string;
  /** Beside those that are detected. */
  readonly labels: readonly string[];
  readonly slots: number;
  readonly executor: 'docker' | 'host';
  readonly ignoreImage: boolean;
  readonly localImages: readonly string[];
  readonly dataDirectory: string;
  readonly repositoryRoots: readonly string[];
  readonly minFreeBytes: number;
  readonly memoryBytes: number | undefined;
  readonly cpus: number | undefined;
  readonly pids: number;
  readonly logLimitBytes: number;
  readonly logLevel: (typeof logLevels)[number];
  readonly jsonLogs: boolean;
}

/** What the command line came to. */
export type Parsed =
  | { readonly kind: 'config'; readonly config: AgentConfig }
  /** `--help` or `--version`: text for stdout. */
  | { readonly kind: 'said'; readonly text: string }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] };

interface Flags {
  readonly coordinator?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly name?: string;
  readonly label?: readonly string[];
  readonly slots?: string;
  readonly executor?: string;
  readonly ignoreImage?: boolean;
  readonly localImages?: readonly string[];
  readonly data?: string;
  readonly repoRoot?: readonly string[];
  readonly minFree?: string;
  readonly memory?: string;
  readonly cpus?: string;
  readonly pids?: string;
  readonly logLimit?: string;
  readonly ca?: string;
  readonly insecure?: boolean;
  readonly logLevel?: string;
  readonly jsonLogs?: boolean;
}

const example = `
Each flag may be given as an environment variable instead: --repo-root as GANTRY_REPO_ROOT (lists by commas).

Examples:
  $ gantry agents token --label gpu          # on a machine with gantry: prints a join token
  $ gantry-agent --coordinator build.example.org:7420 --ca ca.pem --token-file token --label gpu --slots 4
  $ gantry-agent --executor host --label release    # steps as plain processes, without isolation

Signals: SIGTERM hands running stages over to the next agent process and exits; a second one within a second ends them.
Exit codes: 0 ended as asked · 1 this machine cannot run stages · 2 wrong usage · 3 refused by the coordinator`;

function command(version: string, said: (text: string) => void): Command {
  const collect = (value: string, former: readonly string[] | undefined): readonly string[] => [
    ...(former ?? []),
    value,
  ];
  return new Command('gantry-agent')
    .description('Runs stages of pipelines for a Gantry coordinator.')
    .version(version)
    .option('--coordinator <host:port>', 'address of a coordinator (default: 127.0.0.1:7420)')
    .option(
      '--token <token>',
      'join token, needed the first time (visible to other users of this machine: prefer a file)',
    )
    .option('--token-file <file>', 'file with the join token')
    .option('--name <name>', 'name for people (default: the host name)')
    .option('--label <label>', 'a label to offer, word or key=value; repeatable', collect)
    .option('--slots <n>', 'stages at once (default: 1)')
    .option('--executor <docker|host>', 'where steps run (default: docker)')
    .option('--ignore-image', 'with the host executor: run stages that name an image on this machine instead')
    .option(
      '--local-images <pattern>',
      'images that may come from this machine alone, e.g. "*"; repeatable',
      collect,
    )
    .option('--data <dir>', 'data directory of this agent (default: $XDG_STATE_HOME/gantry-agent)')
    .option('--repo-root <dir>', 'repositories below it may be read by path; repeatable', collect)
    .option('--min-free <size>', 'takes no stage with less free disk space (default: 2GB)')
    .option('--memory <size>', 'memory limit of each box (default: none)')
    .option('--cpus <n>', 'CPU limit of each box (default: none)')
    .option('--pids <n>', 'limit of processes of each box (default: 4096)')
    .option('--log-limit <size>', 'a step that writes more is ended (default: 1GB)')
    .option('--ca <file>', 'PEM of the authority that signed the certificate of the coordinator')
    .option('--insecure', 'without TLS also to another machine: tokens and code travel readable')
    .option('--log-level <level>', `one of ${logLevels.join(', ')} (default: info)`)
    .option('--json-logs', 'log JSON lines also on a terminal')
    .addHelpText('after', example)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: said, writeErr: () => undefined });
}

export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): Parsed {
  let said = '';
  const program = command(version, (text) => {
    said += text;
  });
  try {
    program.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'said', text: said };
    return { kind: 'wrong', problems: [error.message.replace(/^error: /, '')] };
  }
  const flags = program.opts<Flags>();
  return complete(flags, env);
}

/** Reads values and keeps what is wrong with them. */
class Reader {
  readonly problems: string[] = [];

  constructor(private readonly env: Readonly<Record<string, string | undefined>>) {}

  fromEnv(flag: string): string | undefined {
    const value = this.env[`GANTRY_${flag.slice(2).replaceAll('-', '_').toUpperCase()}`];
    return value === '' ? undefined : value;
  }

  text(flag: string, given: string | undefined): string | undefined {
    return given ?? this.fromEnv(flag);
  }

  list(flag: string, given: readonly string[] | undefined): readonly string[] {
    return (
      given ?? (this.fromEnv(flag)?.split(',') ?? []).map((each) => each.trim()).filter((each) => each !== '')
    );
  }

  flag(flag: string, given: boolean | undefined): boolean {
    if (given !== undefined) return given;
    const value = this.fromEnv(flag);
    if (value === undefined || ['0', 'false', 'no'].includes(value)) return false;
    if (!['1', 'true', 'yes'].includes(value))
      this.problems.push(`${flag}: ${value} is neither true nor false`);
    return true;
  }

  count(flag: string, given: string | undefined, fallback: number, least: number, most: number): number {
    const text = this.text(flag, given);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    this.problems.push(`${flag}: ${text} is not a whole number from ${least} to ${most}`);
    return fallback;
  }

  size<T extends number | undefined>(flag: string, given: string | undefined, fallback: T): number | T {
    const text = this.text(flag, given);
    if (text === undefined) return fallback;
    const value = parseSize(text);
    if (value !== undefined) return value;
    this.problems.push(`${flag}: ${text} is not a size (like 500MB, 2GB, 512MiB)`);
    return fallback;
  }

  oneOf<T extends string>(flag: string, given: string | undefined, allowed: readonly T[], fallback: T): T {
    const text = this.text(flag, given);
    if (text === undefined) return fallback;
    const found = allowed.find((each) => each === text);
    if (found !== undefined) return found;
    this.problems.push(`${flag}: ${text} is none of ${allowed.join(', ')}`);
    return fallback;
  }

  file(flag: string, given: string | undefined): string | undefined {
    const path = this.text(flag, given);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      this.problems.push(`${flag}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }
}

function complete(flags: Flags, env: Readonly<Record<string, string | undefined>>): Parsed {
  const read = new Reader(env);
  const { problems } = read;
  const coordinator = read.text('--coordinator', flags.coordinator) ?? '127.0.0.1:7420';
  const host = hostOf(coordinator);
  if (host === undefined)
    problems.push(`--coordinator: ${coordinator} is not an address like build.example.org:7420`);
  const labels = read.list('--label', flags.label);
  for (const label of labels) {
    if (!labelPattern.test(label)) problems.push(`--label: ${label} is neither a word nor key=value`);
  }
  const executor = read.oneOf('--executor', flags.executor, ['docker', 'host'] as const, 'docker');
  const ignoreImage = read.flag('--ignore-image', flags.ignoreImage);
  if (ignoreImage && executor !== 'host') problems.push('--ignore-image: only with --executor host');
  const repositoryRoots = read.list('--repo-root', flags.repoRoot);
  for (const root of repositoryRoots) {
    if (!isAbsolute(root)) problems.push(`--repo-root: ${root} is not an absolute path`);
  }
  const config: AgentConfig = {
    coordinator,
    trust: trustOf(read, flags, host),
    token: tokenOf(read, flags),
    name: read.text('--name', flags.name) ?? defaultName(),
    labels,
    slots: read.count('--slots', flags.slots, 1, 1, 1000),
    executor,
    ignoreImage,
    localImages: read.list('--local-images', flags.localImages),
    dataDirectory: resolve(read.text('--data', flags.data) ?? defaultData(env)),
    repositoryRoots,
    minFreeBytes: read.size('--min-free', flags.minFree, 2e9),
    memoryBytes: read.size('--memory', flags.memory, undefined),
    cpus: cpusOf(read, flags),
    pids: read.count('--pids', flags.pids, 4096, 16, 4_194_304),
    logLimitBytes: read.size('--log-limit', flags.logLimit, 1e9),
    logLevel: read.oneOf('--log-level', flags.logLevel, logLevels, 'info'),
    jsonLogs: read.flag('--json-logs', flags.jsonLogs),
  };
  if (!/^[\x20-\x7e]{1,64}$/.test(config.name))
    problems.push(`--name: it has at most 64 printable characters`);
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'config', config };
}

function trustOf(read: Reader, flags: Flags, host: string | undefined): AgentConfig['trust'] {
  const pem = read.file('--ca', flags.ca);
  const insecure = read.flag('--insecure', flags.insecure);
  if (pem !== undefined) {
    if (insecure) read.problems.push('--insecure: not together with --ca');
    if (!pem.includes('-----BEGIN CERTIFICATE-----'))
      read.problems.push('--ca: the file holds no PEM certificate');
    return { kind: 'ca', pem };
  }
  return insecure || (host !== undefined && isLoopback(host)) ? { kind: 'plain' } : { kind: 'system-roots' };
}

function tokenOf(read: Reader, flags: Flags): string | undefined {
  const file = read.file('--token-file', flags.tokenFile)?.trim();
  const token = read.text('--token', flags.token);
  if (flags.token !== undefined && flags.tokenFile !== undefined) {
    read.problems.push('--token: not together with --token-file');
  }
  if (file === '') read.problems.push('--token-file: the file is empty');
  return flags.token ?? file ?? token;
}

function cpusOf(read: Reader, flags: Flags): number | undefined {
  const text = read.text('--cpus', flags.cpus);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value > 0 && value <= 4096) return value;
  read.problems.push(`--cpus: ${text} is not a number of processors like 1.5`);
  return undefined;
}

function hostOf(address: string): string | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  return match === null || port < 1 || port > 65_535 ? undefined : (match[1] ?? match[2]);
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);

const defaultData = (env: Readonly<Record<string, string | undefined>>): string =>
  join(env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'gantry-agent');
