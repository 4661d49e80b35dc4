import { crc32 } from 'node:zlib';

/** A running checksum in the form that S3 headers carry it: base64 of the big-endian value. */
export interface RunningChecksum {
  update(bytes: Uint8Array): void;
  digest(): string;
}

export class Crc32 implements RunningChecksum {
  #value = 0;

  update(bytes: Uint8Array): void {
    this.#value = crc32(bytes, this.#value);
  }

  digest(): string {
    return base64(this.#value);
  }
}

/** The Castagnoli polynomial, reflected. */
const crc32cTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

export class Crc32c implements RunningChecksum {
  #value = 0xffffffff;

  update(bytes: Uint8Array): void {
    let value = this.#value;
    for (const byte of bytes) value = (value >>> 8) ^ (crc32cTable[(value ^ byte) & 0xff] ?? 0);
    this.#value = value;
  }

  digest(): string {
    return base64(~this.#value);
  }
}

/**
 * CRC-64/NVME, reflected: polynomial 0x9a6c9329ac4bc9b5. The newest S3 tools send it by default. Two halves of 32 bits,
 * because `BigInt` arithmetic per byte is twenty times slower.
 */
const crc64Low = new Uint32Array(256);
const crc64High = new Uint32Array(256);
for (let index = 0; index < 256; index += 1) {
  let low = index;
  let high = 0;
  for (let bit = 0; bit < 8; bit += 1) {
    const odd = low & 1;
    low = (low >>> 1) | ((high & 1) << 31);
    high >>>= 1;
    if (odd === 1) {
      low ^= 0xac4bc9b5;
      high ^= 0x9a6c9329;
    }
  }
  crc64Low[index] = low;
  crc64High[index] = high;
}

export class Crc64Nvme implements RunningChecksum {
  #low = 0xffffffff;
  #high = 0xffffffff;

  update(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    for (const byte of bytes) {
      const index = (low ^ byte) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (crc64Low[index] ?? 0);
      high = (high >>> 8) ^ (crc64High[index] ?? 0);
    }
    this.#low = low;
    this.#high = high;
  }

  digest(): string {
    return base64(~this.#high, ~this.#low);
  }
}

function base64(...words: readonly number[]): string {
  const bytes = Buffer.alloc(4 * words.length);
  words.forEach((word, index) => bytes.writeUInt32BE(word >>> 0, 4 * index));
  return bytes.toString('base64');
}
