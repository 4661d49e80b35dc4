import type { Hash } from 'node:crypto';
import { parseSha256 } from '../model/ids.js';
import type { Sha256 } from '../model/ids.js';

/** Ends a hash made by `createHash('sha256')`. */
export function toSha256(hash: Hash): Sha256 {
  const digest = parseSha256(hash.digest('hex'));
  if (digest === undefined) throw new TypeError('the hash is no SHA-256');
  return digest;
}
