/**
 * One connection to NATS, which comes back by itself for ever. What it adds to the client: a signal at a break, errors
 * that say what to do, and signatures by `node:crypto`.
 */
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

import {
  connect,
  Events,
  NatsError,
  type ConnectionOptions,
  type NatsConnection,
  type TlsOptions,
} from 'nats';

import { backoffMs } from '../async/backoff.js';
import { deferred } from '../async/deferred.js';
import { forMany } from '../async/for-many.js';
import { sleep } from '../async/sleep.js';
import type { Logger } from '../log.js';
import { nkeyFromSeed, type Nkey } from './nkey.js';

export type NatsAuth =
  /** The text of a `.creds` file. */
  | { readonly kind: 'creds'; readonly text: string }
  /** `jwt` is asked at every connect, and must answer at once. */
  | { readonly kind: 'jwt'; readonly jwt: () => string; readonly key: Nkey }
  | { readonly kind: 'password'; readonly user: string; readonly password: string };

export interface NatsOptions {
  /** `nats://host:port`, `tls://host:port` or `host:port`. */
  readonly servers: readonly string[];
  readonly auth: NatsAuth;
  /** PEM of the authority that signed the server's certificate. Given: a server without TLS is refused. */
  readonly ca?: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  readonly log: Logger;
  /** How long to try while nothing answers. Default: for ever, with a warning every 5 s. */
  readonly patienceMs?: number;
  /**
   * Whether a refusal of the credentials closes a connection that was up (`closed` resolves): the owner then gets new
   * ones. Default false: tried again for ever, as a server's configuration may be repaired.
   */
  readonly closeWhenRefused?: boolean;
  readonly signal?: AbortSignal;
}

export interface NatsLink {
  readonly nc: NatsConnection;
  /**
   * Aborted while the connection is broken; a fresh signal from each reconnect on. Whatever was published or asked
   * and not answered when it aborts will never be answered: settle it as unknown.
   */
  readonly disconnected: AbortSignal;
  /** Resolves when connected, at once if it is. Rejects when the signal aborts or the connection was closed for good. */
  whenUp(signal?: AbortSignal): Promise<void>;
  /** Resolves when closed for good: the reason, or undefined after `close`. */
  readonly closed: Promise<Error | undefined>;
  /** What the server refused this connection, once each time. */
  onRefused(listener: (operation: string, subject: string) => void): void;
  close(): Promise<void>;
}

/** No connection, with a sentence that says what to do. */
export class NatsUnavailable extends Error {
  override readonly name = 'NatsUnavailable';
  constructor(
    message: string,
    /** `refused`: it answered, and trying again without a change is useless. */
    readonly reason: 'unreachable' | 'refused',
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

const backoff = { firstMs: 100, maxMs: 2_000 };
const warnEveryMs = 5_000;

/** Throws NatsUnavailable: at once when the server refuses, after `patienceMs` when it cannot be reached. */
export async function connectNats(options: NatsOptions): Promise<NatsLink> {
  const began = performance.now();
  let warnedAt = -Infinity;
  for (let failures = 0; ; failures++) {
    options.signal?.throwIfAborted();
    try {
      return watch(await connect(clientOptions(options)), options);
    } catch (error) {
      const problem = explain(error, options);
      const waited = performance.now() - began;
      if (problem.reason === 'refused' || waited >= (options.patienceMs ?? Infinity)) throw problem;
      if (performance.now() - warnedAt >= warnEveryMs) {
        warnedAt = performance.now();
        options.log.warn({ servers: options.servers }, `${problem.message}; trying again`);
      }
      await sleep(backoffMs(backoff, failures, Math.random()), options.signal);
    }
  }
}

function clientOptions(options: NatsOptions): ConnectionOptions {
  const secure = options.ca !== undefined || options.servers.some((server) => server.startsWith('tls://'));
  return {
    servers: [...options.servers],
    name: options.name,
    ...credentials(options.auth),
    ...(secure ? { tls: tlsOptions(options) } : {}),
    maxReconnectAttempts: -1,
    // Otherwise each request makes an error object in case it fails: a tenth of the coordinator's time for a stage.
    noAsyncTraces: true,
    // A coordinator is useless while disconnected, and a server that restarts is back within tens of milliseconds.
    reconnectTimeWait: 100,
    reconnectDelayHandler: () => 50 + Math.random() * 200,
    // A server that is stopped but not dead (SIGSTOP, a lost network) is noticed in 4 to 6 s; by default in two minutes.
    pingInterval: 2_000,
    maxPingOut: 2,
    timeout: 5_000,
    // Only the addresses given are used: a server's own list names all its interfaces, most of them unreachable from
    // another network.
    ignoreClusterUpdates: true,
    ignoreAuthErrorAbort: options.closeWhenRefused !== true,
  };
}

/**
 * Given an IP address, the client names no host to TLS, and Node then checks the certificate for `localhost`. So the
 * check is made here: for one of the addresses given.
 */
function tlsOptions({ ca, servers }: NatsOptions): TlsOptions {
  const hosts = servers.map(hostOf);
  const tls = {
    handshakeFirst: false,
    ...(ca === undefined ? {} : { ca }),
    checkServerIdentity(host: string, certificate: PeerCertificate): Error | undefined {
      const isNamed = hosts.some((name) => checkServerIdentity(name, certificate) === undefined);
      return isNamed ? undefined : checkServerIdentity(hosts[0] ?? host, certificate);
    },
  };
  return tls;
}

/** Of `nats://host:port`, `[::1]:4222`, `host`. */
function hostOf(server: string): string {
  const address = server.includes('://') ? server : `nats://${server}`;
  return URL.canParse(address) ? new URL(address).hostname.replace(/^\[(.*)\]$/, '$1') : server;
}

function credentials(auth: NatsAuth): ConnectionOptions {
  switch (auth.kind) {
    case 'password':
      return { user: auth.user, pass: auth.password };
    case 'jwt':
      return { authenticator: (nonce) => signed(auth.jwt(), auth.key, nonce) };
    case 'creds': {
      const { jwt, key } = parseCreds(auth.text);
      return { authenticator: (nonce) => signed(jwt, key, nonce) };
    }
  }
}

const signed = (
  jwt: string,
  key: Nkey,
  nonce: string | undefined,
): { jwt: string; nkey: string; sig: string } => ({
  jwt,
  nkey: key.publicKey,
  sig: key.sign(Buffer.from(nonce ?? '')).toString('base64url'),
});

function parseCreds(text: string): { jwt: string; key: Nkey } {
  const block = (title: string): string | undefined =>
    new RegExp(`-{3,}BEGIN ${title}-{3,}\\s+(\\S+)\\s+-{3,}END ${title}-{3,}`).exec(text)?.[1];
  const jwt = block('NATS USER JWT');
  const seed = block('USER NKEY SEED');
  if (jwt === undefined || seed === undefined)
    throw new Error(
      'the NATS credentials file holds no user JWT and seed: expected the .creds file that `gantry nats init` wrote',
    );
  return { jwt, key: nkeyFromSeed(seed) };
}

function watch(nc: NatsConnection, options: NatsOptions): NatsLink {
  let broken = newBreak();
  let up = deferred<undefined>();
  up.resolve(undefined);
  const refusedListeners: ((operation: string, subject: string) => void)[] = [];
  const down = (): void => {
    if (broken.signal.aborted) return;
    up = deferred();
    up.promise.catch(() => undefined); // nobody may be waiting
    broken.abort(new Error('the connection to NATS broke'));
  };
  const closed = nc.closed().then((error) => {
    down();
    up.reject(new Error('the connection to NATS is closed', { cause: error }));
    return error instanceof Error ? error : undefined;
  });
  const follow = async (): Promise<void> => {
    for await (const status of nc.status()) {
      switch (status.type) {
        case Events.Disconnect:
          if (!nc.isClosed()) options.log.warn({ server: status.data }, 'NATS disconnected; reconnecting');
          down();
          break;
        case Events.Reconnect:
          if (!broken.signal.aborted) break; // repeated after an expiry
          options.log.info({ server: status.data }, 'NATS reconnected');
          broken = newBreak();
          up.resolve(undefined);
          break;
        case Events.Error: {
          const { permissionContext } = status;
          if (permissionContext === undefined) {
            options.log.warn({ error: status.data }, 'NATS reported an error');
            break;
          }
          for (const listener of refusedListeners)
            listener(permissionContext.operation, permissionContext.subject);
          break;
        }
        default:
          break;
      }
    }
  };
  void follow();
  return {
    nc,
    get disconnected() {
      return broken.signal;
    },
    async whenUp(signal) {
      if (!broken.signal.aborted) return;
      signal?.throwIfAborted();
      const aborted = deferred<undefined>();
      const onAbort = (): void => {
        aborted.reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        await Promise.race([up.promise, aborted.promise]);
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    },
    closed,
    onRefused: (listener) => void refusedListeners.push(listener),
    close: () => nc.close(),
  };
}

/** Every question that is under way waits for it. */
function newBreak(): AbortController {
  const controller = new AbortController();
  forMany(controller.signal);
  return controller;
}

/** What went wrong and what to do about it, from the client's error codes. */
function explain(error: unknown, options: NatsOptions): NatsUnavailable {
  const where = `NATS at ${options.servers.join(', ')}`;
  const code = error instanceof NatsError ? error.code : 'UNKNOWN';
  const inner = error instanceof NatsError ? error.chainedError : undefined;
  const words = inner?.message ?? (error instanceof Error ? error.message : String(error));
  switch (code) {
    case 'AUTHORIZATION_VIOLATION':
    case 'BAD_AUTHENTICATION':
    case 'AUTHENTICATION_EXPIRED':
    case 'BAD_CREDS':
      return new NatsUnavailable(
        `${where} refuses these credentials: they must be of the same \`gantry nats init\` as the server's configuration, or be a user that its configuration names`,
        'refused',
        error,
      );
    case 'SERVER_OPT_NA':
      return new NatsUnavailable(
        `${where} does not speak TLS, but a certificate authority or a tls:// address was given for it: give the server a certificate, or leave both away on a trusted network`,
        'refused',
        error,
      );
    default:
      if (/certificate|self.signed|UNABLE_TO_VERIFY|ALTNAME/i.test(words))
        return new NatsUnavailable(
          `${where}: its certificate is not trusted (${words}): give the authority that signed it, and an address that the certificate names`,
          'refused',
          error,
        );
      return new NatsUnavailable(
        `${where} cannot be reached (${words}): start it (\`gantry up\`, or \`nats-server -c DIR/nats-server.conf\` after \`gantry nats init DIR\`), or give its address`,
        'unreachable',
        error,
      );
  }
}

/** Calls back each time the connection has come back, until the signal aborts or the connection is closed for good. */
export async function afterReconnects(link: NatsLink, signal: AbortSignal, back: () => void): Promise<void> {
  while (!signal.aborted) {
    const broken = AbortSignal.any([link.disconnected, signal]);
    if (!broken.aborted) {
      await new Promise<void>((resolve) => broken.addEventListener('abort', () => resolve(), { once: true }));
    }
    try {
      await link.whenUp(signal);
    } catch {
      // Aborted, or closed for good: there is no coming back.
      return;
    }
    back();
  }
}
