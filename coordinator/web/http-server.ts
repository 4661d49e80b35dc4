/**
 * HTTP: for machines that watch over this process (`/healthz` it lives, `/readyz` it leads and takes runs), and
 * webhooks (`POST /hooks/<project>`).
 */
import fastify, { type FastifyError } from 'fastify';
import type { AddressInfo } from 'node:net';
import type { HostPort } from '../config.js';
import { signatureHeaders } from '../../shared/webhook-signature.js';
import type { WebhookAnswer, WebhookRequest } from '../triggers/webhook.js';

export interface HttpServer {
  readonly address: HostPort;
  /** Answers what it has begun with. */
  close(): Promise<void>;
}

export interface HttpServerOptions {
  readonly listen: HostPort;
  /** A sentence while the coordinator cannot take runs; undefined when it can. */
  readonly notReady: () => string | undefined;
  readonly takeDelivery: (request: WebhookRequest) => Promise<WebhookAnswer>;
}

/** A push of a thousand refs with long names. */
const maxHookBytes = 512 * 1024;

export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port } = options.listen;
  const app = fastify({
    bodyLimit: maxHookBytes,
    forceCloseConnections: 'idle',
    // What a client sends must come soon: a slow one must not hold a connection for ever.
    requestTimeout: 30_000,
  });
  app.removeAllContentTypeParsers();
  // A signature is over bytes, so nothing may read them before.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).type('text/plain').send('there is nothing here\n'),
  );
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    const message = status < 500 ? error.message : 'the coordinator failed at this request';
    return reply.code(status).send({ message });
  });

  app.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reason = options.notReady();
    return reply
      .code(reason === undefined ? 200 : 503)
      .type('text/plain')
      .send(`${reason ?? 'ready'}\n`);
  });
  app.post<{ Params: { project: string } }>('/hooks/:project', async (request, reply) => {
    const header = (name: string): string => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : '';
    };
    const answer = await options.takeDelivery({
      project: request.params.project,
      timestamp: header(signatureHeaders.timestamp),
      signature: header(signatureHeaders.signature),
      delivery: header(signatureHeaders.delivery),
      // The only parser gives buffers; a request without a body has none.
      body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
    });
    return reply.code(answer.status).send(answer.body);
  });

  try {
    await app.listen({ host, port });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen on ${host}:${port}: ${message}`, { cause: error });
  }
  // A TCP server's address is an AddressInfo.
  const bound = app.server.address() as AddressInfo;
  return { address: { host, port: bound.port }, close: () => app.close() };
}
