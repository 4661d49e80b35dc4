/** Everything that can go wrong between Gantry and S3-compatible storage. */
export type BlobFailure =
  /** The server, the bucket or the access to it is missing: nothing works until somebody acts or it comes back. */
  | {
      readonly kind: 'storage-unavailable';
      readonly endpoint: string;
      readonly bucket?: string;
      readonly reason: string;
      readonly remedy: string;
    }
  | { readonly kind: 'blob-not-found'; readonly key: string }
  /** A conditional request did not hold: the object exists already, or is another one than expected. */
  | { readonly kind: 'precondition-failed'; readonly key: string }
  /** The bytes are not the ones that were promised. They were read whole and must not be used. */
  | {
      readonly kind: 'verification-failed';
      readonly what: string;
      readonly expected: string;
      readonly actual: string;
    }
  /** The server understood and said no: asking again with the same request is useless. */
  | { readonly kind: 'refused'; readonly what: string; readonly status: number; readonly reason: string }
  /** The file that was to be sent or packed is not what it was when the work began. */
  | { readonly kind: 'source-changed'; readonly what: string; readonly reason: string };

export class BlobError extends Error {
  override readonly name = 'BlobError';

  constructor(
    readonly failure: BlobFailure,
    cause?: unknown,
  ) {
    super(describeBlobFailure(failure), cause === undefined ? undefined : { cause });
  }
}

/** One sentence for people: what happened, where, and what to do. */
export function describeBlobFailure(failure: BlobFailure): string {
  switch (failure.kind) {
    case 'storage-unavailable': {
      const bucket = failure.bucket === undefined ? '' : `, bucket ${failure.bucket}`;
      return `storage at ${failure.endpoint}${bucket} is not available: ${failure.reason}. ${failure.remedy}`;
    }
    case 'blob-not-found':
      return `storage has no object ${JSON.stringify(failure.key)}`;
    case 'precondition-failed':
      return `object ${JSON.stringify(failure.key)} in storage is not as the request expected it`;
    case 'verification-failed':
      return `${failure.what} is damaged: expected ${failure.expected}, got ${failure.actual}`;
    case 'refused':
      return `storage refused ${failure.what} with status ${failure.status}: ${failure.reason}`;
    case 'source-changed':
      return `${failure.what} changed while it was read: ${failure.reason}`;
  }
}
