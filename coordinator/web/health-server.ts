/** HTTP for machines that watch over this process: `/healthz` it lives, `/readyz` it leads and takes runs. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { HostPort } from '../config.js';

export interface HealthServer {
  readonly address: HostPort;
  close(): Promise<void>;
}

export async function startHealthServer(options: {
  readonly listen: HostPort;
  /** A sentence while the coordinator cannot take runs; undefined when it can. */
  readonly notReady: () => string | undefined;
}): Promise<HealthServer> {
  const { host, port } = options.listen;
  const server = createServer((request, response) => {
    const answer = (status: number, text: string): void => {
      response.writeHead(status, {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
      });
      response.end(`${text}\n`);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'only GET');
    else if (request.url === '/healthz') answer(200, 'ok');
    else if (request.url === '/readyz') {
      const reason = options.notReady();
      answer(reason === undefined ? 200 : 503, reason ?? 'ready');
    } else answer(404, 'there is /healthz and /readyz');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Error(`cannot listen on ${host}:${port}: ${error.message}`, { cause: error })),
    );
    server.listen(port, host, resolve);
  });
  // A TCP server's address is an AddressInfo.
  const bound = server.address() as AddressInfo;
  return {
    address: { host, port: bound.port },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
