/**
 * Keys and configuration of a NATS server for Gantry, made once by `gantry nats init DIR`:
 *
 *     DIR/nats-server.conf          for `nats-server -c`; holds no secret
 *     DIR/keys/coordinator.creds    what coordinators connect with
 *     DIR/keys/jwts.json            what the configuration names; no secret
 *     DIR/keys/agents.json          the scoped key that coordinators sign agents' JWTs with
 *     DIR/keys/operator/            seeds of operator and accounts: no daemon needs them; keep them away from machines
 *
 * The server trusts the operator, whose account JWT names the scoped key; so agents come and go without a restart.
 * Users of the account may do nothing that their JWT does not allow, and agents' JWTs allow their own subjects only.
 */
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { encodeAccount, encodeOperator, encodeUser, newScopedSigner } from '@nats-io/jwt';

import { createNkey, nkeyFromSeed, type Nkey, type NkeyRole } from '../../shared/nats/nkey.js';
import { defaultPrefix, natsNames } from '../../shared/nats/names.js';
import type { AgentSigner } from './jwt-agent-access.js';
import { serverConfig, type ServerIdentity, type ServerOptions } from './server-config.js';

export interface NatsInitOptions extends ServerOptions {
  /** Of all subjects; default `gantry`. */
  readonly prefix?: string;
}

export interface NatsInit {
  readonly configFile: string;
  readonly credsFile: string;
  /** Where a client on this machine reaches the server. */
  readonly url: string;
  /** Whether the configuration was written anew: a running server must then be restarted. */
  readonly changed: boolean;
}

export interface NatsKeys {
  /** The text of the coordinators' `.creds`. */
  readonly creds: string;
  readonly signer: AgentSigner;
}

/**
 * Safe to repeat: keys that exist are kept, and the configuration is written only where it would differ; that needs no
 * seed, so `keys/operator` may be elsewhere by then. Throws when keys are there that do not belong together, as making
 * the rest anew would lock out what they signed.
 */
export async function initNats(directory: string, options: NatsInitOptions): Promise<NatsInit> {
  const dir = resolve(directory);
  const keysDir = join(dir, 'keys');
  const operatorDir = join(keysDir, 'operator');
  await mkdir(operatorDir, { recursive: true, mode: 0o700 });
  await chmod(keysDir, 0o700);
  await chmod(operatorDir, 0o700);

  const prefix = options.prefix ?? defaultPrefix;
  natsNames(prefix); // throws when it cannot be part of a subject
  const credsFile = join(keysDir, 'coordinator.creds');
  const jwtsFile = join(keysDir, 'jwts.json');
  const kept = parseJwts(await read(jwtsFile));
  const jwts =
    kept?.prefix === prefix
      ? kept
      : await makeKeys({ keysDir, operatorDir, credsFile, prefix, first: kept === undefined });
  // Last: only with it are the keys whole.
  if (jwts !== kept) await write(jwtsFile, `${JSON.stringify(jwts, undefined, 1)}\n`, 0o600);

  const configFile = join(dir, 'nats-server.conf');
  const storeDir = resolve(options.storeDir);
  await mkdir(storeDir, { recursive: true, mode: 0o700 });
  const text = serverConfig({ ...options, storeDir }, jwts);
  const changed = (await read(configFile)) !== text;
  if (changed) await write(configFile, text, 0o600);
  const scheme = options.tls === undefined ? 'nats' : 'tls';
  const host =
    options.listenHost === '0.0.0.0' || options.listenHost === '::' ? '127.0.0.1' : options.listenHost;
  return {
    configFile,
    credsFile,
    url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${options.port}`,
    changed,
  };
}

/** What coordinators need of what `initNats` wrote: `DIR/keys`. Throws when it is missing. */
export async function loadNatsKeys(directory: string): Promise<NatsKeys> {
  const keysDir = join(resolve(directory), 'keys');
  const creds = await read(join(keysDir, 'coordinator.creds'));
  const signer = parseSigner(await read(join(keysDir, 'agents.json')));
  if (creds === undefined || signer === undefined)
    throw new Error(
      `${keysDir} holds no coordinator.creds and agents.json: make them by \`gantry nats init ${directory}\`, or copy them from where it was done`,
    );
  return { creds, signer };
}

/** `DIR/keys/jwts.json`: nothing in it is secret, and with it the configuration is made without any seed. */
interface Jwts extends ServerIdentity {
  /** The agents' permissions in the account's JWT are for this prefix. */
  readonly prefix: string;
}

/** Makes what is missing of the keys, and signs the JWTs anew: they carry the time at which they were made. */
async function makeKeys(where: {
  readonly keysDir: string;
  readonly operatorDir: string;
  readonly credsFile: string;
  readonly prefix: string;
  readonly first: boolean;
}): Promise<Jwts> {
  const { keysDir, operatorDir, credsFile, prefix, first } = where;
  if (!first && (await read(join(operatorDir, 'account.nk'))) === undefined)
    throw new Error(
      `another prefix needs the seeds of operator and account, and ${operatorDir} does not hold them: put them back for this command`,
    );
  const operator = await keyIn(join(operatorDir, 'operator.nk'), 'operator');
  const system = await keyIn(join(operatorDir, 'system.nk'), 'account');
  const account = await keyIn(join(operatorDir, 'account.nk'), 'account');
  const signer = await signerIn(join(keysDir, 'agents.json'), account.publicKey);
  if ((await read(credsFile)) === undefined) await write(credsFile, await coordinatorCreds(account), 0o600);
  return {
    prefix,
    systemKey: system.publicKey,
    accountKey: account.publicKey,
    ...(await accountJwts({ operator, system, account, signer, prefix })),
  };
}

async function accountJwts(of: {
  readonly operator: Nkey;
  readonly system: Nkey;
  readonly account: Nkey;
  readonly signer: AgentSigner;
  readonly prefix: string;
}): Promise<Pick<Jwts, 'operatorJwt' | 'systemJwt' | 'accountJwt'>> {
  const { operator, system, account, signer, prefix } = of;
  // What is left out means 0 to the server, and −1 means unlimited.
  const open = {
    conn: -1,
    leaf: -1,
    subs: -1,
    data: -1,
    payload: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
  };
  const jetstream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const scope = newScopedSigner(signer.key.publicKey, 'agent', {
    subs: 10,
    data: -1,
    // A heartbeat names at most what an agent holds.
    payload: 256 * 1024,
    pub: { allow: [`${prefix}.heartbeat.{{name()}}`] },
    sub: { allow: [`${prefix}.agent.{{name()}}.>`] },
    // Time to answer an assignment, in nanoseconds.
    resp: { max: 1, ttl: 60e9 },
  });
  const nothing = { pub: { deny: ['>'] }, sub: { deny: ['>'] } };
  const signed = { signer: operator.seed };
  return {
    operatorJwt: await encodeOperator('gantry', operator.seed, { system_account: system.publicKey }),
    systemJwt: await encodeAccount('SYS', system.publicKey, { limits: open }, signed),
    accountJwt: await encodeAccount(
      'GANTRY',
      account.publicKey,
      { limits: { ...open, ...jetstream }, signing_keys: [scope], default_permissions: nothing },
      signed,
    ),
  };
}

async function coordinatorCreds(account: Nkey): Promise<string> {
  const user = createNkey('user');
  const jwt = await encodeUser('coordinator', user.publicKey, account.seed, {
    pub: { allow: ['>'] },
    sub: { allow: ['>'] },
  });
  return [
    '-----BEGIN NATS USER JWT-----',
    jwt,
    '------END NATS USER JWT------',
    '',
    '-----BEGIN USER NKEY SEED-----',
    user.seed,
    '------END USER NKEY SEED------',
    '',
  ].join('\n');
}

async function keyIn(path: string, role: NkeyRole): Promise<Nkey> {
  const text = await read(path);
  if (text !== undefined) return nkeyFromSeed(text);
  const key = createNkey(role);
  await write(path, `${key.seed}\n`, 0o600);
  return key;
}

async function signerIn(path: string, account: string): Promise<AgentSigner> {
  const text = await read(path);
  if (text === undefined) {
    const key = createNkey('account');
    await write(path, `${JSON.stringify({ account, seed: key.seed }, undefined, 1)}\n`, 0o600);
    return { key, account };
  }
  const signer = parseSigner(text);
  if (signer?.account !== account)
    throw new Error(
      `${path} is of another account than operator/account.nk: restore the missing keys, or remove the directory to begin anew (agents then join again, and the server's store starts empty)`,
    );
  return signer;
}

function parseSigner(text: string | undefined): AgentSigner | undefined {
  if (text === undefined) return undefined;
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return undefined;
  if (!('account' in value) || typeof value.account !== 'string') return undefined;
  if (!('seed' in value) || typeof value.seed !== 'string') return undefined;
  return { account: value.account, key: nkeyFromSeed(value.seed) };
}

function parseJwts(text: string | undefined): Jwts | undefined {
  if (text === undefined) return undefined;
  const value: unknown = JSON.parse(text);
  const has = (name: keyof Jwts): boolean =>
    typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'string';
  const names = ['prefix', 'operatorJwt', 'systemJwt', 'accountJwt', 'systemKey', 'accountKey'] as const;
  // Each field was just seen to be a string.
  return names.every(has) ? (value as Jwts) : undefined;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all: a crash leaves no half-written key. */
async function write(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, path);
}
