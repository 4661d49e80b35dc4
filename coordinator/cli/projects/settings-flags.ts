/** Flags that say what a project is to be like, the same for `add` and `set`. */
import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import type { Credential } from '../../../shared/wire/gen/gantry/v1/Credential.js';
import type { ProjectSettings } from '../../../shared/wire/gen/gantry/v1/ProjectSettings.js';
import { parseDuration } from '../../pipeline/duration.js';
import { CliError } from '../cli-error.js';
import { collect } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import type { ClientFlags } from '../session.js';
import type { RegistryFlags } from './registry-flags.js';

export interface SettingsFlags extends ClientFlags, RegistryFlags {
  readonly defaultBranch?: string;
  readonly poll?: string;
  readonly cancelSuperseded?: boolean;
  readonly mailDomain?: readonly string[];
  readonly webhook?: readonly string[];
  readonly tokenFile?: string;
  readonly user?: string;
  readonly sshKey?: string;
  readonly knownHosts?: string;
  readonly pushTokenFile?: string;
  readonly pushSshKey?: string;
  /** False: `--no-fetch-credential`. */
  readonly fetchCredential?: boolean;
  readonly pushCredential?: boolean;
  readonly gateRequire?: string;
  readonly gateTarget?: readonly string[];
  readonly gateDepth?: string;
  readonly gateMethod?: string;
  readonly gateHangLimit?: string;
  readonly gateRetries?: string;
  readonly gateSecrets?: boolean;
  /** False: `--no-gate`. */
  readonly gate?: boolean;
}

export function addSettingsOptions(command: Command): Command {
  return command
    .option('--default-branch <name>', 'default: what the repository’s HEAD names')
    .option('--poll <duration>', 'how often to look for pushes: 10s, 5m; 0: never (default: 10s)')
    .option('--cancel-superseded', 'a newer push to a branch cancels the runs of older ones')
    .option('--no-cancel-superseded', 'let them go on')
    .option(
      '--mail-domain <domain>',
      'mail may go to addresses of this domain, beside those of users; repeatable; "": none',
      collect,
    )
    .option('--webhook <name=url>', 'whom pipelines may notify by this name; repeatable; "": none', collect)
    .option('--token-file <file>', 'https: a token that may read the repository; -: from stdin')
    .option('--user <name>', 'https: the user that belongs to the token, where the server asks for one')
    .option('--ssh-key <file>', 'ssh: a private key without a passphrase that may read the repository')
    .option('--known-hosts <file>', 'ssh: the host keys to accept, as `ssh-keyscan HOST` prints them')
    .option('--push-token-file <file>', 'https: a token that may push; it never leaves the coordinator')
    .option('--push-ssh-key <file>', 'ssh: a key that may push; it never leaves the coordinator')
    .option('--registry <host>', 'images: a registry that asks for credentials, such as registry.example.org')
    .option('--registry-user <user>', 'images: the user to ask it as')
    .option(
      '--registry-password-file <file>',
      'images: the password, or a token; -: from stdin, which it comes from without this flag too',
    )
    .option(
      '--gate-require <stages>',
      'stages that must succeed before a change lands, with commas: lint,test; "": none by name',
    )
    .option('--gate-target <branch>', 'a branch that the gate guards; repeatable; "": none', collect)
    .option('--gate-depth <n>', 'how many changes are tested at once, each on top of the one before it')
    .option('--gate-method <method>', 'how changes land: merge or squash')
    .option('--gate-hang-limit <duration>', 'how long a run of the gate may take: 2h')
    .option('--gate-retries <n>', 'how often a run that failed by Gantry’s fault is repeated')
    .option('--gate-secrets', 'runs of the gate get the project’s secrets, before anything has landed')
    .option('--no-gate-secrets', 'they get none')
    .option('--no-gate', 'nothing lands by a gate any more');
}

/** What the flags say; the rest is left as it is. Throws `CliError` with what is wrong with a flag. */
export function settingsFrom(flags: SettingsFlags): {
  readonly settings: ProjectSettings;
  readonly setMailDomains: boolean;
  readonly setWebhooks: boolean;
  readonly fetch?: Credential;
  readonly push?: Credential;
} {
  const { defaultBranch, cancelSuperseded, mailDomain, webhook } = flags;
  const fetch = credential(flags, flags.tokenFile, flags.sshKey);
  const push = credential(flags, flags.pushTokenFile, flags.pushSshKey);
  return {
    settings: {
      ...(defaultBranch === undefined ? {} : { defaultBranch }),
      ...(flags.poll === undefined ? {} : { pollMs: pollMs(flags.poll) }),
      ...(cancelSuperseded === undefined ? {} : { cancelSuperseded }),
      mailDomains: (mailDomain ?? []).filter((domain) => domain !== ''),
      webhooks: (webhook ?? []).filter((text) => text !== '').map(webhookFrom),
      ...gateFrom(flags),
    },
    setMailDomains: mailDomain !== undefined,
    setWebhooks: webhook !== undefined,
    ...(flags.fetchCredential === false ? { fetch: { none: true } } : fetch === undefined ? {} : { fetch }),
    ...(flags.pushCredential === false ? { push: { none: true } } : push === undefined ? {} : { push }),
  };
}

function gateFrom(flags: SettingsFlags): Pick<ProjectSettings, 'gate'> {
  if (flags.gate === false) return { gate: { none: true } };
  const { gateRequire, gateTarget, gateDepth, gateMethod, gateHangLimit, gateRetries, gateSecrets } = flags;
  const said = [gateRequire, gateTarget, gateDepth, gateMethod, gateHangLimit, gateRetries, gateSecrets];
  if (said.every((flag) => flag === undefined)) return {};
  const names = (texts: readonly string[]): string[] =>
    texts.map((text) => text.trim()).filter((text) => text !== '');
  return {
    gate: {
      ...(gateRequire === undefined ? {} : { setRequire: true, require: names(gateRequire.split(',')) }),
      ...(gateTarget === undefined ? {} : { setTargets: true, targets: names(gateTarget) }),
      ...(gateDepth === undefined ? {} : { depth: countFrom('--gate-depth', gateDepth) }),
      ...(gateMethod === undefined ? {} : { method: gateMethod }),
      ...(gateHangLimit === undefined
        ? {}
        : { hangLimitMs: durationFrom('--gate-hang-limit', gateHangLimit) }),
      ...(gateRetries === undefined ? {} : { retries: countFrom('--gate-retries', gateRetries) }),
      ...(gateSecrets === undefined ? {} : { seesSecrets: gateSecrets }),
    },
  };
}

function countFrom(flag: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new CliError(exitCodes.usage, `${flag} ${text}: expected a number`);
}

function durationFrom(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new CliError(exitCodes.usage, `${flag} ${text}: expected a duration such as 30m or 2h`);
}

function pollMs(text: string): number {
  const ms = text === '0' ? 0 : parseDuration(text);
  if (ms === undefined) {
    throw new CliError(exitCodes.usage, `--poll ${text}: expected a duration such as 10s or 5m, or 0`);
  }
  return ms;
}

function webhookFrom(text: string): { name: string; url: string } {
  const equals = text.indexOf('=');
  if (equals < 1) {
    throw new CliError(
      exitCodes.usage,
      `--webhook ${text}: expected NAME=URL, like chat=https://example.org/hook`,
    );
  }
  return { name: text.slice(0, equals), url: text.slice(equals + 1) };
}

function credential(
  { user, knownHosts }: SettingsFlags,
  tokenFile: string | undefined,
  sshKey: string | undefined,
): Credential | undefined {
  if (tokenFile !== undefined && sshKey !== undefined) {
    throw new CliError(exitCodes.usage, 'a repository is read by a token or by an ssh key: give one of them');
  }
  if (tokenFile !== undefined) {
    return { https: { user: user ?? '', token: read(tokenFile, 'the token').trim() } };
  }
  if (sshKey === undefined) return undefined;
  if (knownHosts === undefined) {
    throw new CliError(
      exitCodes.usage,
      'an ssh key needs --known-hosts FILE: without the host’s key anybody on the way could be it',
      {
        remedies: [
          'ssh-keyscan HOST > known_hosts   # and compare with what the server’s administrator says',
        ],
      },
    );
  }
  return {
    ssh: { privateKey: read(sshKey, 'the key'), knownHosts: read(knownHosts, 'the known hosts') },
  };
}

/** `-` is stdin, so that a token needs no file. */
function read(file: string, what: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CliError(exitCodes.usage, `${what} cannot be read: ${message}`, { cause: error });
  }
}
