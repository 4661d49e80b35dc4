/** git's own HTTP server program behind a small HTTP(S) server on loopback, with what real ones do: demand, refuse, vanish. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface GitHttp {
  readonly url: string;
  /** Requests so far: method, path, and whether they carried credentials. */
  readonly requests: readonly {
    readonly path: string;
    readonly authorized: boolean;
    readonly authorization: string | undefined;
  }[];
  /** What it answers from now on; undefined: the repository. */
  answer: GitHttpOptions['answer'] | undefined;
  close(): Promise<void>;
}

export interface GitHttpOptions {
  /** Repositories are below it. */
  readonly root: string;
  /** 401: credentials are demanded. 404, 500: as any broken server. `hang`: the request is taken and never answered. */
  readonly answer?: 401 | 403 | 404 | 500 | 'hang';
  /** Instead of the repository, a redirect there. */
  readonly redirect?: string;
  /** Who may read: others are asked for it (401). Redirects are given to nobody else either. */
  readonly basic?: { readonly user: string; readonly password: string };
  /** PEM; then it is an https server of `localhost` and `127.0.0.1`. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export async function serveGit(options: GitHttpOptions): Promise<GitHttp> {
  const requests: { path: string; authorized: boolean; authorization: string | undefined }[] = [];
  const { basic, tls } = options;
  const expected =
    basic === undefined
      ? undefined
      : `Basic ${Buffer.from(`${basic.user}:${basic.password}`).toString('base64')}`;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const { authorization } = request.headers;
    requests.push({ path: request.url ?? '', authorized: authorization !== undefined, authorization });
    if (expected !== undefined && authorization !== expected) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
      return;
    }
    if (options.redirect !== undefined) {
      response.writeHead(302, { Location: `${options.redirect}${request.url ?? ''}` }).end();
      return;
    }
    switch (served.answer) {
      case 'hang':
        return;
      case 401:
        response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
        return;
      case 403:
      case 404:
      case 500:
        response.writeHead(served.answer).end();
        return;
      case undefined:
        backend(options.root, request, response);
    }
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const served: GitHttp = {
    answer: options.answer,
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return served;
}

function backend(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env['PATH'],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      REQUEST_METHOD: request.method,
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REMOTE_ADDR: '127.0.0.1',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(child.stdin);
  child.stdin.on('error', () => undefined); // it ended without reading everything
  let head = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    if (response.headersSent) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    let status = 200;
    for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
      const [name = '', value = ''] = line.split(/:\s*/, 2);
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    response.write(head.subarray(end + 4));
  });
  child.stdout.on('end', () => response.end());
}
