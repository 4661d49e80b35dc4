/**
 * The Docker daemon behind a socket of our own that notes when each request came: the moment at which an agent asked
 * for a container, which the daemon's own events tell only after the work is done.
 */
import { createConnection, createServer, type Server } from 'node:net';
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
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = createConnection({ path: daemon, allowHalfOpen: true });
    client.on('data', (chunk) => {
      // The head of a request is one write, but its query may be kilobytes.
      const head = /^(GET|HEAD|POST|PUT|DELETE) (\/[^ ?]*)/.exec(chunk.subarray(0, 300).toString('latin1'));
      if (head) requests.push({ at: performance.now(), method: head[1] ?? '', path: head[2] ?? '' });
    });
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    host: `unix://${path}`,
    requests,
    clear: () => requests.splice(0),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
