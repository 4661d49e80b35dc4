/** Which coordinator a command talks to, and as whom. Flags > `GANTRY_*` > current context > 127.0.0.1:7420. */
import { readFileSync } from 'node:fs';
import { isLoopback } from '../config.js';
import { CliError, messageOf } from './cli-error.js';
import { contextsFile, readContexts, type Context } from './context.js';
import { exitCodes } from './exit-codes.js';

/** Flags of every command that talks to a coordinator. */
export interface ConnectionFlags {
  readonly coordinator?: string;
  readonly token?: string;
  /** File with the PEM of the authority that signed the coordinator's certificate. */
  readonly ca?: string;
  /** Name of a context to use instead of the current one. */
  readonly context?: string;
}

export interface Connection {
  /** `host:port`. */
  readonly address: string;
  readonly token: string;
  /** Absent: plain text, for loopback, a context that says so, or an address written `http://…`: a token would cross the network readable by all. */
  readonly tls?: { readonly ca?: string };
  /** For messages: where address and token come from. */
  readonly from: string;
}

export const defaultAddress = '127.0.0.1:7420';

type Env = Readonly<Record<string, string | undefined>>;

export function resolveConnection(flags: ConnectionFlags, env: Env): Connection {
  const context = selectContext(flags, env);
  const given = flags.coordinator ?? env['GANTRY_COORDINATOR'] ?? '';
  const address = parseAddress(given === '' ? (context?.coordinator ?? defaultAddress) : given);
  // A context's token and authority belong to its coordinator: they are never sent to another one.
  const own =
    context !== undefined && parseAddress(context.coordinator).hostPort === address.hostPort
      ? context
      : undefined;
  const token = flags.token ?? env['GANTRY_TOKEN'] ?? '';
  const caFile = flags.ca ?? env['GANTRY_CA'] ?? '';
  const ca = caFile === '' ? own?.ca : readCa(caFile);
  const tls =
    ca !== undefined || own?.tls === true || (address.tls ?? (own === undefined && !address.loopback));
  return {
    address: address.hostPort,
    token: token === '' ? (own?.token ?? '') : token,
    from: from(flags, env, context),
    ...(tls ? { tls: ca === undefined ? {} : { ca } } : {}),
  };
}

function selectContext(flags: ConnectionFlags, env: Env): Context | undefined {
  const file = contextsFile(env);
  const name = flags.context ?? env['GANTRY_CONTEXT'] ?? '';
  // Flags that say everything need no file, so a damaged one must not stand in the way.
  if (name === '' && flags.coordinator !== undefined && flags.token !== undefined) return undefined;
  const { current, contexts } = readContexts(file);
  if (name === '') return current === null ? undefined : contexts[current];
  const context = contexts[name];
  if (context !== undefined) return context;
  const known = Object.keys(contexts);
  throw new CliError(exitCodes.usage, `there is no context ${JSON.stringify(name)} in ${file}`, {
    remedies:
      known.length === 0 ? ['start `gantry up`, which makes one'] : [`known ones: ${known.join(', ')}`],
  });
}

function from(flags: ConnectionFlags, env: Env, context: Context | undefined): string {
  if (flags.coordinator !== undefined) return '--coordinator';
  if ((env['GANTRY_COORDINATOR'] ?? '') !== '') return 'GANTRY_COORDINATOR';
  return context === undefined ? 'the default address' : 'the current context';
}

export interface CoordinatorAddress {
  readonly hostPort: string;
  readonly loopback: boolean;
  /** As the scheme says; undefined without one. */
  readonly tls: boolean | undefined;
}

/** `host`, `host:port`, `[v6]:port`, or the same behind `http://` (plain text) or `https://` (TLS). */
export function parseAddress(text: string): CoordinatorAddress {
  const match = /^(?:(https?):\/\/)?(\[[0-9a-f:.]+\]|[^:/\s[\]]+)(?::(\d{1,5}))?\/?$/i.exec(text.trim());
  const [, scheme, host, port = '7420'] = match ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new CliError(exitCodes.usage, `${JSON.stringify(text)} is not the address of a coordinator`, {
      remedies: ['write it as HOST:PORT, for example 127.0.0.1:7420'],
    });
  }
  return {
    hostPort: `${host}:${port}`,
    loopback: isLoopback(host.replace(/^\[|\]$/g, '')),
    tls: scheme === undefined ? undefined : scheme.toLowerCase() === 'https',
  };
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CliError(exitCodes.usage, `cannot read the certificate of --ca ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
