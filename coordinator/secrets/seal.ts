/** Authenticated encryption of one value for one place. Pure but for the nonce. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Where and how a value was put; what is sealed for one context opens in no other. */
export type SealContext = readonly (string | number)[];

/** The value was sealed by another key, for another place, or was changed since. */
export class SealError extends Error {
  override readonly name = 'SealError';
}

const algorithm = 'aes-256-gcm';
const version = 1;
/** 96 random bits, as GCM wants them: a collision becomes thinkable after billions of values under one key. */
const nonceBytes = 12;
const tagBytes = 16;
export const sealKeyBytes = 32;

/** Base64 of version, nonce, ciphertext and tag. `key`: 32 bytes. */
export function seal(key: Uint8Array, value: string, context: SealContext): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(associated(context));
  const sealed = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
  return Buffer.concat([Buffer.of(version), nonce, sealed, cipher.getAuthTag()]).toString('base64');
}

/** Throws SealError. */
export function open(key: Uint8Array, sealed: string, context: SealContext): string {
  const bytes = Buffer.from(sealed, 'base64');
  if (bytes[0] !== version || bytes.length < 1 + nonceBytes + tagBytes) {
    throw new SealError('it was written in a way that this version does not know');
  }
  const end = bytes.length - tagBytes;
  const nonce = bytes.subarray(1, 1 + nonceBytes);
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(associated(context));
  decipher.setAuthTag(bytes.subarray(end));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(1 + nonceBytes, end)), decipher.final()]).toString();
  } catch (error) {
    throw new SealError('another key sealed it, or it was changed', { cause: error });
  }
}

/** JSON keeps the parts apart: `a`, `bc` is another place than `ab`, `c`. */
const associated = (context: SealContext): Buffer =>
  Buffer.from(JSON.stringify(['gantry-vault', version, ...context]));
