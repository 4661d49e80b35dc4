/** Errors as gRPC statuses, bearer tokens out of metadata, and the end of a call. */
import { status, type Metadata } from '@grpc/grpc-js';
import { BlobError } from '../../shared/blob/blob-error.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import { RepositoryUrlError } from '../../shared/git/repository-url.js';
import type { Logger } from '../../shared/log.js';
import { blameOf } from '../../shared/model/failure.js';
import { WireError } from '../../shared/wire/wire-error.js';
import { DirectoryFull, DirectoryUnavailable } from '../access/directory.js';
import { NotLeading } from '../coordinator.js';
import { ApiError, type ApiErrorKind } from './api-error.js';

const codes: Readonly<Record<ApiErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  'not-found': status.NOT_FOUND,
  refused: status.FAILED_PRECONDITION,
  unavailable: status.UNAVAILABLE,
};

export interface GrpcFailure {
  readonly code: status;
  readonly details: string;
}

export function failureOf(error: unknown, log: Logger): GrpcFailure {
  if (error instanceof ApiError) return { code: codes[error.kind], details: error.message };
  if (error instanceof WireError) return { code: status.INVALID_ARGUMENT, details: error.message };
  if (error instanceof DirectoryFull) return { code: status.FAILED_PRECONDITION, details: error.message };
  if (error instanceof DirectoryUnavailable) return { code: status.UNAVAILABLE, details: error.message };
  if (error instanceof NotLeading) return { code: status.UNAVAILABLE, details: error.message };
  if (error instanceof BlobError) return { code: status.UNAVAILABLE, details: error.message };
  if (error instanceof CheckoutError) {
    const ours = blameOf(error.failure) === 'ours';
    return {
      code: ours ? status.UNAVAILABLE : status.FAILED_PRECONDITION,
      details: `${error.failure.kind}: ${error.message}`,
    };
  }
  if (error instanceof RepositoryUrlError) return { code: status.INVALID_ARGUMENT, details: error.message };
  log.error({ err: error }, 'a call failed unexpectedly');
  return { code: status.INTERNAL, details: 'the coordinator failed at this call; its log says why' };
}

export function bearerOf(metadata: Metadata): string | undefined {
  const value = metadata.get('authorization')[0];
  return typeof value === 'string' ? /^bearer (.+)$/i.exec(value)?.[1] : undefined;
}

/** Aborts when the caller hung up. */
export function callSignal(call: {
  on(event: 'cancelled', listener: () => void): unknown;
  readonly cancelled: boolean;
}): AbortSignal {
  const aborter = new AbortController();
  const abort = (): void => aborter.abort(new Error('the caller hung up'));
  if (call.cancelled) abort();
  call.on('cancelled', abort);
  return aborter.signal;
}

/** Until the caller has read what was written, or hung up. */
export function drained(
  call: {
    once(event: 'drain', listener: () => void): unknown;
    off(event: 'drain', listener: () => void): unknown;
  },
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
