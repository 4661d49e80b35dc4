import { Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { bodyOf } from '../../../coordinator/storage/body.js';
import { S3Error } from '../../../coordinator/storage/errors.js';
import { parseRequest } from '../../../coordinator/storage/request.js';
import type { S3Request } from '../../../coordinator/storage/request.js';
import { verifySignature } from '../../../coordinator/storage/s3-signature.js';

/** The examples of AWS's own documentation of Signature Version 4 for S3: nothing of ours takes part in making them. */
const credentials = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const signedAt = new Date('2013-05-24T00:00:00Z');
const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

function requestOf(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  body: readonly Buffer[] = [],
): S3Request {
  const message = Object.assign(Readable.from(body), {
    method,
    url,
    rawHeaders: Object.entries({ Host: 'examplebucket.s3.amazonaws.com', ...headers }).flat(),
  });
  // The parts of an IncomingMessage that are used.
  return parseRequest(message as unknown as IncomingMessage, () => undefined);
}

const authorization = (signedHeaders: string, signature: string): string =>
  `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${signature}`;

async function codeOf(request: S3Request, now = signedAt, keys = credentials): Promise<string> {
  try {
    await verifySignature(request, keys, now);
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'accepted';
}

const getHeaders = {
  Range: 'bytes=0-9',
  'x-amz-content-sha256': emptySha256,
  'x-amz-date': '20130524T000000Z',
  Authorization: authorization(
    'host;range;x-amz-content-sha256;x-amz-date',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ),
};
const presigned =
  '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
  '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
  '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404';

describe('a signature in headers', () => {
  it('is accepted as AWS documents it', async () => {
    expect(await codeOf(requestOf('GET', '/test.txt', getHeaders))).toBe('accepted');
    const list = requestOf('GET', '/?max-keys=2&prefix=J', {
      'x-amz-content-sha256': emptySha256,
      'x-amz-date': '20130524T000000Z',
      Authorization: authorization(
        'host;x-amz-content-sha256;x-amz-date',
        '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
      ),
    });
    expect(await codeOf(list)).toBe('accepted');
    const put = requestOf('PUT', '/test%24file.text', {
      Date: 'Fri, 24 May 2013 00:00:00 GMT',
      'x-amz-date': '20130524T000000Z',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      Authorization: authorization(
        'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
        '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
      ),
    });
    expect(await codeOf(put)).toBe('accepted');
  });

  it.each([
    ['another method', 'DELETE', '/test.txt', {}],
    ['another path', 'GET', '/other.txt', {}],
    ['another query', 'GET', '/test.txt?acl', {}],
    ['another signed header', 'GET', '/test.txt', { Range: 'bytes=0-99' }],
    ['another body', 'GET', '/test.txt', { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }],
    ['another time', 'GET', '/test.txt', { 'x-amz-date': '20130524T000001Z' }],
    ['another host', 'GET', '/test.txt', { Host: 'other' }],
  ])('does not fit %s', async (_, method, url, changes) => {
    expect(await codeOf(requestOf(method, url, { ...getHeaders, ...changes }))).toBe('SignatureDoesNotMatch');
  });

  it('needs the right keys, region and time', async () => {
    const request = requestOf('GET', '/test.txt', getHeaders);
    expect(await codeOf(request, signedAt, { ...credentials, secretKey: 'x' })).toBe('SignatureDoesNotMatch');
    expect(await codeOf(request, signedAt, { ...credentials, accessKey: 'x' })).toBe('InvalidAccessKeyId');
    expect(await codeOf(request, signedAt, { ...credentials, region: 'x' })).toBe(
      'AuthorizationHeaderMalformed',
    );
    const minutes = (count: number): Date => new Date(signedAt.getTime() + count * 60_000);
    expect(await codeOf(request, minutes(14))).toBe('accepted');
    expect(await codeOf(request, minutes(-14))).toBe('accepted');
    expect(await codeOf(request, minutes(16))).toBe('RequestTimeTooSkewed');
    expect(await codeOf(request, minutes(-16))).toBe('RequestTimeTooSkewed');
  });

  it('covers every header that S3 gives a meaning', async () => {
    const copy = { ...getHeaders, 'x-amz-copy-source': '/other/secret' };
    expect(await codeOf(requestOf('GET', '/test.txt', copy))).toBe('AccessDenied');
  });

  it.each([
    ['', 'InvalidRequest'],
    ['Basic YTpi', 'InvalidRequest'],
    ['AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=', 'InvalidRequest'],
    ['AWS4-HMAC-SHA256 ', 'AuthorizationHeaderMalformed'],
    ['AWS4-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=b', 'AuthorizationHeaderMalformed'],
    [authorization('range;x-amz-content-sha256;x-amz-date', 'a'.repeat(64)), 'AccessDenied'],
  ])('is refused when it is %j', async (header, code) => {
    expect(await codeOf(requestOf('GET', '/test.txt', { ...getHeaders, Authorization: header }))).toBe(code);
  });

  it('must be there', async () => {
    expect(await codeOf(requestOf('GET', '/test.txt', {}))).toBe('AccessDenied');
  });
});

describe('a signature in the query', () => {
  const at = (seconds: number): Date => new Date(signedAt.getTime() + seconds * 1000);

  it('is accepted as AWS documents it, until it expires', async () => {
    const request = requestOf('GET', presigned, {});
    expect(await codeOf(request)).toBe('accepted');
    expect(await codeOf(request, at(86_400))).toBe('accepted');
    expect(await codeOf(request, at(86_401))).toBe('AccessDenied');
    expect(await codeOf(request, at(-1000))).toBe('RequestTimeTooSkewed');
  });

  it.each([
    [presigned.replace('test.txt', 'other.txt'), 'SignatureDoesNotMatch'],
    [`${presigned}&versionId=1`, 'SignatureDoesNotMatch'],
    [presigned.replace('86400', '86399'), 'SignatureDoesNotMatch'],
    [presigned.replace('86400', '604801'), 'AuthorizationQueryParametersError'],
    [presigned.replace('86400', '0'), 'AuthorizationQueryParametersError'],
    [presigned.replace('86400', 'x'), 'AuthorizationQueryParametersError'],
    [presigned.replace(/&X-Amz-Date=[^&]*/, ''), 'AuthorizationQueryParametersError'],
    [presigned.replace('HMAC-SHA256', 'HMAC-SHA1'), 'AuthorizationQueryParametersError'],
    [`${presigned}&X-Amz-Expires=1`, 'AuthorizationQueryParametersError'],
    [presigned.replace('=host', '=range'), 'AccessDenied'],
    [presigned.replace(/&X-Amz-Signature.*/, ''), 'AuthorizationQueryParametersError'],
  ])('does not fit %s', async (url, code) => {
    expect(await codeOf(requestOf('GET', url, {}))).toBe(code);
  });

  it('permits no header with a meaning that it does not cover', async () => {
    expect(await codeOf(requestOf('GET', presigned, { 'x-amz-copy-source': '/b/k' }))).toBe('AccessDenied');
    expect(await codeOf(requestOf('GET', presigned, { Authorization: getHeaders.Authorization }))).toBe(
      'InvalidArgument',
    );
  });
});

describe('a body signed chunk by chunk', () => {
  const signatures = [
    'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
    '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
    'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
  ];
  const framed = (parts: readonly Buffer[], signed = signatures): Buffer =>
    Buffer.concat(
      parts.flatMap((part, index) => [
        Buffer.from(`${part.length.toString(16)};chunk-signature=${signed[index] ?? ''}\r\n`),
        part,
        Buffer.from('\r\n'),
      ]),
    );
  const parts = [Buffer.alloc(65_536, 'a'), Buffer.alloc(1024, 'a'), Buffer.alloc(0)];
  const send = async (body: Buffer): Promise<Buffer> => {
    const request = requestOf(
      'PUT',
      '/examplebucket/chunkObject.txt',
      {
        Host: 's3.amazonaws.com',
        'x-amz-date': '20130524T000000Z',
        'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
        'Content-Encoding': 'aws-chunked',
        'x-amz-decoded-content-length': '66560',
        'Content-Length': '66824',
        Authorization: authorization(
          'content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class',
          '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
        ),
      },
      [body.subarray(0, 1000), body.subarray(1000, 65_700), body.subarray(65_700)],
    );
    const decoded = bodyOf(request, await verifySignature(request, credentials, signedAt));
    const read: Buffer[] = [];
    for await (const chunk of decoded.chunks) {
      read.push(chunk);
      decoded.digests.update(chunk);
    }
    decoded.verify();
    return Buffer.concat(read);
  };

  it('is accepted as AWS documents it', async () => {
    expect(framed(parts)).toHaveLength(66_824);
    expect((await send(framed(parts))).equals(Buffer.alloc(66_560, 'a'))).toBe(true);
  });

  it('is refused when a byte, a signature, or the order of chunks is another one', async () => {
    const [first = '', second = '', last = ''] = signatures;
    for (const body of [
      framed([Buffer.alloc(65_536, 'b'), ...parts.slice(1)]),
      framed(parts, [first, second, first]),
      framed(parts, [second, first, last]),
    ]) {
      await expect(send(body)).rejects.toMatchObject({ code: 'SignatureDoesNotMatch' });
    }
    await expect(send(framed(parts.slice(0, 2)))).rejects.toMatchObject({ code: 'IncompleteBody' });
    await expect(send(framed([parts[0]!, parts[2]!], [first, last]))).rejects.toThrow(S3Error);
    await expect(send(Buffer.concat([framed(parts), Buffer.from('x')]))).rejects.toMatchObject({
      code: 'IncompleteBody',
    });
  });
});
