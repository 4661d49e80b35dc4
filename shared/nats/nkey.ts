/**
 * NATS' Ed25519 keys (nkeys) by `node:crypto`: a signature takes 0.05 ms, where the pure JavaScript of the NATS
 * libraries blocks the event loop for 11 to 40 ms. The text form is base32 of a prefix, 32 bytes and a CRC-16.
 */
import { createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';

export type NkeyRole = 'operator' | 'account' | 'user';

export interface Nkey {
  readonly role: NkeyRole;
  /** `O…`, `A…` or `U…`, 56 characters. */
  readonly publicKey: string;
  /** `SO…`, `SA…` or `SU…`, 58 characters: a secret. */
  readonly seed: string;
  sign(data: Uint8Array): Buffer;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const roles: Readonly<Record<NkeyRole, number>> = { operator: 14 << 3, account: 0, user: 20 << 3 };
const seedPrefix = 18 << 3;
const pkcs8Header = Buffer.from('302e020100300506032b657004220420', 'hex');

export function createNkey(role: NkeyRole): Nkey {
  return nkeyOf(role, randomBytes(32));
}

/** Throws when the text is no seed; the message never shows it. */
export function nkeyFromSeed(seed: string): Nkey {
  const text = seed.trim();
  const bytes = /^S[A-Z2-7]{57}$/.test(text) ? decode(text) : undefined;
  const first = bytes?.[0];
  const second = bytes?.[1];
  if (bytes?.length !== 34 || first === undefined || second === undefined || (first & 0xf8) !== seedPrefix)
    throw new Error('not an nkey seed: expected 58 characters that begin with S');
  const prefix = ((first & 7) << 5) | ((second & 0xf8) >> 3);
  const role = (['operator', 'account', 'user'] as const).find((name) => roles[name] === prefix);
  if (role === undefined) throw new Error('the nkey seed is of another kind than operator, account or user');
  return nkeyOf(role, bytes.subarray(2));
}

/** Whether the text is a public nkey of the role: prefix, length and checksum. */
export function isPublicNkey(role: NkeyRole, text: string): boolean {
  const bytes = /^[A-Z2-7]{56}$/.test(text) ? decode(text) : undefined;
  return bytes?.length === 33 && bytes[0] === roles[role];
}

function nkeyOf(role: NkeyRole, raw: Buffer): Nkey {
  const key: KeyObject = createPrivateKey({
    format: 'der',
    type: 'pkcs8',
    key: Buffer.concat([pkcs8Header, raw]),
  });
  const publicBytes = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  const prefix = roles[role];
  return {
    role,
    publicKey: encode(Buffer.concat([Buffer.of(prefix), publicBytes])),
    seed: encode(Buffer.concat([Buffer.of(seedPrefix | (prefix >> 5), (prefix & 31) << 3), raw])),
    sign: (data) => sign(null, data, key),
  };
}

function encode(payload: Buffer): string {
  const checksum = Buffer.alloc(2);
  checksum.writeUInt16LE(crc16(payload));
  let bits = 0;
  let value = 0;
  let text = '';
  for (const byte of Buffer.concat([payload, checksum])) {
    value = ((value << 8) | byte) & 0x1fff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt((value >> bits) & 31);
    }
  }
  return bits > 0 ? text + alphabet.charAt((value << (5 - bits)) & 31) : text;
}

/** The bytes before the checksum, or undefined when the text or its checksum is wrong. */
function decode(text: string): Buffer | undefined {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of text) {
    const digit = alphabet.indexOf(character);
    if (digit < 0) return undefined;
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 0xff);
    }
  }
  if (bytes.length < 3) return undefined;
  const payload = Buffer.from(bytes.slice(0, -2));
  return Buffer.from(bytes.slice(-2)).readUInt16LE() === crc16(payload) ? payload : undefined;
}

/** CRC-16/XMODEM, as nkeys have it. */
function crc16(data: Uint8Array): number {
  let crc = 0;
  for (const byte of data) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = (crc & 0x8000) !== 0 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}
