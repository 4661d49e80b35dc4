/**
 * Signatures of webhooks, in both directions: HMAC-SHA-256, by a secret that both sides have, over
 * `<timestamp>.<body>`. Headers:
 *
 *   X-Gantry-Timestamp   seconds since 1970, when it was signed
 *   X-Gantry-Signature   sha256=<64 hexadecimal characters>
 *   X-Gantry-Delivery    an id of this message: the same one again is a repetition
 *
 * The timestamp is part of what is signed, so an old message cannot be sent again as a new one; within the time that a
 * signature counts, the receiver remembers the deliveries.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export const signatureHeaders = {
  timestamp: 'x-gantry-timestamp',
  signature: 'x-gantry-signature',
  delivery: 'x-gantry-delivery',
} as const;

/** How long a signature counts, in both directions of clocks that differ. */
export const signatureSeconds = 300;

export function signBody(secret: string, timestamp: number, body: Uint8Array | string): string {
  return `sha256=${createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex')}`;
}

export interface SignedMessage {
  /** Seconds since 1970, as in the header. */
  readonly timestamp: string;
  readonly signature: string;
  readonly body: Uint8Array;
}

/** In constant time, whatever is wrong. `nowSeconds`: of the receiver's clock. */
export function isSignatureGood(secret: string, message: SignedMessage, nowSeconds: number): boolean {
  const timestamp = /^\d{1,12}$/.test(message.timestamp) ? Number(message.timestamp) : 0;
  const expected = Buffer.from(signBody(secret, timestamp, message.body));
  const given = Buffer.from(message.signature);
  const isSame = given.length === expected.length && timingSafeEqual(given, expected);
  return isSame && Math.abs(nowSeconds - timestamp) <= signatureSeconds;
}
