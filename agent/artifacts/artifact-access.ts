import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import type { PresignObject } from '../../shared/model/agent.js';

/**
 * What one attempt may do with storage, asked of the coordinator when it is needed: URLs are valid for minutes only. Calls
 * wait while the coordinator is away.
 */
export interface ArtifactAccess {
  /** A URL for one read or one small put. */
  presign(object: PresignObject, signal: AbortSignal): Promise<PresignedUrl>;
  /** The upload of one artifact, whose length is known. */
  upload(artifact: { readonly number: number; readonly bytes: number }): ArtifactUpload;
}

/** By one put, or by parts: then either `finish` or `abort` ends it. */
export interface ArtifactUpload {
  single(signal: AbortSignal): Promise<PresignedUrl>;
  /** URLs of parts `first` to `first + count - 1`, counted from 1. */
  parts(first: number, count: number, signal: AbortSignal): Promise<readonly PresignedUrl[]>;
  /** ETags of all parts in order. */
  finish(etags: readonly string[], signal: AbortSignal): Promise<void>;
  abort(): Promise<void>;
}
