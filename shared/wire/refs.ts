import type { PresignedUrl as UrlMessage } from './gen/gantry/v1/PresignedUrl.js';
import type { AttemptRef as RefMessage, AttemptRef__Output } from './gen/gantry/v1/AttemptRef.js';
import { parseRunId, parseToken, type AttemptRef, type Token } from '../model/ids.js';
import { WireError, parsed, required } from './wire-error.js';

export function attemptRefToWire(ref: AttemptRef): RefMessage {
  return { run: ref.run, stage: ref.stage, attempt: ref.attempt };
}

export function attemptRefFromWire(message: AttemptRef__Output | null | undefined): AttemptRef {
  const ref = required('ref', message);
  const stage = ref.stage ?? 0;
  const attempt = ref.attempt ?? 0;
  if (stage < 1) throw new WireError('ref.stage', 'a number from 1', stage);
  if (attempt < 1) throw new WireError('ref.attempt', 'a number from 1', attempt);
  return { run: parsed('ref.run', 'a run id', parseRunId, ref.run), stage, attempt };
}

export function tokenFromWire(value: number | undefined): Token {
  return parsed('token', 'a fencing token', parseToken, value);
}

/** A presigned URL as the contract carries it. */
export interface UrlParts {
  readonly method: 'GET' | 'PUT';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export const urlToWire = (url: UrlParts): UrlMessage => ({
  method: url.method,
  url: url.url,
  headers: { ...url.headers },
});
