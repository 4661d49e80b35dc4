import { S3ServiceException } from '@aws-sdk/client-s3';
import { BlobError } from './blob-error.js';
import { describeNetworkError } from './network-error.js';

export interface S3Place {
  readonly endpoint: string;
  readonly bucket: string;
}

/** Names of errors that mean: this client's configuration is wrong, or the machine's clock is. */
const remedies: Readonly<Record<string, string>> = {
  NoSuchBucket: 'Make the bucket, or name the right one.',
  InvalidAccessKeyId: 'Check the access key.',
  SignatureDoesNotMatch: 'Check the secret key, the region, and that nothing between rewrites requests.',
  AuthorizationHeaderMalformed: 'Check the region.',
  PermanentRedirect: 'The bucket is in another region: check endpoint and region.',
  RequestTimeTooSkewed: 'Set the clock of this machine or of the server.',
  AccessDenied: 'Check that the access key may use this bucket.',
  InsufficientStorage: 'Free space on the disk of the storage.',
};

/**
 * The one door through which errors of the SDK become ours. `signal` comes first: what was canceled is no failure.
 * A 403 or 404 without a body (the answer to HEAD) has only its status to tell.
 */
export function toBlobError(
  error: unknown,
  place: S3Place,
  context: { readonly what: string; readonly key?: string; readonly signal?: AbortSignal | undefined },
): unknown {
  if (context.signal?.aborted === true) return context.signal.reason;
  if (error instanceof BlobError) return error;
  if (!(error instanceof S3ServiceException)) return unavailable(place, describeNetworkError(error), error);
  const status = error.$metadata.httpStatusCode ?? 0;
  // A HEAD has no body to name the error in: the SDK then says NotFound, or Unknown.
  const missing = error.name === 'NoSuchKey' || error.name === 'NotFound';
  if (missing && context.key !== undefined) {
    return new BlobError({ kind: 'blob-not-found', key: context.key }, error);
  }
  if (status === 412) {
    return new BlobError({ kind: 'precondition-failed', key: context.key ?? '' }, error);
  }
  const remedy = remedies[error.name] ?? remedyOfStatus(status);
  if (remedy !== undefined) return unavailable(place, wordsOf(error, status), error, remedy);
  return new BlobError(
    { kind: 'refused', what: context.what, status, reason: wordsOf(error, status) },
    error,
  );
}

function unavailable(place: S3Place, reason: string, cause: unknown, remedy?: string): BlobError {
  return new BlobError(
    {
      kind: 'storage-unavailable',
      endpoint: place.endpoint,
      bucket: place.bucket,
      reason,
      remedy: remedy ?? 'Check that the server runs and that this machine reaches it.',
    },
    cause,
  );
}

function remedyOfStatus(status: number): string | undefined {
  if (status === 403) return 'Check the access key, the secret key and what they may do.';
  if (status === 404) return 'Make the bucket, or name the right one.';
  if (status === 429 || status >= 500) return 'Try again when the server is well; its own log says more.';
  return undefined;
}

function wordsOf(error: S3ServiceException, status: number): string {
  const message = error.message === 'UnknownError' || error.message === '' ? '' : `: ${error.message}`;
  return `${error.name}${message} (${status})`;
}
