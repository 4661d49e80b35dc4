/** What an API call ends with when it does not succeed; `grpc-status.ts` turns it into a gRPC status. */
export type ApiErrorKind =
  'invalid' | 'unauthenticated' | 'forbidden' | 'not-found' | 'refused' | 'unavailable';

export class ApiError extends Error {
  override readonly name = 'ApiError';
  constructor(
    readonly kind: ApiErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
