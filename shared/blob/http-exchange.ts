import { request as httpRequest } from 'node:http';
import type { Agent as HttpAgent, ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Agent as HttpsAgent } from 'node:https';
import { BlobError } from './blob-error.js';
import type { PresignedUrl } from './presigned-url.js';
import { TransientFailure } from './retry.js';
import { describeNetworkError } from './network-error.js';

/** Connections that requests share. */
export interface Connections {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  readonly idleMs: number;
}

export interface Exchange {
  readonly connections: Connections;
  readonly url: PresignedUrl;
  readonly method: 'GET' | 'PUT';
  readonly headers: OutgoingHttpHeaders;
  /** A body of the length that `headers` name. Blocks may be used again once the second one after is asked for. */
  readonly body?: AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/** From this size on, a server may refuse before the body travels. */
const askFirstBytes = 1024 * 1024;
/** Servers that do not know `Expect` say nothing. */
const askFirstMs = 1000;
const maxErrorBytes = 64 * 1024;

/**
 * One request and the head of its answer. Throws `TransientFailure` for what may go better next time, `BlobError` (`refused`, `blob-not-found`) for what will
 * not, the signal's reason, or what the body's iteration throws. The caller reads the answer's body to its end or destroys it.
 */
export async function exchange(options: Exchange): Promise<IncomingMessage> {
  const { signal, url } = options;
  signal?.throwIfAborted();
  const request = begin(options);
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
  answered.catch(() => undefined); // awaited below, maybe after an error of the body's own
  // Later errors (of a connection that is cut while the answer is read) come as errors of the answer.
  request.on('error', () => undefined);
  try {
    const sent = options.body === undefined || (await sendBody(request, options.body, answered));
    // Ending a request whose body is cut short would hand a connection out of step to the next one.
    if (sent) request.end();
    const answer = await answered;
    if (!isSuccess(answer.statusCode)) throw await errorOf(answer, url);
    if (sent) return answer;
    throw new TransientFailure('it answered before it had the body', url.toString());
  } catch (error) {
    request.destroy();
    throw toFailure(error, url, signal);
  }
}

/** The one place where errors of the network become ours; for errors while an answer's body is read, too. */
export function toFailure(error: unknown, url: PresignedUrl, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (error instanceof BlobError || error instanceof TransientFailure) return error;
  // Faults of the disk or of our own have no business in the network's retries.
  if (!isNetworkError(error)) return error;
  return new TransientFailure(describeNetworkError(error), url.toString(), error);
}

function begin(options: Exchange): ClientRequest {
  const { secure, host, port, path } = options.url.target();
  const length = Number(options.headers['content-length'] ?? 0);
  const settings = {
    host,
    port,
    path,
    method: options.method,
    headers: { ...options.headers, ...(length >= askFirstBytes ? { expect: '100-continue' } : {}) },
    timeout: options.connections.idleMs,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  };
  const request = secure
    ? httpsRequest({ ...settings, agent: options.connections.https })
    : httpRequest({ ...settings, agent: options.connections.http });
  request.on('timeout', () => {
    request.destroy(new IdleError(`no byte moved for ${options.connections.idleMs / 1000} s`));
  });
  return request;
}

/** Sends all, or until an answer comes: one that comes early says that the rest is not wanted. Returns whether all was sent. */
async function sendBody(
  request: ClientRequest,
  body: AsyncIterable<Uint8Array>,
  answered: Promise<IncomingMessage>,
): Promise<boolean> {
  let early = false;
  const answer = answered.then(() => {
    early = true;
  });
  answer.catch(() => undefined); // seen by whoever awaits `answered`
  if (request.hasHeader('expect')) await goAhead(request, answer);
  let before: Promise<void> = Promise.resolve();
  for await (const block of body) {
    if (isTrue(early)) return false;
    const written = new Promise<void>((resolve, reject) => {
      request.write(block, (error) => (error ? reject(error) : resolve()));
    });
    written.catch(() => undefined); // awaited in the next turn
    await Promise.race([before, answer]);
    before = written;
  }
  await Promise.race([before, answer]);
  return true;
}

// A function, because the compiler does not see that a callback changes the variable.
const isTrue = (value: boolean): boolean => value;

async function goAhead(request: ClientRequest, answer: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const told = new Promise<void>((resolve) => {
    request.once('continue', resolve);
    request.once('socket', () => {
      timer = setTimeout(resolve, askFirstMs);
    });
  });
  request.flushHeaders();
  try {
    await Promise.race([told, answer]);
  } finally {
    clearTimeout(timer);
  }
}

const isSuccess = (status: number | undefined): boolean =>
  status !== undefined && status >= 200 && status < 300;

async function errorOf(answer: IncomingMessage, url: PresignedUrl): Promise<Error> {
  const status = answer.statusCode ?? 0;
  const text = await readSome(answer);
  const code = /<Code>([^<]{1,100})<\/Code>/.exec(text)?.[1];
  const message = /<Message>([^<]{1,500})<\/Message>/.exec(text)?.[1];
  const reason = [code, message].filter((part) => part !== undefined).join(': ') || 'without a reason';
  if (status === 429 || status >= 500 || code === 'RequestTimeout' || code === 'SlowDown') {
    return new TransientFailure(`status ${status}, ${reason}`, url.toString());
  }
  if (status === 404 && code === 'NoSuchKey') {
    return new BlobError({ kind: 'blob-not-found', key: url.toString() });
  }
  return new BlobError({ kind: 'refused', what: url.toString(), status, reason });
}

async function readSome(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const body: AsyncIterable<Buffer> = answer;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxErrorBytes) break;
  }
  return Buffer.concat(chunks).toString();
}

class IdleError extends Error {
  readonly code = 'ETIMEDOUT';
}

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EHOSTDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_WRITE_AFTER_END',
]);

function isNetworkError(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isNetworkError);
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  // HPE: the parser met what is no HTTP.
  return networkCodes.has(error.code) || error.code.startsWith('HPE_');
}
