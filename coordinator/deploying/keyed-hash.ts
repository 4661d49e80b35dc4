/** Hashes of values that are not to be guessed from them: HMAC-SHA-256 under a key of the installation. */
import { createHmac } from 'node:crypto';

/** From the key that seals secrets, so that coordinators which share it agree; of no use for opening what that sealed. */
export const recordKey = (secretsKey: Uint8Array): Buffer =>
  createHmac('sha256', secretsKey).update('gantry-deployment-record-1').digest();

export interface Named {
  readonly what: 'env' | 'secret';
  readonly name: string;
  readonly value: string;
}

/**
 * Equal only for the same name of the same kind, which is what is ever compared: whoever may choose the variables of a pipeline
 * could else try out what a secret is.
 */
export const keyedHash = (key: Uint8Array, { what, name, value }: Named): string =>
  createHmac('sha256', key)
    .update(JSON.stringify([what, name, value]))
    .digest('hex');
