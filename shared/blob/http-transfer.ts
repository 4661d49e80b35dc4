import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import { BlobError } from './blob-error.js';
import { download } from './download.js';
import { OpenSource } from './file-source.js';
import type { Connections } from './http-exchange.js';
import type { PresignedUrl } from './presigned-url.js';
import { defaultAttempts } from './retry.js';
import { toSha256 } from './sha256.js';
import type {
  DownloadRequest,
  FileSource,
  PartsRequest,
  Transfer,
  TransferOptions,
  Uploaded,
  UploadedParts,
} from './transfer.js';
import { putInParts, putWhole } from './upload.js';
import type { UploadContext } from './upload.js';

/** `Transfer` by node:http, over connections that are kept. One for a process is enough. */
export class HttpTransfer implements Transfer {
  readonly #connections: Connections;
  readonly #attempts: number;

  constructor(options: TransferOptions = {}) {
    const keepAlive = { keepAlive: true, maxSockets: 32 };
    const ca = options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] };
    this.#connections = {
      http: new HttpAgent(keepAlive),
      https: new HttpsAgent({ ...keepAlive, ...ca }),
      idleMs: options.idleMs ?? 60_000,
    };
    this.#attempts = options.attempts ?? defaultAttempts;
  }

  putBytes(bytes: Uint8Array, url: PresignedUrl, signal?: AbortSignal): Promise<Uploaded> {
    const blocks = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      if (bytes.length > 0) yield await Promise.resolve(bytes);
    };
    return putWhole({ bytes: bytes.length, blocks }, url, this.#context(signal));
  }

  async putFile(file: FileSource, url: PresignedUrl, signal?: AbortSignal): Promise<Uploaded> {
    const source = await OpenSource.open(file);
    try {
      const content = { bytes: source.bytes, blocks: () => source.blocks(0, source.bytes) };
      const result = await putWhole(content, url, this.#context(signal));
      await source.checkUnchanged();
      return result;
    } finally {
      await source.close();
    }
  }

  async putParts(file: FileSource, request: PartsRequest, signal?: AbortSignal): Promise<UploadedParts> {
    const source = await OpenSource.open(file);
    try {
      const result = await putInParts(source, request, this.#context(signal));
      await source.checkUnchanged();
      return result;
    } finally {
      await source.close();
    }
  }

  get(request: DownloadRequest): AsyncIterable<Buffer> {
    return download(request, this.#connections, this.#attempts);
  }

  async getBytes(request: DownloadRequest & { readonly maxBytes: number }): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of this.get(request)) {
      bytes += chunk.length;
      if (bytes > request.maxBytes) {
        const reason = `it has more than the ${request.maxBytes} bytes that are read`;
        throw new BlobError({ kind: 'refused', what: request.url.toString(), status: 200, reason });
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async getFile(
    request: DownloadRequest,
    path: string,
  ): Promise<{ readonly bytes: number; readonly sha256: Uploaded['sha256'] }> {
    const partial = `${path}.${randomBytes(6).toString('hex')}.partial`;
    // Never through a link that somebody put there.
    const file = await open(partial, 'wx', 0o644);
    try {
      const hash = createHash('sha256');
      let bytes = 0;
      try {
        for await (const chunk of this.get(request)) {
          hash.update(chunk);
          await file.appendFile(chunk);
          bytes += chunk.length;
        }
      } finally {
        await file.close();
      }
      await rename(partial, path);
      return { bytes, sha256: toSha256(hash) };
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  }

  close(): void {
    this.#connections.http.destroy();
    this.#connections.https.destroy();
  }

  #context(signal: AbortSignal | undefined): UploadContext {
    return { connections: this.#connections, attempts: this.#attempts, signal };
  }
}
