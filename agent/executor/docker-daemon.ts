/** The connection to the Docker daemon, and what its errors mean. */
import { Agent } from 'node:http';
import { inspect } from 'node:util';
import Docker from 'dockerode';
import { diskError } from './disk-error.js';
import { ExecutorError } from './executor.js';

export type DockerConnection = Docker.DockerOptions;

/** Without options: `DOCKER_HOST`, else the local socket. Docker contexts are not read. */
export function connectDocker(connection: DockerConnection | undefined): Docker {
  if (!isLocal(connection)) return new Docker(connection);
  // `agent` is an option of docker-modem that dockerode's types leave out.
  const local: DockerConnection & { readonly agent: Agent } = {
    agent: new LocalConnections(),
    ...connection,
  };
  return new Docker(local);
}

const isLocal = (connection: DockerConnection = {}): boolean =>
  connection.socketPath !== undefined ||
  (connection.host === undefined && /^(?:unix:|$)/.test(process.env['DOCKER_HOST'] ?? ''));

/** A few connections to the local socket stay: a stage on an idle agent finds one. Node's own agent keeps them for 5 s. */
class LocalConnections extends Agent {
  constructor() {
    super({ keepAlive: true, maxFreeSockets: 4 });
  }

  /** docker-modem inspects the options of each request, whether it logs them or not; sockets are a large graph. */
  [inspect.custom](): string {
    return this.constructor.name;
  }
}

interface DaemonError {
  readonly statusCode?: unknown;
  readonly code?: unknown;
  readonly reason?: unknown;
  readonly json?: unknown;
  readonly message?: unknown;
}

const asDaemonError = (error: unknown): DaemonError =>
  typeof error === 'object' && error !== null ? error : {};

/** The HTTP status a daemon answered with; undefined when it did not answer. */
export function statusOf(error: unknown): number | undefined {
  const { statusCode } = asDaemonError(error);
  return typeof statusCode === 'number' ? statusCode : undefined;
}

/** The daemon's own words; dockerode's `message` wraps them, and its `reason` is a guess ("no such container"). */
export function wordsOf(error: unknown): string {
  const { json, message } = asDaemonError(error);
  if (typeof json === 'object' && json !== null && 'message' in json && typeof json.message === 'string') {
    return json.message;
  }
  return typeof message === 'string'
    ? message.replace(/^\(HTTP code \d+\) .*? - /, '').trim()
    : String(error);
}

const unreachableCodes = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'EACCES',
  'EPIPE',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ETIMEDOUT',
]);

export const isUnreachable = (error: unknown): boolean =>
  statusOf(error) === undefined && unreachableCodes.has(String(asDaemonError(error).code));

/** 304 (already so), 404 (gone), 409 (in progress or ended): what was asked for is the case or will be. */
export function ignoreStatus(...statuses: readonly number[]): (error: unknown) => void {
  return (error) => {
    if (!statuses.includes(statusOf(error) ?? 0)) throw error;
  };
}

/** For people: why the daemon cannot be used, and what to do. */
export function daemonError(error: unknown, doing: string): ExecutorError {
  if (error instanceof ExecutorError) return error;
  const code = String(asDaemonError(error).code);
  if (!isUnreachable(error)) {
    return new ExecutorError(
      { kind: 'box-broken', message: `Docker failed to ${doing}: ${wordsOf(error)}` },
      { cause: error },
    );
  }
  const remedy =
    code === 'EACCES'
      ? 'add the agent’s user to the group "docker", or run the agent as root'
      : 'start it (systemctl start docker), or set DOCKER_HOST to where it listens';
  const message = `the Docker daemon cannot be reached to ${doing} (${wordsOf(error)}): ${remedy}`;
  return new ExecutorError({ kind: 'box-broken', message }, { cause: error });
}

/** The same for what may also be the disk's fault. */
export const executorError = (error: unknown, doing: string, agent: string): ExecutorError =>
  diskError(error, agent) ?? daemonError(error, doing);
