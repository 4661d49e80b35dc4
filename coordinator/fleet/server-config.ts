/** The text of `nats-server.conf`. Pure. */

export interface ServerOptions {
  /** Address to listen on, e.g. `127.0.0.1` or `0.0.0.0`. */
  readonly listenHost: string;
  readonly port: number;
  /** Where JetStream keeps streams. */
  readonly storeDir: string;
  /** `host:port` that clients are told to use; absent: the addresses of the machine. */
  readonly advertise?: string;
  /** PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** Absent: nats-server takes three quarters of the free disk. */
  readonly maxStoreBytes?: number;
}

export interface ServerIdentity {
  readonly operatorJwt: string;
  readonly systemJwt: string;
  readonly accountJwt: string;
  readonly systemKey: string;
  readonly accountKey: string;
}

export function serverConfig(options: ServerOptions, identity: ServerIdentity): string {
  const { listenHost, port, storeDir, advertise, tls, maxStoreBytes } = options;
  const host = listenHost.includes(':') ? `[${listenHost}]` : listenHost;
  const lines = [
    '# Written by `gantry nats init`; run it again to change something.',
    `listen: ${quoted(`${host}:${port}`)}`,
    ...(advertise === undefined ? [] : [`client_advertise: ${quoted(advertise)}`]),
    '# Entries of the journal and log chunks stay far below.',
    'max_payload: 1MB',
    '# A client that is gone without a word is noticed in 30 s instead of minutes.',
    'ping_interval: "10s"',
    'ping_max: 2',
    '',
    'jetstream {',
    `  store_dir: ${quoted(storeDir)}`,
    ...(maxStoreBytes === undefined ? [] : [`  max_file_store: ${maxStoreBytes}`]),
    '}',
    '',
    ...(tls === undefined
      ? []
      : ['tls {', `  cert_file: ${quoted(tls.certFile)}`, `  key_file: ${quoted(tls.keyFile)}`, '}', '']),
    `operator: ${quoted(identity.operatorJwt)}`,
    `system_account: ${identity.systemKey}`,
    'resolver: MEMORY',
    'resolver_preload: {',
    `  ${identity.systemKey}: ${quoted(identity.systemJwt)}`,
    `  ${identity.accountKey}: ${quoted(identity.accountJwt)}`,
    '}',
    '',
  ];
  return lines.join('\n');
}

/** A string of the configuration language: it knows JSON's escapes of backslash and quote. */
function quoted(text: string): string {
  if (/[\n\r]/.test(text)) throw new Error('a line break cannot be part of the configuration of nats-server');
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
