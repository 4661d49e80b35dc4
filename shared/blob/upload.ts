import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { BlobError } from './blob-error.js';
import type { UploadedPart } from './blob-store.js';
import type { OpenSource } from './file-source.js';
import { exchange } from './http-exchange.js';
import type { Connections } from './http-exchange.js';
import { toSha256 } from './sha256.js';
import type { PresignedUrl } from './presigned-url.js';
import { Retries, retrying } from './retry.js';
import type { PartsRequest, Uploaded, UploadedParts } from './transfer.js';

export interface UploadContext {
  readonly connections: Connections;
  readonly attempts: number;
  readonly signal: AbortSignal | undefined;
}

/** How many URLs are asked for at once. They are used within a minute even at 2 MB/s. */
const urlBatch = 8;

/** One put of all of it; `blocks` is called again for each try. */
export async function putWhole(
  content: { readonly bytes: number; readonly blocks: () => AsyncIterable<Uint8Array> },
  url: PresignedUrl,
  context: UploadContext,
): Promise<Uploaded> {
  const { bytes } = content;
  return retrying(new Retries(context.attempts, context.signal), async () => {
    const hash = createHash('sha256');
    const etag = await putOnce({ url, bytes, body: hashing(content.blocks(), hash) }, context);
    return { bytes, sha256: toSha256(hash), etag };
  });
}

/** Parts in order; up to `parallel` of them travel at once. */
export async function putInParts(
  source: OpenSource,
  request: PartsRequest,
  context: UploadContext,
): Promise<UploadedParts> {
  const parallel = request.parallel ?? 1;
  const failed = new AbortController();
  // One part that fails for good ends the others.
  const signal =
    context.signal === undefined ? failed.signal : AbortSignal.any([context.signal, failed.signal]);
  const inner = { ...context, signal };
  const parts = partsOf(source.bytes, request.partBytes);
  const urls = new UrlBatches(request, parts.length);
  const results: UploadedPart[] = [];
  // A single sender hashes what it sends. Several send out of order, so the file is read once more beside them.
  const inline = parallel === 1 ? new RewindableHash() : undefined;
  const remaining = parts.values();
  const sender = async (): Promise<void> => {
    // The senders share one iterator: each part is taken once.
    for (const part of remaining) {
      results.push(await putPart({ source, part, urls, hash: inline }, inner));
    }
  };
  const hashed = inline === undefined ? hashOf(source, signal) : Promise.resolve(undefined);
  try {
    const work = Array.from({ length: Math.min(parallel, parts.length) }, sender);
    const [digest] = await Promise.all([hashed, ...work]);
    return {
      bytes: source.bytes,
      sha256: digest ?? toSha256(inline?.whole() ?? createHash('sha256')),
      parts: results.sort((a, b) => a.part - b.part),
    };
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

interface Part {
  readonly number: number;
  readonly start: number;
  readonly bytes: number;
}

function partsOf(bytes: number, partBytes: number): readonly Part[] {
  // An empty object is one empty part.
  const count = Math.max(1, Math.ceil(bytes / partBytes));
  return Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    start: index * partBytes,
    bytes: Math.min(partBytes, bytes - index * partBytes),
  }));
}

async function putPart(
  work: {
    readonly source: OpenSource;
    readonly part: Part;
    readonly urls: UrlBatches;
    readonly hash: RewindableHash | undefined;
  },
  context: UploadContext,
): Promise<UploadedPart> {
  const { source, part, urls, hash } = work;
  hash?.keep();
  const etag = await retrying(new Retries(context.attempts, context.signal), async (repeated) => {
    if (repeated) hash?.rewind();
    // Back-off may have outlasted the URL: a try after the first gets a new one.
    const url = repeated
      ? await urls.fresh(part.number, context.signal)
      : await urls.of(part.number, context.signal);
    const blocks = source.blocks(part.start, part.bytes);
    const body = hash === undefined ? blocks : hashing(blocks, hash);
    return putOnce({ url, bytes: part.bytes, body }, context);
  });
  return { part: part.number, etag };
}

async function putOnce(
  put: { readonly url: PresignedUrl; readonly bytes: number; readonly body: AsyncIterable<Uint8Array> },
  context: UploadContext,
): Promise<string> {
  const answer = await exchange({
    connections: context.connections,
    url: put.url,
    method: 'PUT',
    headers: { 'content-length': put.bytes },
    body: put.body,
    signal: context.signal,
  });
  answer.resume();
  return answer.headers.etag ?? '';
}

async function* hashing(
  blocks: AsyncIterable<Uint8Array>,
  hash: { update(bytes: Uint8Array): unknown },
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const block of blocks) {
    hash.update(block);
    yield block;
  }
}

async function hashOf(source: OpenSource, signal: AbortSignal): Promise<ReturnType<typeof toSha256>> {
  const hash = createHash('sha256');
  for await (const block of source.blocks(0, source.bytes)) {
    signal.throwIfAborted();
    hash.update(block);
  }
  return toSha256(hash);
}

/** A hash that can forget what a try that failed has fed it. */
class RewindableHash {
  #kept: Hash = createHash('sha256');
  #current: Hash = this.#kept.copy();

  keep(): void {
    this.#kept = this.#current.copy();
  }

  rewind(): void {
    this.#current = this.#kept.copy();
  }

  update(bytes: Uint8Array): void {
    this.#current.update(bytes);
  }

  whole(): Hash {
    return this.#current;
  }
}

/** URLs of parts, asked for a few at a time, each batch once though several senders wait for it. */
class UrlBatches {
  readonly #request: PartsRequest;
  readonly #count: number;
  readonly #batches = new Map<number, Promise<readonly PresignedUrl[]>>();

  constructor(request: PartsRequest, count: number) {
    this.#request = request;
    this.#count = count;
  }

  async of(part: number, signal: AbortSignal | undefined): Promise<PresignedUrl> {
    const batch = Math.floor((part - 1) / urlBatch);
    const first = batch * urlBatch + 1;
    let asking = this.#batches.get(batch);
    if (asking === undefined) {
      const length = Math.min(urlBatch, this.#count - first + 1);
      asking = this.#ask(
        Array.from({ length }, (_, index) => first + index),
        signal,
      );
      this.#batches.set(batch, asking);
      // Batches before the last one are used up.
      this.#batches.delete(batch - 2);
    }
    const url = (await asking)[part - first];
    if (url === undefined) throw noUrl(part);
    return url;
  }

  async fresh(part: number, signal: AbortSignal | undefined): Promise<PresignedUrl> {
    const [url] = await this.#ask([part], signal);
    if (url === undefined) throw noUrl(part);
    return url;
  }

  #ask(parts: readonly number[], signal: AbortSignal | undefined): Promise<readonly PresignedUrl[]> {
    return this.#request.urlsFor(parts, signal);
  }
}

const noUrl = (part: number): BlobError =>
  new BlobError({ kind: 'refused', what: `part ${part}`, status: 0, reason: 'no URL was given for it' });
