/**
 * Servers behind a socket of our own that notes when a client's bytes come: the moment at which an agent asked for a
 * container, which the daemon's own events tell only after the work is done, and the one at which a submit reached the
 * coordinator.
 */
import { once } from 'node:events';
import { createConnection, createServer, type NetConnectOpts, type Server } from 'node:net';
import { join } from 'node:path';

export interface DockerRequest {
  readonly at: number;
  readonly method: string;
  readonly path: string;
}

export interface DockerSocket {
  /** For `DOCKER_HOST`. */
  readonly host: string;
  /** Requests since the last `clear`, oldest first; `at` is `performance.now()`. */
  readonly requests: readonly DockerRequest[];
  clear(): void;
  close(): Promise<void>;
}

export async function recordDocker(
  directory: string,
  daemon = '/var/run/docker.sock',
): Promise<DockerSocket> {
  const path = join(directory, 'docker.sock');
  const requests: DockerRequest[] = [];
  const server = relay({ path: daemon }, (chunk) => {
    // The head of a request is one write, but its query may be kilobytes.
    const head = /^(GET|HEAD|POST|PUT|DELETE) (\/[^ ?]*)/.exec(chunk.subarray(0, 300).toString('latin1'));
    if (head) requests.push({ at: performance.now(), method: head[1] ?? '', path: head[2] ?? '' });
  });
  await once(server.listen(path), 'listening');
  return {
    host: `unix://${path}`,
    requests,
    clear: () => requests.splice(0),
    close: () => closed(server),
  };
}

export interface RecordedPort {
  /** `127.0.0.1:1234`. */
  readonly address: string;
  /** When bytes came from the client, oldest first, `performance.now()`. */
  readonly times: readonly number[];
  clear(): void;
  close(): Promise<void>;
}

/** `target`: `host:port`. */
export async function recordPort(target: string): Promise<RecordedPort> {
  const colon = target.lastIndexOf(':');
  const times: number[] = [];
  const server = relay({ host: target.slice(0, colon), port: Number(target.slice(colon + 1)) }, () =>
    times.push(performance.now()),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the relay has no port');
  return {
    address: `127.0.0.1:${bound.port}`,
    times,
    clear: () => times.splice(0),
    close: () => closed(server),
  };
}

function relay(to: NetConnectOpts, onData: (chunk: Buffer) => void): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = createConnection({ ...to, allowHalfOpen: true, noDelay: true });
    client.on('data', onData);
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
}

const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
