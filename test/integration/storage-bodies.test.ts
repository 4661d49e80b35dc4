import { createHash, createHmac, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { Tools, bucket, md5, sendPlain, signByHand } from '../support/s3-tools.js';
import type { RawAnswer, RawRequest } from '../support/s3-tools.js';

/** Bodies as S3 tools send them: framed, signed, with checksums. */
const tools = Tools.use();
const { raw, put, contentOf, temporaryFiles } = tools;
const MiB = 1024 * 1024;

describe('bodies', () => {
  const content = randomBytes(150_000);

  /** Frames and signs a body chunk by chunk, by hand. */
  const chunked = (
    options: {
      readonly signed: boolean;
      readonly trailer?: Record<string, string>;
      readonly content?: Buffer;
    },
    spoil: (framed: Buffer) => Buffer = (framed) => framed,
  ): Promise<RawAnswer> => {
    const { signed, trailer } = options;
    const body = options.content ?? content;
    const payload = `STREAMING-${signed ? 'AWS4-HMAC-SHA256' : 'UNSIGNED'}-PAYLOAD${trailer === undefined ? '' : '-TRAILER'}`;
    const request: RawRequest = {
      method: 'PUT',
      path: `/${bucket}/chunked`,
      payload,
      headers: {
        'content-encoding': 'gzip,aws-chunked',
        'x-amz-decoded-content-length': String(body.length),
        ...(trailer === undefined ? {} : { 'x-amz-trailer': Object.keys(trailer).join(',') }),
      },
    };
    const { headers, signature, key, date, scope } = signByHand(request, `127.0.0.1:${tools.server.port}`);
    const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
    const sign = (text: string): string => createHmac('sha256', key).update(text).digest('hex');
    let previous = signature;
    const frame = (chunk: Buffer): Buffer => {
      previous = sign(
        `AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${sha256('')}\n${sha256(chunk)}`,
      );
      const extension = signed ? `;chunk-signature=${previous}` : '';
      return Buffer.concat([
        Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`),
        chunk,
        Buffer.from(chunk.length === 0 ? '' : '\r\n'),
      ]);
    };
    const frames = [frame(body.subarray(0, 65_536)), frame(body.subarray(65_536)), frame(Buffer.alloc(0))];
    let end = '';
    if (trailer !== undefined) {
      const lines = Object.entries(trailer).map(([name, value]) => `${name}:${value}`);
      end = lines.map((line) => `${line}\r\n`).join('');
      const hash = sha256(lines.map((line) => `${line}\n`).join(''));
      if (signed)
        end += `x-amz-trailer-signature:${sign(`AWS4-HMAC-SHA256-TRAILER\n${date}\n${scope}\n${previous}\n${hash}`)}\r\n`;
    }
    const framed = spoil(Buffer.concat([...frames, Buffer.from(`${end}\r\n`)]));
    return sendPlain(tools.server.port, { method: 'PUT', path: request.path, headers, body: framed });
  };
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(content));
  const goodTrailer = { 'x-amz-checksum-crc32': crc.toString('base64') };

  it.each([
    { signed: true },
    { signed: true, trailer: goodTrailer },
    { signed: false, trailer: goodTrailer },
  ])('takes the framing aws-chunked off: %j', async (options) => {
    expect(await chunked(options)).toMatchObject({ status: 200 });
    const answer = await raw('GET', '/chunked');
    expect(answer.body.equals(content)).toBe(true);
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(answer.headers.etag).toBe(`"${md5(content)}"`);
  });

  it('refuses framed bodies that are not what was signed', async () => {
    await put('chunked', 'before');
    const flip = (at: number) => (framed: Buffer) => {
      framed.writeUInt8(framed.readUInt8(at) ^ 1, at);
      return framed;
    };
    const bad = { 'x-amz-checksum-crc32': 'AAAAAA==' };
    const answers = [
      await chunked({ signed: true }, flip(1000)),
      await chunked({ signed: true, trailer: goodTrailer }, flip(100_000)),
      await chunked({ signed: true }, (framed) => framed.subarray(0, framed.length - 20)),
      await chunked({ signed: true, trailer: bad }),
      await chunked({ signed: false, trailer: bad }),
      await chunked({ signed: false, trailer: goodTrailer }, flip(1000)),
      await chunked({ signed: false, trailer: {} }, (framed) =>
        Buffer.concat([framed.subarray(0, 65_536 + 9), Buffer.from('0\r\n\r\n')]),
      ),
    ];
    expect(answers.map(({ code }) => code)).toEqual([
      'SignatureDoesNotMatch',
      'SignatureDoesNotMatch',
      'IncompleteBody',
      'BadDigest',
      'BadDigest',
      'BadDigest',
      'IncompleteBody',
    ]);
    expect(await contentOf('chunked')).toBe('before');
    expect(temporaryFiles()).toEqual([]);
  });

  it.each([
    ['x-amz-checksum-crc32', 'y/Q5Jg=='],
    ['x-amz-checksum-crc32c', '4waSgw=='],
    ['x-amz-checksum-crc64nvme', 'rosUhgp5mIg='],
    ['x-amz-checksum-sha1', createHash('sha1').update('123456789').digest('base64')],
    ['x-amz-checksum-sha256', createHash('sha256').update('123456789').digest('base64')],
    ['content-md5', md5('123456789', 'base64')],
  ])('holds the client to %s', async (name, value) => {
    expect(await put('checked', '123456789', { [name]: value })).toMatchObject({ status: 200 });
    const asked = await raw('GET', '/checked', { headers: { 'x-amz-checksum-mode': 'ENABLED' } });
    if (name.startsWith('x-amz')) expect(asked.headers[name]).toBe(value);
    const wrong = await put('checked', '12345678X', { [name]: value });
    expect(wrong).toMatchObject({ status: 400, code: 'BadDigest' });
    expect(await contentOf('checked')).toBe('123456789');
  });

  it('needs to know the length', async () => {
    const { headers } = signByHand(
      { method: 'PUT', path: `/${bucket}/a`, payload: 'UNSIGNED-PAYLOAD' },
      `127.0.0.1:${tools.server.port}`,
    );
    const answer = await sendPlain(tools.server.port, {
      method: 'PUT',
      path: `/${bucket}/a`,
      headers: { ...headers, 'transfer-encoding': 'chunked' },
      body: undefined,
    });
    expect(answer).toMatchObject({ status: 411, code: 'MissingContentLength' });
    const huge = await raw('PUT', '/a', {
      payload: 'UNSIGNED-PAYLOAD',
      headers: { 'content-length': String(6 * 1024 ** 3) },
    });
    expect(huge).toMatchObject({ status: 400, code: 'EntityTooLarge' });
  });

  it('works with the SDK as it comes: checksums in trailers, validated answers', async () => {
    for (const algorithm of [undefined, 'CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const) {
      const whole = randomBytes(3 * MiB);
      const Body = Readable.from([whole.subarray(0, MiB), whole.subarray(MiB)]);
      await tools.client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: 'sdk',
          Body,
          ContentLength: whole.length,
          ChecksumAlgorithm: algorithm,
        }),
      );
      const found = await tools.client.send(
        new GetObjectCommand({ Bucket: bucket, Key: 'sdk', ChecksumMode: 'ENABLED' }),
      );
      const read = await found.Body?.transformToByteArray();
      expect(Buffer.from(read ?? []).equals(whole)).toBe(true);
    }
  });
});
