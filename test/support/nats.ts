/** A real nats-server for tests: on a free port of 127.0.0.1, in a directory of its own, to be killed and restarted. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { anyFree } from '../../coordinator/cli/up/ports.js';
import { agentJwt, type AgentSigner } from '../../coordinator/fleet/jwt-agent-access.js';
import { initNats, loadNatsKeys } from '../../coordinator/fleet/nats-credentials.js';
import type { AgentId } from '../../shared/model/ids.js';
import {
  connectNats,
  type NatsAuth,
  type NatsLink,
  type NatsOptions,
} from '../../shared/nats/nats-connection.js';
import { createNkey } from '../../shared/nats/nkey.js';

export const silent = pino({ level: 'silent' });

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly directory: string;
  readonly pid: number;
  start(): Promise<void>;
  /** `SIGKILL` by default; resolves when the process is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Kills, starts again on the same port with the same store. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  /** Ends the process and removes the directory. */
  dispose(): Promise<void>;
}

/** Below what the kernel gives out for connections, so that nobody takes it before a server has bound it. */
export const freePort = (): Promise<number> => anyFree('127.0.0.1');

/**
 * `config`: text of a configuration for the given port and store directory, or a file that is written into the
 * directory by the function itself.
 */
export async function startNats(
  config: (at: { port: number; storeDir: string; directory: string }) => string | Promise<{ file: string }>,
  wantedPort?: number,
): Promise<NatsServer> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-nats-'));
  const port = wantedPort ?? (await freePort());
  const made = config({ port, storeDir: join(directory, 'store'), directory });
  let file = join(directory, 'test.conf');
  if (typeof made === 'string') await writeFile(file, made);
  else ({ file } = await made);
  let child: ChildProcess | undefined;
  const server: NatsServer = {
    url: `nats://127.0.0.1:${port}`,
    port,
    directory,
    get pid() {
      if (child?.pid === undefined) throw new Error('nats-server is not running');
      return child.pid;
    },
    async start() {
      const started = spawn('nats-server', ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
      child = started;
      let words = '';
      started.stderr.on('data', (chunk: Buffer) => {
        words = (words + chunk.toString()).slice(-4_000);
      });
      await once(started, 'spawn');
      const deadline = Date.now() + 10_000;
      while (!(await answers(port))) {
        if (started.exitCode !== null) throw new Error(`nats-server ended: ${words}`);
        if (Date.now() > deadline) throw new Error(`nats-server does not answer: ${words}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async stop(signal = 'SIGKILL') {
      if (child === undefined) return;
      const ending = child;
      child = undefined;
      if (ending.exitCode !== null || ending.signalCode !== null) return;
      const gone = once(ending, 'exit');
      ending.kill(signal);
      await gone;
    },
    async restart(signal) {
      await server.stop(signal);
      await server.start();
    },
    async dispose() {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  try {
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

/** One user with all rights: for tests that are not about credentials. */
export const startOpenNats = (extra = ''): Promise<NatsServer> =>
  startNats(
    ({ port, storeDir }) =>
      `listen: 127.0.0.1:${port}\njetstream { store_dir: "${storeDir}" }\n` +
      `authorization { user: test, password: test }\n${extra}`,
  );

export const testAuth: NatsAuth = { kind: 'password', user: 'test', password: 'test' };

export const connectTest = (server: NatsServer, options: Partial<NatsOptions> = {}): Promise<NatsLink> =>
  connectNats({
    servers: [server.url],
    auth: testAuth,
    name: 'test',
    log: silent,
    patienceMs: 5_000,
    ...options,
  });

export interface GantryNats {
  readonly server: NatsServer;
  readonly signer: AgentSigner;
  /** Connects as a coordinator. */
  coordinator(): Promise<NatsLink>;
  /** Connects as an agent of a fresh nkey. */
  agent(id: AgentId, options?: Partial<NatsOptions> & { expiresInSeconds?: number }): Promise<NatsLink>;
}

/** A server as `gantry nats init` sets it up. */
export async function startGantryNats(): Promise<GantryNats> {
  const server = await startNats(async ({ port, storeDir, directory }) => ({
    file: (await initNats(directory, { listenHost: '127.0.0.1', port, storeDir })).configFile,
  }));
  const { creds, signer } = await loadNatsKeys(server.directory);
  const at = { servers: [server.url], log: silent, patienceMs: 5_000 };
  return {
    server,
    signer,
    coordinator: () => connectNats({ ...at, auth: { kind: 'creds', text: creds }, name: 'coordinator' }),
    agent: (id, { expiresInSeconds = 600, ...options } = {}) => {
      const key = createNkey('user');
      const jwt = agentJwt(signer, { id, natsUser: key.publicKey, expiresInSeconds });
      return connectNats({ ...at, auth: { kind: 'jwt', jwt: () => jwt, key }, name: 'agent', ...options });
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
