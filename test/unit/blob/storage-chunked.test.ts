import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAwsChunked } from '../../../coordinator/storage/aws-chunked.js';
import type { ChunkVerifier } from '../../../coordinator/storage/aws-chunked.js';
import { Crc32, Crc32c, Crc64Nvme } from '../../../coordinator/storage/crc.js';
import { S3Error } from '../../../coordinator/storage/errors.js';

async function* cutAt(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer, void, undefined> {
  const points = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (let i = 1; i < points.length; i += 1) {
    yield await Promise.resolve(bytes.subarray(points[i - 1], points[i]));
  }
}

interface Decoded {
  readonly content: Buffer;
  readonly trailer: ReadonlyMap<string, string>;
}

async function decode(
  body: AsyncIterable<Buffer>,
  options: { readonly trailer?: boolean; readonly verifier?: ChunkVerifier } = {},
): Promise<Decoded> {
  const chunks: Buffer[] = [];
  let trailer: ReadonlyMap<string, string> = new Map();
  const decoded = decodeAwsChunked(body, {
    trailer: false,
    ...options,
    onTrailer: (lines) => {
      trailer = lines;
    },
  });
  for await (const chunk of decoded) chunks.push(chunk);
  return { content: Buffer.concat(chunks), trailer };
}

const signature = 'a'.repeat(64);
const frame = (parts: readonly Uint8Array[], trailer = '', signed = false): Buffer =>
  Buffer.concat([
    ...parts.flatMap((part) => [
      Buffer.from(`${part.length.toString(16)}${signed ? `;chunk-signature=${signature}` : ''}\r\n`),
      part,
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`0${signed ? `;chunk-signature=${signature}` : ''}\r\n${trailer}\r\n`),
  ]);

const parts = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 });
const cuts = fc.array(fc.nat(), { maxLength: 20 });

describe('aws-chunked', { timeout: 60_000 }, () => {
  it('gives back what was framed, wherever the network cuts it', async () => {
    await fc.assert(
      fc.asyncProperty(parts, cuts, async (content, where) => {
        const trailer = 'x-amz-checksum-crc32:AAAAAA==\r\n';
        const { content: read, trailer: lines } = await decode(cutAt(frame(content, trailer), where), {
          trailer: true,
        });
        expect(read.equals(Buffer.concat(content))).toBe(true);
        expect([...lines]).toEqual([['x-amz-checksum-crc32', 'AAAAAA==']]);
      }),
    );
  });

  it('shows each chunk to the verifier, whole and in order', async () => {
    await fc.assert(
      fc.asyncProperty(parts, cuts, async (content, where) => {
        const seen: string[] = [];
        const verifier: ChunkVerifier = {
          chunk: (given, sha256) => void seen.push(`${given} ${sha256}`),
          trailer: () => expect.fail('there is none'),
        };
        await decode(cutAt(frame(content, '', true), where), { verifier });
        const digests = [...content, Buffer.alloc(0)].map((part) =>
          createHash('sha256').update(part).digest('hex'),
        );
        expect(seen).toEqual(digests.map((digest) => `${signature} ${digest}`));
      }),
    );
  });

  it('verifies the trailer over its lines', async () => {
    const lines = 'x-amz-checksum-crc32:AAAAAA==\r\n';
    let seen = '';
    const verifier: ChunkVerifier = {
      chunk: () => undefined,
      trailer: (given, sha256) => {
        seen = `${given} ${sha256}`;
      },
    };
    const body = frame([Buffer.from('x')], `${lines}x-amz-trailer-signature:${signature}\r\n`, true);
    await decode(cutAt(body, []), { trailer: true, verifier });
    expect(seen).toBe(
      `${signature} ${createHash('sha256').update('x-amz-checksum-crc32:AAAAAA==\n').digest('hex')}`,
    );
  });

  it('never takes a body that is cut short for a whole one', async () => {
    const body = frame([Buffer.from('hello'), Buffer.alloc(100)]);
    for (let length = 0; length < body.length; length += 1) {
      await expect(decode(cutAt(body.subarray(0, length), [3]))).rejects.toThrow(S3Error);
    }
  });

  it.each([
    ['no size', '\r\nabc\r\n0\r\n\r\n'],
    ['a size that is none', 'xyz\r\nabc\r\n0\r\n\r\n'],
    ['a negative size', '-1\r\n\r\n0\r\n\r\n'],
    ['an absurd size', 'fffffffffff\r\nabc'],
    ['a chunk longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
    ['bytes after the end', '3\r\nabc\r\n0\r\n\r\nx'],
    ['an unexpected trailer', '3\r\nabc\r\n0\r\na:b\r\n\r\n'],
    ['an endless line', 'a'.repeat(10_000)],
    ['a signature of the wrong form', `3;chunk-signature=x\r\nabc\r\n0\r\n\r\n`],
  ])('refuses %s', async (_, body) => {
    await expect(decode(cutAt(Buffer.from(body), []))).rejects.toMatchObject({ code: 'IncompleteBody' });
  });
});

describe('checksums', () => {
  // The check values of the catalogue of parametrised CRC algorithms.
  it.each([
    ['crc32', () => new Crc32(), 'cbf43926'],
    ['crc32c', () => new Crc32c(), 'e3069283'],
    ['crc64nvme', () => new Crc64Nvme(), 'ae8b14860a799888'],
  ])('%s of "123456789" is the one that everybody gets', (_, make, expected) => {
    const whole = make();
    whole.update(Buffer.from('123456789'));
    expect(Buffer.from(whole.digest(), 'base64').toString('hex')).toBe(expected);
    const pieces = make();
    for (const piece of ['', '1', '2345', '6789']) pieces.update(Buffer.from(piece));
    expect(pieces.digest()).toBe(whole.digest());
  });

  it('crc32 agrees with zlib', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const checksum = new Crc32();
        checksum.update(bytes);
        expect(Buffer.from(checksum.digest(), 'base64').readUInt32BE()).toBe(crc32(bytes));
      }),
    );
  });
});
