import { createHash, createHmac } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll } from 'vitest';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import { embeddedCredentials, startEmbeddedS3 } from './s3.js';

export interface RawRequest {
  readonly method: string;
  /** As it goes on the wire: encoded path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** What `x-amz-content-sha256` says. Default: the body's SHA-256. */
  readonly payload?: string;
  readonly accessKey?: string;
  readonly secretKey?: string;
  readonly region?: string;
  readonly at?: Date;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The code of an error document. */
  readonly code: string | undefined;
}

/**
 * Signature Version 4 by hand, from its description: neither the SDK's signer nor ours takes part. Returns the headers to send and what signing
 * chunks of the body goes on from.
 */
export function signByHand(
  request: RawRequest,
  host: string,
): {
  readonly headers: Record<string, string>;
  readonly signature: string;
  readonly key: Buffer;
  readonly date: string;
  readonly scope: string;
} {
  const { accessKey, secretKey, region } = { ...embeddedCredentials, ...request };
  const date = (request.at ?? new Date()).toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
  const payload =
    request.payload ??
    createHash('sha256')
      .update(request.body ?? '')
      .digest('hex');
  const headers: Record<string, string> = {
    ...request.headers,
    host,
    'x-amz-date': date,
    'x-amz-content-sha256': payload,
  };
  const names = Object.keys(headers).sort();
  const [path = '', query = ''] = request.path.split('?');
  const canonicalQuery = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
    .sort()
    .join('&');
  const canonical = [
    request.method,
    path,
    canonicalQuery,
    ...names.map((name) => `${name}:${headers[name] ?? ''}`),
    '',
    names.join(';'),
    payload,
  ].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const hmac = (key: Buffer | string, text: string): Buffer =>
    createHmac('sha256', key).update(text).digest();
  const key = [region, 's3', 'aws4_request'].reduce(hmac, hmac(`AWS4${secretKey}`, date.slice(0, 8)));
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash}`).toString('hex');
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { headers, signature, key, date, scope };
}

/** Signs and sends; `alter` may change what was signed before it goes out. */
export function sendRaw(
  port: number,
  request: RawRequest,
  alter: (signed: { headers: Record<string, string>; path: string; body: Buffer | undefined }) => void = () =>
    undefined,
): Promise<RawAnswer> {
  const { headers } = signByHand(request, `127.0.0.1:${port}`);
  const outgoing = { headers, path: request.path, body: request.body };
  alter(outgoing);
  return sendPlain(port, { method: request.method, ...outgoing });
}

/** Sends exactly this. */
export function sendPlain(
  port: number,
  request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: Buffer | undefined;
  },
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const length = request.body === undefined ? {} : { 'content-length': String(request.body.length) };
    const outgoing = httpRequest(
      {
        host: '127.0.0.1',
        port,
        method: request.method,
        path: request.path,
        headers: { ...length, ...request.headers },
        agent: false,
      },
      (answer) => {
        buffer(answer).then((body) => {
          const code = /<Code>([^<]+)</.exec(body.toString())?.[1];
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body, code });
        }, reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(request.body);
  });
}

export const bucket = 'tools';

export const md5 = (body: string | Buffer, encoding: 'hex' | 'base64' = 'hex'): string =>
  createHash('md5').update(body).digest(encoding);

type Alter = Parameters<typeof sendRaw>[2];

/** The embedded server with one bucket, for a file of tests, as a tool sees it that is not ours. */
export class Tools {
  #server: Awaited<ReturnType<typeof startEmbeddedS3>> | undefined;
  #store: S3BlobStore | undefined;
  #client: S3Client | undefined;

  static use(): Tools {
    const tools = new Tools();
    beforeAll(async () => {
      const server = await startEmbeddedS3();
      tools.#server = server;
      tools.#store = new S3BlobStore({ ...server, bucket });
      tools.#client = new S3Client({
        endpoint: server.endpoint,
        region: server.region,
        forcePathStyle: true,
        credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
      });
      await tools.#store.ensureBucket();
    });
    afterAll(async () => {
      tools.#client?.destroy();
      tools.#store?.close();
      await tools.#server?.stop();
    });
    return tools;
  }

  get server(): Awaited<ReturnType<typeof startEmbeddedS3>> {
    return present(this.#server);
  }

  get store(): S3BlobStore {
    return present(this.#store);
  }

  /** The SDK as it comes, with its defaults. */
  get client(): S3Client {
    return present(this.#client);
  }

  readonly raw = (
    method: string,
    path: string,
    more: Partial<RawRequest> = {},
    alter?: Alter,
  ): Promise<RawAnswer> => sendRaw(this.server.port, { method, path: `/${bucket}${path}`, ...more }, alter);

  readonly put = (
    key: string,
    body: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<RawAnswer> => this.raw('PUT', `/${key}`, { body: Buffer.from(body), headers });

  readonly contentOf = async (key: string): Promise<string | undefined> => {
    const answer = await this.raw('GET', `/${key}`);
    return answer.status === 200 ? answer.body.toString() : undefined;
  };

  /** Files that are being written, or were forgotten. */
  readonly temporaryFiles = (): string[] => readdirSync(join(this.server.dataDir, 'tmp'));
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the server is not started yet');
  return value;
}
