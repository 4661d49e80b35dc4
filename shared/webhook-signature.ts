/**
 * Signatures of webhooks, in both directions: HMAC-SHA-256, by a secret that both sides have, over
 * `<timestamp>.<delivery>.<body>`. Headers:
 *
 *   X-Gantry-Timestamp   seconds since 1970, when it was signed
 *   X-Gantry-Signature   sha256=<64 hexadecimal characters>
 *   X-Gantry-Delivery    an id of this message: the same one again is a repetition
 *
 * Timestamp and delivery are part of what is signed: a message that somebody overheard cannot be sent again as a new one.
 * Within the time that a signature counts the receiver remembers the deliveries, and later the signature counts no more.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export const signatureHeaders = {
  timestamp: 'x-gantry-timestamp',
  signature: 'x-gantry-signature',
  delivery: 'x-gantry-delivery',
} as const;

/** How long a signature counts, in both directions of clocks that differ. */
export const signatureSeconds = 300;

/** `timestamp`: seconds since 1970. `delivery` has no full stop, so that what is signed reads in one way only. */
export function signMessage(
  secret: string,
  message: { readonly timestamp: number; readonly delivery: string; readonly body: Uint8Array | string },
): string {
  const { timestamp, delivery, body } = message;
  const hmac = createHmac('sha256', secret).update(`${timestamp}.${delivery}.`).update(body);
  return `sha256=${hmac.digest('hex')}`;
}

/** As its headers have it. */
export interface SignedMessage {
  readonly timestamp: string;
  readonly delivery: string;
  readonly signature: string;
  readonly body: Uint8Array;
}

/** In constant time, whatever is wrong. `nowSeconds`: of the receiver's clock. */
export function isSignatureGood(secret: string, message: SignedMessage, nowSeconds: number): boolean {
  const timestamp = /^\d{1,12}$/.test(message.timestamp) ? Number(message.timestamp) : 0;
  const { delivery, body } = message;
  const expected = Buffer.from(signMessage(secret, { timestamp, delivery, body }));
  const given = Buffer.from(message.signature);
  const isSame = given.length === expected.length && timingSafeEqual(given, expected);
  return isSame && Math.abs(nowSeconds - timestamp) <= signatureSeconds;
}
