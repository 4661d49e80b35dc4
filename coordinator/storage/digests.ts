import { createHash, randomBytes } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { Crc32, Crc32c, Crc64Nvme } from './crc.js';
import type { RunningChecksum } from './crc.js';
import { S3Error } from './errors.js';

const algorithms: Readonly<Record<string, () => RunningChecksum>> = {
  'x-amz-checksum-crc32': () => new Crc32(),
  'x-amz-checksum-crc32c': () => new Crc32c(),
  'x-amz-checksum-crc64nvme': () => new Crc64Nvme(),
  'x-amz-checksum-sha1': () => checksumOf('sha1'),
  'x-amz-checksum-sha256': () => checksumOf('sha256'),
};

/** What the client promises of the body, in headers or (names only, so far) in a trailer. */
export interface BodyPromises {
  /** Hexadecimal, from `x-amz-content-sha256`. */
  readonly sha256?: string;
  /** Base64, from `content-md5`. */
  readonly md5?: string;
  /** Header name to base64 value; `undefined` for one that comes in the trailer. */
  readonly checksums: ReadonlyMap<string, string | undefined>;
}

/** What a body's entity tag is: its MD5, as S3 tools expect of an object, or a name that says nothing of it and costs nothing. */
export type TagKind = 'md5' | 'opaque';

export interface VerifiedDigests {
  /** 32 hexadecimal digits. */
  readonly tag: string;
  /** Header name to base64 value, of those that the client promised. */
  readonly checksums: Readonly<Record<string, string>>;
}

export function promisesOf(headers: ReadonlyMap<string, string>, sha256: string | undefined): BodyPromises {
  const checksums = new Map<string, string | undefined>();
  for (const name of (headers.get('x-amz-trailer') ?? '').split(',')) {
    const trimmed = name.trim().toLowerCase();
    if (trimmed in algorithms) checksums.set(trimmed, undefined);
  }
  for (const name of Object.keys(algorithms)) {
    const value = headers.get(name);
    if (value !== undefined) checksums.set(name, value);
  }
  const md5 = headers.get('content-md5');
  return {
    checksums,
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(md5 === undefined ? {} : { md5 }),
  };
}

/** Computes what was promised, and the entity tag, while the body passes by; nothing else, since each costs time. */
export class Digests {
  readonly #promises: BodyPromises;
  readonly #md5: Hash | undefined;
  readonly #sha256: Hash | undefined;
  readonly #checksums: ReadonlyMap<string, RunningChecksum>;

  constructor(promises: BodyPromises, tag: TagKind) {
    this.#promises = promises;
    this.#md5 = tag === 'md5' || promises.md5 !== undefined ? createHash('md5') : undefined;
    this.#sha256 = promises.sha256 === undefined ? undefined : createHash('sha256');
    this.#checksums = new Map(
      [...promises.checksums.keys()].flatMap((name) => {
        const make = algorithms[name];
        return make === undefined ? [] : [[name, make()] as const];
      }),
    );
  }

  update(bytes: Uint8Array): void {
    this.#md5?.update(bytes);
    this.#sha256?.update(bytes);
    for (const checksum of this.#checksums.values()) checksum.update(bytes);
  }

  /** Throws unless everything promised is true. */
  verify(trailer: ReadonlyMap<string, string>): VerifiedDigests {
    const md5 = this.#md5?.digest();
    if (this.#sha256 !== undefined && this.#sha256.digest('hex') !== this.#promises.sha256) {
      throw new S3Error(
        'XAmzContentSHA256Mismatch',
        'the body does not have the SHA-256 that x-amz-content-sha256 promises',
      );
    }
    if (this.#promises.md5 !== undefined && this.#promises.md5 !== md5?.toString('base64')) {
      throw new S3Error('BadDigest', 'the body does not have the MD5 that content-md5 promises');
    }
    const checksums: Record<string, string> = {};
    for (const [name, checksum] of this.#checksums) {
      const promised = this.#promises.checksums.get(name) ?? trailer.get(name);
      const actual = checksum.digest();
      if (promised !== actual) {
        throw new S3Error('BadDigest', `the body does not have the checksum that ${name} promises`);
      }
      checksums[name] = actual;
    }
    return { tag: (md5 ?? randomBytes(16)).toString('hex'), checksums };
  }
}

function checksumOf(algorithm: string): RunningChecksum {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('base64') };
}
