import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { BlobError } from './blob-error.js';
import type {
  BlobBody,
  BlobContent,
  BlobEntry,
  BlobHead,
  BlobStore,
  Cancelable,
  GetOptions,
  PresignOptions,
  PutOptions,
  UploadedPart,
  UploadId,
} from './blob-store.js';
import { PresignedUrl } from './presigned-url.js';
import { s3Client } from './s3-client.js';
import type { S3Options } from './s3-client.js';
import { toBlobError } from './s3-errors.js';

export type { S3Options } from './s3-client.js';

/** What S3 takes in one DeleteObjects. */
const deleteBatch = 1000;

/** `BlobStore` on any S3-compatible server. */
export class S3BlobStore implements BlobStore {
  readonly endpoint: string;
  readonly bucket: string;
  readonly #client: S3Client;
  /** Signs for the public endpoint and never sends a request. */
  readonly #presigner: S3Client;

  constructor(options: S3Options) {
    this.endpoint = options.endpoint;
    this.bucket = options.bucket;
    this.#client = s3Client(options, options.endpoint);
    this.#presigner = s3Client(options, options.publicEndpoint ?? options.endpoint);
  }

  put(key: string, body: BlobBody, options: PutOptions = {}): Promise<{ readonly etag: string }> {
    return this.#guard('a put', key, options, async (abort) => {
      const streamed = !(body instanceof Uint8Array);
      const result = await this.#client.send(
        new PutObjectCommand({
          Bucket: this.bucket,
          Key: key,
          Body: streamed ? body.stream : body,
          ContentLength: streamed ? body.bytes : body.byteLength,
          ContentType: options.contentType,
          IfNoneMatch: options.ifAbsent === true ? '*' : undefined,
        }),
        abort,
      );
      return { etag: quoted(result.ETag) };
    });
  }

  get(key: string, options: GetOptions = {}): Promise<BlobContent> {
    return this.#guard('a get', key, options, async (abort) => {
      const { range } = options;
      const result = await this.#client.send(
        new GetObjectCommand({
          Bucket: this.bucket,
          Key: key,
          Range: range === undefined ? undefined : `bytes=${range.start}-${range.end ?? ''}`,
        }),
        abort,
      );
      if (!(result.Body instanceof Readable)) throw new TypeError('the answer has no body to read');
      return { bytes: result.ContentLength ?? 0, etag: quoted(result.ETag), body: result.Body };
    });
  }

  async getBytes(key: string, options: GetOptions & { readonly maxBytes: number }): Promise<Buffer> {
    const { bytes, body } = await this.get(key, options);
    if (bytes > options.maxBytes) {
      body.destroy();
      const reason = `it has ${bytes} bytes, at most ${options.maxBytes} are read`;
      throw new BlobError({ kind: 'refused', what: `object ${JSON.stringify(key)}`, status: 200, reason });
    }
    return this.#guard('a get', key, options, async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of body) chunks.push(asBuffer(chunk));
      return Buffer.concat(chunks);
    });
  }

  async head(key: string, options: Cancelable = {}): Promise<BlobHead | undefined> {
    try {
      return await this.#guard('a head', key, options, async (abort) => {
        const result = await this.#client.send(
          new HeadObjectCommand({ Bucket: this.bucket, Key: key }),
          abort,
        );
        return {
          bytes: result.ContentLength ?? 0,
          etag: quoted(result.ETag),
          modifiedAt: result.LastModified ?? new Date(0),
        };
      });
    } catch (error) {
      if (error instanceof BlobError && error.failure.kind === 'blob-not-found') {
        // A HEAD's 404 has no body, so a missing bucket looks the same; that one must not pass as "no such object".
        await this.checkBucket(options);
        return undefined;
      }
      throw error;
    }
  }

  async deleteMany(keys: Iterable<string>, options: Cancelable = {}): Promise<void> {
    for (const batch of batchesOf(keys, deleteBatch)) {
      await this.#guard('a delete', undefined, options, async (abort) => {
        const result = await this.#client.send(
          new DeleteObjectsCommand({
            Bucket: this.bucket,
            Delete: { Objects: batch.map((key) => ({ Key: key })), Quiet: true },
          }),
          abort,
        );
        const failed = result.Errors?.[0];
        if (failed !== undefined) {
          const reason = `${failed.Code ?? 'error'}: ${failed.Message ?? ''}`;
          const what = `to delete ${result.Errors?.length ?? 1} of ${batch.length} objects, the first ${JSON.stringify(failed.Key)}`;
          throw new BlobError({ kind: 'refused', what, status: 200, reason });
        }
      });
    }
  }

  async *list(
    prefix: string,
    options: Cancelable & { readonly startAfter?: string } = {},
  ): AsyncGenerator<BlobEntry, void, undefined> {
    let token: string | undefined;
    do {
      const page = await this.#guard('a list', undefined, options, (abort) =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.bucket,
            Prefix: prefix,
            StartAfter: token === undefined ? options.startAfter : undefined,
            ContinuationToken: token,
            // Keys may hold characters that XML cannot.
            EncodingType: 'url',
          }),
          abort,
        ),
      );
      for (const entry of page.Contents ?? []) {
        yield {
          key: decodeListedKey(entry.Key ?? ''),
          bytes: entry.Size ?? 0,
          etag: quoted(entry.ETag),
          modifiedAt: entry.LastModified ?? new Date(0),
        };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async copy(from: string, to: string, options: Cancelable = {}): Promise<void> {
    await this.#guard('a copy', from, options, (abort) =>
      this.#client.send(
        new CopyObjectCommand({ Bucket: this.bucket, Key: to, CopySource: copySource(this.bucket, from) }),
        abort,
      ),
    );
  }

  async presignPut(
    key: string,
    options: PresignOptions & { readonly bytes?: number },
  ): Promise<PresignedUrl> {
    const command = new PutObjectCommand({ Bucket: this.bucket, Key: key, ContentLength: options.bytes });
    return new PresignedUrl(await getSignedUrl(this.#presigner, command, presigning(options)));
  }

  async presignGet(
    key: string,
    options: PresignOptions & { readonly contentDisposition?: string; readonly contentType?: string },
  ): Promise<PresignedUrl> {
    const command = new GetObjectCommand({
      Bucket: this.bucket,
      Key: key,
      ResponseContentDisposition: options.contentDisposition,
      ResponseContentType: options.contentType,
    });
    return new PresignedUrl(await getSignedUrl(this.#presigner, command, presigning(options)));
  }

  createMultipart(
    key: string,
    options: Cancelable & Pick<PutOptions, 'contentType'> = {},
  ): Promise<UploadId> {
    return this.#guard('a multipart upload', key, options, async (abort) => {
      const result = await this.#client.send(
        new CreateMultipartUploadCommand({
          Bucket: this.bucket,
          Key: key,
          ContentType: options.contentType,
        }),
        abort,
      );
      if (result.UploadId === undefined) throw new TypeError('the answer names no upload');
      return result.UploadId;
    });
  }

  async presignPart(
    key: string,
    upload: UploadId,
    part: number,
    options: PresignOptions & { readonly bytes?: number },
  ): Promise<PresignedUrl> {
    const command = new UploadPartCommand({
      Bucket: this.bucket,
      Key: key,
      UploadId: upload,
      PartNumber: part,
      ContentLength: options.bytes,
    });
    return new PresignedUrl(await getSignedUrl(this.#presigner, command, presigning(options)));
  }

  async completeMultipart(
    key: string,
    upload: UploadId,
    parts: readonly UploadedPart[],
    options: Cancelable = {},
  ): Promise<{ readonly etag: string }> {
    try {
      const etag = await this.#guard('to complete a multipart upload', key, options, async (abort) => {
        const result = await this.#client.send(
          new CompleteMultipartUploadCommand({
            Bucket: this.bucket,
            Key: key,
            UploadId: upload,
            MultipartUpload: { Parts: parts.map(({ part, etag }) => ({ PartNumber: part, ETag: etag })) },
          }),
          abort,
        );
        return quoted(result.ETag);
      });
      // Some servers (Ceph RGW 16) do not say it in this answer.
      return { etag: etag === '' ? ((await this.head(key, options))?.etag ?? '') : etag };
    } catch (error) {
      // The first answer may have got lost after the work was done: the upload is unknown then, and the object is there.
      if (!isUnknownUpload(error)) throw error;
      const done = await this.head(key, options);
      if (done === undefined) throw error;
      return { etag: done.etag };
    }
  }

  async abortMultipart(key: string, upload: UploadId, options: Cancelable = {}): Promise<void> {
    try {
      await this.#guard('to abort a multipart upload', key, options, (abort) =>
        this.#client.send(
          new AbortMultipartUploadCommand({ Bucket: this.bucket, Key: key, UploadId: upload }),
          abort,
        ),
      );
    } catch (error) {
      if (!isUnknownUpload(error)) throw error;
    }
  }

  async checkBucket(options: Cancelable = {}): Promise<void> {
    await this.#guard('a look at the bucket', undefined, options, (abort) =>
      this.#client.send(new HeadBucketCommand({ Bucket: this.bucket }), abort),
    );
  }

  async ensureBucket(options: Cancelable = {}): Promise<void> {
    try {
      await this.checkBucket(options);
      return;
    } catch (error) {
      const missing = error instanceof BlobError && hasStatus(error.cause, 404);
      if (!missing) throw error;
    }
    try {
      await this.#guard('to make the bucket', undefined, options, (abort) =>
        this.#client.send(new CreateBucketCommand({ Bucket: this.bucket }), abort),
      );
    } catch (error) {
      // Another coordinator was faster.
      if (!(error instanceof BlobError && hasStatus(error.cause, 409))) throw error;
      await this.checkBucket(options);
    }
  }

  close(): void {
    this.#client.destroy();
    this.#presigner.destroy();
  }

  /** Runs one request with the caller's signal, and gives its errors our names. */
  async #guard<T>(
    what: string,
    key: string | undefined,
    { signal }: Cancelable,
    request: (abort: { readonly abortSignal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    try {
      return await request(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      throw toBlobError(error, this, { what, ...(key === undefined ? {} : { key }), signal });
    }
  }
}

function presigning(options: PresignOptions & { readonly bytes?: number }): {
  expiresIn: number;
  signableHeaders?: Set<string>;
} {
  return {
    expiresIn: options.expiresSeconds,
    ...(options.bytes === undefined ? {} : { signableHeaders: new Set(['host', 'content-length']) }),
  };
}

function* batchesOf(keys: Iterable<string>, size: number): Generator<readonly string[]> {
  let batch: string[] = [];
  for (const key of keys) {
    batch.push(key);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

/** Some servers write a space as `+`; a plus sign is always written as `%2B`. */
const decodeListedKey = (encoded: string): string => decodeURIComponent(encoded.replaceAll('+', ' '));

const copySource = (bucket: string, key: string): string =>
  `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;

function isUnknownUpload(error: unknown): boolean {
  return error instanceof BlobError && error.cause instanceof Error && error.cause.name === 'NoSuchUpload';
}

function hasStatus(error: unknown, status: number): boolean {
  // The SDK's exceptions are errors with this property; anything else has none.
  const metadata = error instanceof Error && '$metadata' in error ? error.$metadata : undefined;
  return (
    typeof metadata === 'object' &&
    metadata !== null &&
    'httpStatusCode' in metadata &&
    metadata.httpStatusCode === status
  );
}

/** Some answers of some servers leave the quotes out. */
const quoted = (etag: string | undefined): string =>
  etag === undefined || etag === '' ? '' : `"${etag.replaceAll('"', '')}"`;

function asBuffer(chunk: unknown): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk;
  throw new TypeError('the body of an answer is no byte stream');
}
