import type { UploadedPart } from './blob-store.js';
import type { PresignedUrl } from './presigned-url.js';
import type { Sha256 } from '../model/ids.js';

/** What agents and the CLI use: no credentials, only presigned URLs. */
export interface TransferOptions {
  /** PEM of the authority that signed the storage's certificate, when the system does not know it. */
  readonly ca?: string;
  /** Tries of one request (or one part). Default 6: about 20 s of trying. */
  readonly attempts?: number;
  /** A connection that moves no byte for so long is given up and the request tried again. Default 60,000. */
  readonly idleMs?: number;
}

/** Part of a file: a path, or an open descriptor, which stays the caller's and whose position is not touched. */
export interface FileSource {
  readonly file: string | number;
  /** Default 0. */
  readonly start?: number;
  /** Default: to the end of the file. */
  readonly bytes?: number;
}

export interface Uploaded {
  readonly bytes: number;
  readonly sha256: Sha256;
  readonly etag: string;
}

export interface UploadedParts {
  readonly bytes: number;
  readonly sha256: Sha256;
  readonly parts: readonly UploadedPart[];
}

export interface PartsRequest {
  readonly partBytes: number;
  /** How many parts travel at once. Default 1; 4 is good over a network. */
  readonly parallel?: number;
  /** Called with a few part numbers at a time, shortly before they are used; answers in the same order. */
  readonly urlsFor: (parts: readonly number[], signal?: AbortSignal) => Promise<readonly PresignedUrl[]>;
}

export interface DownloadRequest {
  readonly url: PresignedUrl;
  /** Bytes `start` to `start + bytes - 1` of the object; without it the whole object. */
  readonly range?: { readonly start: number; readonly bytes: number };
  /** Expected length of what arrives; with `range`, its `bytes` is expected anyway. */
  readonly bytes?: number;
  /** Expected SHA-256 of what arrives. */
  readonly sha256?: Sha256;
  readonly signal?: AbortSignal;
}

/**
 * Moves bytes by presigned URLs, streaming (a few hundred kB in memory for each transfer). Network errors, 429 and 5xx are tried again
 * with jittered back-off, per part and from the byte reached; 403 and 404 never are. Throws `BlobError`:
 * `storage-unavailable`, `verification-failed`, `refused` or `source-changed`; the signal's reason when it aborts.
 */
export interface Transfer {
  putBytes(bytes: Uint8Array, url: PresignedUrl, signal?: AbortSignal): Promise<Uploaded>;
  /** At most 64 MiB are meant to go by one put, see `planParts`. */
  putFile(source: FileSource, url: PresignedUrl, signal?: AbortSignal): Promise<Uploaded>;
  putParts(source: FileSource, request: PartsRequest, signal?: AbortSignal): Promise<UploadedParts>;

  /** The bytes as they arrive; ends with `verification-failed` instead of its end when they are not the expected ones. */
  get(request: DownloadRequest): AsyncIterable<Buffer>;
  getBytes(request: DownloadRequest & { readonly maxBytes: number }): Promise<Buffer>;
  /** Writes beside `path` first and renames once verified: there is never a damaged or partial file at `path`. */
  getFile(
    request: DownloadRequest,
    path: string,
  ): Promise<{ readonly bytes: number; readonly sha256: Sha256 }>;

  close(): void;
}
