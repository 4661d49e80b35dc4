import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { chmod } from 'node:fs/promises';
import { Buckets } from './buckets.js';
import { lockDirectory } from './directory-lock.js';
import { makeDirectory } from './durable.js';
import { toS3Error } from './errors.js';
import type { S3Error } from './errors.js';
import { parseRequest } from './request.js';
import type { S3Request } from './request.js';
import { route } from './routes.js';
import { verifySignature } from './s3-signature.js';
import { send } from './send.js';
import type { RunningStorage, StorageOptions } from './storage.js';
import { xmlError } from './xml.js';

const defaultStaleUploadMs = 7 * 24 * 3600_000;
const sweepEveryMs = 3600_000;
/** A connection that moves no byte for so long is given up. */
const idleMs = 120_000;
/** How long a client may go on sending the body of a request that was refused; cutting it off at once could cost it the answer. */
const drainMs = 30_000;

/**
 * Starts the embedded S3 server: for one machine, files on disk, everything signed. `GET /-/healthz` alone needs no signature. Rejects when
 * the port is taken or another server uses the directory.
 */
export async function startStorage(options: StorageOptions): Promise<RunningStorage> {
  await makeDirectory(options.dataDir);
  await chmod(options.dataDir, 0o700);
  const unlock = await lockDirectory(options.dataDir);
  try {
    const buckets = await Buckets.open(options.dataDir);
    const service = new StorageServer(options, buckets);
    await service.listen();
    options.log.info({ port: service.port, dataDir: options.dataDir }, 'storage is ready');
    return {
      port: service.port,
      close: async (graceMs = 5_000) => {
        await service.close(graceMs);
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

class StorageServer {
  readonly #options: StorageOptions;
  readonly #buckets: Buckets;
  readonly #server: Server;
  /** Requests under way: the directory is given up only after them. */
  readonly #running = new Set<Promise<void>>();
  #sweeping: Promise<void> = Promise.resolve();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: StorageOptions, buckets: Buckets) {
    this.#options = options;
    this.#buckets = buckets;
    // Node's own limits end a request after five minutes however well it goes; a large upload takes longer.
    const limits = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 65_000 };
    this.#server =
      options.tls === undefined ? createServer(limits) : createTlsServer({ ...limits, ...options.tls });
    this.#server.timeout = idleMs;
    this.#server.on('request', (message, response) => this.#track(message, response, () => undefined));
    this.#server.on('checkContinue', (message, response) => {
      let told = false;
      this.#track(message, response, () => {
        if (!told) response.writeContinue();
        told = true;
      });
    });
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs).unref();
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the server does not listen');
    return address.port;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#sweep();
  }

  async close(graceMs: number): Promise<void> {
    clearInterval(this.#sweeper);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const force = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(force);
    await Promise.all(this.#running);
    await this.#sweeping;
  }

  #track(message: IncomingMessage, response: ServerResponse, accept: () => void): void {
    const running = this.#handle(message, response, accept).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** The one door: whatever goes wrong behind it becomes an S3 error, or ends the connection. Never rejects. */
  async #handle(message: IncomingMessage, response: ServerResponse, accept: () => void): Promise<void> {
    const id = randomBytes(8).toString('hex').toUpperCase();
    response.setHeader('x-amz-request-id', id);
    response.setHeader('server', 'gantry-storage');
    let request: S3Request | undefined;
    try {
      if (message.url === '/-/healthz' && message.method === 'GET') {
        await send(response, {
          status: 200,
          headers: { 'content-type': 'text/plain' },
          body: { kind: 'text', text: 'ok\n' },
        });
        return;
      }
      request = parseRequest(message, accept);
      const proof = await verifySignature(request, this.#options, new Date());
      await send(response, await route({ request, proof, buckets: this.#buckets }));
    } catch (error) {
      await this.#refuse(error, { id, message, response, request });
    }
  }

  async #refuse(
    cause: unknown,
    exchange: {
      readonly id: string;
      readonly message: IncomingMessage;
      readonly response: ServerResponse;
      readonly request: S3Request | undefined;
    },
  ): Promise<void> {
    const { id, message, response, request } = exchange;
    // The client went away: nobody is left to answer.
    if (message.destroyed && !message.complete) return;
    const error = toS3Error(cause);
    const { method = '' } = message;
    const where = { id, method, path: request?.rawPath, code: error.code };
    if (error.status >= 500 && error.code !== 'NotImplemented') {
      if (!response.destroyed) this.#options.log.error({ ...where, err: cause }, 'a storage request failed');
    } else if (error.status === 403) {
      this.#options.log.warn({ ...where, reason: error.message }, 'a storage request was refused');
    }
    if (response.headersSent || response.destroyed) {
      // Only cutting the connection tells the client that what it got is not all.
      response.destroy();
      return;
    }
    // Without its 100 the client may or may not send the body, so what comes next on this connection is unknown.
    if (message.headers.expect !== undefined) response.setHeader('connection', 'close');
    drain(message);
    await send(response, errorAnswer(error, { id, method, request })).catch(() => undefined); // it went away meanwhile
  }

  #sweep(): void {
    const before = Date.now() - (this.#options.staleUploadMs ?? defaultStaleUploadMs);
    this.#sweeping = this.#sweeping.then(async () => {
      for (const bucket of this.#buckets.all()) {
        try {
          const removed = await bucket.uploads.removeStale(bucket.objects, before);
          if (removed > 0) this.#options.log.info({ bucket: bucket.name, removed }, 'stale uploads removed');
        } catch (error) {
          this.#options.log.error({ bucket: bucket.name, err: error }, 'stale uploads could not be removed');
        }
      }
    });
  }
}

/** The rest of a body that nobody reads is let pass, for a while. */
function drain(message: IncomingMessage): void {
  if (message.complete) return;
  message.resume();
  const cut = setTimeout(() => message.destroy(), drainMs).unref();
  message.once('close', () => clearTimeout(cut));
}

function errorAnswer(
  error: S3Error,
  about: { readonly id: string; readonly method: string; readonly request: S3Request | undefined },
): Parameters<typeof send>[1] {
  const region = error.details['Region'];
  const headers = {
    ...(region === undefined ? {} : { 'x-amz-bucket-region': region }),
    ...(error.code === 'InvalidRange'
      ? { 'content-range': `bytes */${error.details['ActualObjectSize'] ?? '*'}` }
      : {}),
  };
  // The answer to HEAD has no body: its status is all that it says.
  if (about.method === 'HEAD') return { status: error.status, headers, body: { kind: 'none' } };
  const text = xmlError({
    Code: error.code,
    Message: error.message,
    ...error.details,
    Resource: about.request?.rawPath,
    RequestId: about.id,
  });
  return {
    status: error.status,
    headers: { ...headers, 'content-type': 'application/xml' },
    body: { kind: 'text', text },
  };
}
