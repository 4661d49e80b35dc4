/** Hashes of values that are not to be guessed from them: HMAC-SHA-256 under a key of the installation. */
import { createHmac } from 'node:crypto';

/** From the key that seals secrets, so that coordinators which share it agree; of no use for opening what that sealed. */
export const recordKey = (secretsKey: Uint8Array): Buffer =>
  createHmac('sha256', secretsKey).update('gantry-deployment-record-1').digest();

export const keyedHash = (key: Uint8Array, value: string): string =>
  createHmac('sha256', key).update(value).digest('hex');
