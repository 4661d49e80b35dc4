/** Deliveries to the webhook of a project, good ones and others: signed here by the words of the README, not by our own code. */
import { createHmac, randomBytes } from 'node:crypto';

export interface Signed {
  readonly url: string;
  readonly secret: string;
}

/** What a test wants to be otherwise than it is in a good delivery. */
export interface Sent {
  readonly delivery?: string;
  /** The id that is signed, where it is another than the one sent. */
  readonly signed?: string;
  readonly timestamp?: number;
  readonly signature?: string;
}

/** Sends a delivery as `gantry projects hook` would. */
export function post({ url, secret }: Signed, body: string, how: Sent = {}): Promise<Response> {
  const timestamp = how.timestamp ?? Math.floor(Date.now() / 1000);
  const delivery = how.delivery ?? randomBytes(16).toString('hex');
  const hmac = createHmac('sha256', secret)
    .update(`${timestamp}.${how.signed ?? delivery}.${body}`)
    .digest('hex');
  return fetch(url, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'x-gantry-delivery': delivery,
      'x-gantry-timestamp': String(timestamp),
      'x-gantry-signature': how.signature ?? `sha256=${hmac}`,
    },
  });
}

export const pushed = (ref: string, old: string, now: string): string =>
  JSON.stringify({ pusher: 'ada', moves: [{ ref, old, new: now }] });
export const zeros = '0'.repeat(40);
/** Branches with names of so many characters. */
export const pushedMany = (count: number, length: number): string =>
  JSON.stringify({
    moves: Array.from({ length: count }, (_, n) => ({
      ref: `refs/heads/${String(n).padStart(length, 'x')}`,
      old: zeros,
      new: 'a'.repeat(40),
    })),
  });
