import { ApiError } from './api-error.js';

/** Throws refused where others on the way can read what is sent or answered. `what`: a plural. */
export function demandPrivate(call: { readonly isPrivate: boolean }, what: string): void {
  if (call.isPrivate) return;
  throw new ApiError(
    'refused',
    `${what} do not cross a network in the clear: start the coordinator with --tls-cert and --tls-key and name it as https://HOST:PORT, or do this on its own machine; change a value that was sent just now`,
  );
}
