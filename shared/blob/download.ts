import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { BlobError } from './blob-error.js';
import { exchange, toFailure } from './http-exchange.js';
import type { Connections } from './http-exchange.js';
import { Retries } from './retry.js';
import { toSha256 } from './sha256.js';
import type { DownloadRequest } from './transfer.js';

/**
 * The bytes as they arrive, over as many requests as it takes: after a failure the next one goes on at the byte reached, of the same object (`If-Match`).
 * Throws instead of ending when length or SHA-256 are not the expected ones.
 */
export async function* download(
  request: DownloadRequest,
  connections: Connections,
  attempts: number,
): AsyncGenerator<Buffer, void, undefined> {
  const { url, range, signal } = request;
  // No header can ask for nothing.
  if (range?.bytes === 0) return;
  const hash = request.sha256 === undefined ? undefined : createHash('sha256');
  const retries = new Retries(attempts, signal);
  let reached = 0;
  let whole: number | undefined;
  let etag: string | undefined;
  while (whole === undefined || reached < whole) {
    let answer: IncomingMessage | undefined;
    try {
      const start = (range?.start ?? 0) + reached;
      const partial = range !== undefined || reached > 0;
      answer = await exchange({
        connections,
        url,
        method: 'GET',
        headers: {
          // Compressed on the way, it would be neither the length nor the bytes that were asked for.
          'accept-encoding': 'identity',
          ...(partial
            ? { range: `bytes=${start}-${range === undefined ? '' : range.start + range.bytes - 1}` }
            : {}),
          ...(etag === undefined ? {} : { 'if-match': etag }),
        },
        signal,
      });
      const expected = whole ?? range?.bytes ?? request.bytes;
      whole = checkHead(answer, { request, start, partial, reached, expected });
      etag = answer.headers.etag;
      const body: AsyncIterable<Buffer> = answer;
      for await (const chunk of body) {
        reached += chunk.length;
        hash?.update(chunk);
        retries.progressed();
        yield chunk;
      }
    } catch (error) {
      await retries.afterFailure(toFailure(error, url, signal));
    } finally {
      answer?.destroy();
    }
  }
  const digest = hash === undefined ? undefined : toSha256(hash);
  if (digest !== undefined && request.sha256 !== undefined && digest !== request.sha256) {
    throw damaged(request, `SHA-256 ${request.sha256}`, digest);
  }
}

/** Whether the answer is what was asked for; returns the length of the whole transfer. */
function checkHead(
  answer: IncomingMessage,
  about: {
    readonly request: DownloadRequest;
    readonly start: number;
    readonly partial: boolean;
    readonly reached: number;
    readonly expected: number | undefined;
  },
): number {
  const { request, start, partial, reached, expected } = about;
  if (partial) {
    const from = /^bytes (\d+)-/.exec(answer.headers['content-range'] ?? '')?.[1];
    if (answer.statusCode !== 206 || Number(from) !== start) {
      const actual = answer.headers['content-range'] ?? `status ${answer.statusCode ?? 0}`;
      throw damaged(request, `bytes from ${start} on`, actual);
    }
  }
  const length = answer.headers['content-length'];
  if (length === undefined) throw damaged(request, 'an answer with its length', 'none');
  const whole = reached + Number(length);
  if (expected !== undefined && whole !== expected) {
    throw damaged(request, `${expected} bytes`, `${whole} bytes`);
  }
  return whole;
}

const damaged = (request: DownloadRequest, expected: string, actual: string): BlobError =>
  new BlobError({ kind: 'verification-failed', what: request.url.toString(), expected, actual });
