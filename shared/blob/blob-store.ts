import type { Readable } from 'node:stream';
import type { PresignedUrl } from './presigned-url.js';

/**
 * Bytes by key, as a coordinator sees S3-compatible storage. One store is one bucket.
 *
 * - Keys are non-empty strings of at most 1,024 bytes of UTF-8, made by Gantry from numbers and ids.
 * - A put is atomic: a reader sees the old object or the new one, and what is acknowledged is durable.
 * - All methods may run at once. All but `createMultipart` are safe to repeat.
 * - Every method throws `BlobError`; one whose signal aborts throws the signal's reason.
 */
export interface BlobStore {
  /** Where requests go, for messages. */
  readonly endpoint: string;
  readonly bucket: string;

  /** With `ifAbsent`, throws `precondition-failed` when the key exists. */
  put(key: string, body: BlobBody, options?: PutOptions): Promise<{ readonly etag: string }>;
  /** Throws `blob-not-found`. The caller reads `body` to its end or destroys it. */
  get(key: string, options?: GetOptions): Promise<BlobContent>;
  /** Reads an object of at most `maxBytes` whole; throws `refused` when it is larger. */
  getBytes(key: string, options: GetOptions & { readonly maxBytes: number }): Promise<Buffer>;
  /** `undefined` when there is no such object. */
  head(key: string, options?: Cancelable): Promise<BlobHead | undefined>;
  /** Deletes any number of objects; absent ones count as deleted. */
  deleteMany(keys: Iterable<string>, options?: Cancelable): Promise<void>;
  /** All objects whose key starts with `prefix`, in the order of the UTF-8 bytes of their keys, fetched by pages. */
  list(prefix: string, options?: Cancelable & { readonly startAfter?: string }): AsyncIterable<BlobEntry>;
  /** Server-side. Throws `blob-not-found` when there is no `from`. Objects up to 5 GiB. */
  copy(from: string, to: string, options?: Cancelable): Promise<void>;

  /** `bytes` becomes part of the signature: an upload of any other length is refused. */
  presignPut(key: string, options: PresignOptions & { readonly bytes?: number }): Promise<PresignedUrl>;
  /** `contentDisposition` and `contentType` are what the server will answer with. */
  presignGet(
    key: string,
    options: PresignOptions & { readonly contentDisposition?: string; readonly contentType?: string },
  ): Promise<PresignedUrl>;

  createMultipart(key: string, options?: Cancelable & Pick<PutOptions, 'contentType'>): Promise<UploadId>;
  /** Parts count from 1 to 10,000; all but the last have at least 5 MiB. */
  presignPart(
    key: string,
    upload: UploadId,
    part: number,
    options: PresignOptions & { readonly bytes?: number },
  ): Promise<PresignedUrl>;
  /** Repeating it after an answer that got lost succeeds when the object is there. */
  completeMultipart(
    key: string,
    upload: UploadId,
    parts: readonly UploadedPart[],
    options?: Cancelable,
  ): Promise<{ readonly etag: string }>;
  /** Of an upload that is unknown (already completed, aborted, expired): nothing happens. */
  abortMultipart(key: string, upload: UploadId, options?: Cancelable): Promise<void>;

  /** Throws `storage-unavailable` saying endpoint, bucket, cause and remedy, when the bucket cannot be used. */
  checkBucket(options?: Cancelable): Promise<void>;
  /** Makes the bucket when it is missing, otherwise as `checkBucket`. */
  ensureBucket(options?: Cancelable): Promise<void>;

  /** Releases connections. */
  close(): void;
}

export interface Cancelable {
  readonly signal?: AbortSignal;
}

/** A stream always says its length: without it, S3 servers refuse the body or store it wrongly. */
export type BlobBody = Uint8Array | { readonly stream: Readable; readonly bytes: number };

export interface PutOptions extends Cancelable {
  readonly contentType?: string;
  readonly ifAbsent?: boolean;
}

/** Bytes `start` to `end`, both included, from 0. Without `end`: to the end of the object. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

export interface GetOptions extends Cancelable {
  readonly range?: ByteRange;
}

export interface BlobContent {
  /** Length of `body`: of the range, or of the whole object. */
  readonly bytes: number;
  readonly etag: string;
  readonly body: Readable;
}

export interface BlobHead {
  readonly bytes: number;
  readonly etag: string;
  readonly modifiedAt: Date;
}

export interface BlobEntry extends BlobHead {
  readonly key: string;
}

export interface PresignOptions {
  /** 1 second to 7 days. */
  readonly expiresSeconds: number;
}

/** Names a multipart upload; opaque, made by the server. */
export type UploadId = string;

export interface UploadedPart {
  readonly part: number;
  /** As the server answered it, with its quotes. */
  readonly etag: string;
}
