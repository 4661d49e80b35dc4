/**
 * Contexts: named coordinators with the token to use there. `gantry up` writes one, so that the next command just
 * works. The file holds tokens: mode 0600, written whole beside itself and renamed.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { CliError, messageOf, systemCodeOf } from './cli-error.js';
import { exitCodes } from './exit-codes.js';

export interface Context {
  /** `host:port` of a coordinator's gRPC. */
  readonly coordinator: string;
  readonly token: string;
  /** PEM of the authority that signed the coordinator's certificate. With it, or with `tls`, the call is TLS. */
  readonly ca?: string;
  /** TLS with the authorities that the system knows. */
  readonly tls?: boolean;
}

export interface Contexts {
  readonly current: string | null;
  readonly contexts: Readonly<Record<string, Context>>;
}

type Env = Readonly<Record<string, string | undefined>>;

const none: Contexts = { current: null, contexts: {} };

/** `GANTRY_CONFIG`, or `gantry/contexts.json` below `XDG_CONFIG_HOME` (which counts only when absolute). */
export function contextsFile(env: Env): string {
  const given = env['GANTRY_CONFIG'] ?? '';
  if (given !== '') return given;
  const base = env['XDG_CONFIG_HOME'] ?? '';
  const home = (env['HOME'] ?? '') === '' ? homedir() : (env['HOME'] ?? '');
  return join(isAbsolute(base) ? base : join(home, '.config'), 'gantry', 'contexts.json');
}

/** A missing file is no contexts; a damaged one is an error, because overwriting it would lose tokens. */
export function readContexts(file: string): Contexts {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return none;
    throw new CliError(exitCodes.usage, `cannot read the contexts in ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  try {
    return parseContexts(JSON.parse(text));
  } catch (error) {
    throw new CliError(exitCodes.usage, `${file} is not a file of contexts`, {
      remedies: [`move it away and start \`gantry up\` again, which writes it anew`],
      cause: error,
    });
  }
}

/** By hand and not by a schema library: loading one would take longer than all else that small commands do. */
function parseContexts(value: unknown): Contexts {
  if (!isRecord(value) || !isRecord(value['contexts'])) throw new Error('expected {current, contexts}');
  const contexts: Record<string, Context> = {};
  for (const [name, context] of Object.entries(value['contexts'])) {
    if (!isRecord(context)) throw new Error(`${name}: expected {coordinator, token}`);
    const { coordinator, token, ca, tls } = context;
    if (typeof coordinator !== 'string' || typeof token !== 'string') {
      throw new Error(`${name}: expected coordinator and token`);
    }
    contexts[name] = {
      coordinator,
      token,
      ...(typeof ca === 'string' ? { ca } : {}),
      ...(tls === true ? { tls } : {}),
    };
  }
  return { current: typeof value['current'] === 'string' ? value['current'] : null, contexts };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function writeContexts(file: string, contexts: Contexts): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(temporary, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    chmodSync(temporary, 0o600);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Adds or replaces one and makes it the current one. */
export const withContext = (contexts: Contexts, name: string, context: Context): Contexts => ({
  current: name,
  contexts: { ...contexts.contexts, [name]: context },
});
