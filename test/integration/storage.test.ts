import { createHash, createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { connect } from 'node:net';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  GetObjectCommand, ListMultipartUploadsCommand, ListObjectsCommand, ListObjectsV2Command, ListPartsCommand, PutObjectCommand,
  S3Client, UploadPartCopyCommand, CreateMultipartUploadCommand, CompleteMultipartUploadCommand, UploadPartCommand,
} from '@aws-sdk/client-s3'; // prettier-ignore
import { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import { embeddedCredentials, sendPlain, sendRaw, signByHand, startEmbeddedS3 } from '../support/s3.js';
import type { RawAnswer, RawRequest } from '../support/s3.js';

/** What other S3 tools than ours expect of the embedded server, and what it must refuse. */
let server: Awaited<ReturnType<typeof startEmbeddedS3>>;
let store: S3BlobStore;
const bucket = 'tools';
const MiB = 1024 * 1024;

beforeAll(async () => {
  server = await startEmbeddedS3();
  store = new S3BlobStore({ ...server, bucket });
  await store.ensureBucket();
});
afterAll(async () => {
  store.close();
  await server.stop();
});

type Alter = Parameters<typeof sendRaw>[2];
const raw = (method: string, path: string, more: Partial<RawRequest> = {}, alter?: Alter): Promise<RawAnswer> =>
  sendRaw(server.port, { method, path: `/${bucket}${path}`, ...more }, alter);
const put = (key: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<RawAnswer> =>
  raw('PUT', `/${key}`, { body: Buffer.from(body), headers });
const md5 = (body: string | Buffer, encoding: 'hex' | 'base64' = 'hex'): string => createHash('md5').update(body).digest(encoding);
const contentOf = async (key: string): Promise<string | undefined> => {
  const answer = await raw('GET', `/${key}`);
  return answer.status === 200 ? answer.body.toString() : undefined;
};
const temporaryFiles = (): string[] => readdirSync(join(server.dataDir, 'tmp'));

describe('who may do what', () => {
  it('answers health without a signature, and nothing else', async () => {
    const plain = (path: string, method = 'GET') => sendPlain(server.port, { method, path, headers: {} });
    expect(await plain('/-/healthz')).toMatchObject({ status: 200 });
    expect(await plain('/')).toMatchObject({ status: 403, code: 'AccessDenied' });
    expect(await plain(`/${bucket}`)).toMatchObject({ status: 403 });
    expect(await plain(`/${bucket}/a`, 'PUT')).toMatchObject({ status: 403 });
    expect(await plain('/-/healthz', 'PUT')).toMatchObject({ status: 403 });
    expect(await plain('/-/healthz/../a')).toMatchObject({ status: 403 });
  });

  it('takes a request signed by hand', async () => {
    expect(await put('signed', 'content')).toMatchObject({ status: 200 });
    expect(await contentOf('signed')).toBe('content');
  });

  it('refuses what is not what was signed, and keeps nothing of it', async () => {
    await put('kept', 'before');
    const body = Buffer.from('after');
    const attempts: readonly [Partial<RawRequest>, Alter, string][] = [
      [{ secretKey: 'wrong' }, undefined, 'SignatureDoesNotMatch'],
      [{ accessKey: 'NOBODY' }, undefined, 'InvalidAccessKeyId'],
      [{ region: 'eu-central-1' }, undefined, 'AuthorizationHeaderMalformed'],
      [{ at: new Date(Date.now() - 20 * 60_000) }, undefined, 'RequestTimeTooSkewed'],
      [{ at: new Date(Date.now() + 20 * 60_000) }, undefined, 'RequestTimeTooSkewed'],
      [{}, (out) => (out.path += '?acl'), 'SignatureDoesNotMatch'],
      [{}, (out) => (out.path = out.path.replace('kept', 'signed')), 'SignatureDoesNotMatch'],
      [{}, (out) => (out.body = Buffer.from('other')), 'XAmzContentSHA256Mismatch'],
      [{}, (out) => delete out.headers['authorization'], 'AccessDenied'],
      [{}, (out) => (out.headers['x-amz-meta-a'] = 'b'), 'AccessDenied'],
      [{}, (out) => delete out.headers['x-amz-content-sha256'], 'InvalidRequest'],
      [{ headers: { 'x-amz-meta-a': 'b' } }, (out) => (out.headers['x-amz-meta-a'] = 'c'), 'SignatureDoesNotMatch'],
    ];
    for (const [more, alter, code] of attempts) {
      const answer = await raw('PUT', '/kept', { body, ...more }, alter);
      expect(answer.code).toBe(code);
      expect(answer.status).toBeGreaterThanOrEqual(400);
    }
    expect(await contentOf('kept')).toBe('before');
    expect(temporaryFiles()).toEqual([]);
  });

  it('tells a client with the wrong region which is right', async () => {
    const answer = await raw('GET', '/a', { region: 'eu-central-1' });
    expect(answer.body.toString()).toContain('<Region>us-east-1</Region>');
    expect(answer.headers['x-amz-bucket-region']).toBe('us-east-1');
  });

  it('lets the holder of a presigned put do nothing but that', async () => {
    await put('secret', 'secret content');
    const url = await store.presignPut('granted', { expiresSeconds: 60 });
    const path = url.target().path;
    const send = (headers: Record<string, string>, at = path, method = 'PUT') =>
      sendPlain(server.port, { method, path: at, headers: { host: `127.0.0.1:${server.port}`, ...headers }, body: Buffer.from('x') });
    expect(await send({ 'x-amz-copy-source': `/${bucket}/secret` })).toMatchObject({ status: 403 });
    expect(await send({ 'x-amz-meta-a': 'b' })).toMatchObject({ status: 403 });
    expect(await send({}, `${path}&uploadId=a&partNumber=1`)).toMatchObject({ status: 403 });
    expect(await send({}, path, 'GET')).toMatchObject({ status: 403 });
    expect(await send({}, path, 'DELETE')).toMatchObject({ status: 403 });
    expect(await send({ host: 'elsewhere' })).toMatchObject({ status: 403 });
    expect(await send({})).toMatchObject({ status: 200 });
    expect(await contentOf('granted')).toBe('x');
  });

  it('does not write permissions to its log', () => {
    const text = JSON.stringify(server.log.lines);
    expect(server.log.lines.filter(({ level }) => level === 'warn').length).toBeGreaterThan(5);
    expect(text).not.toMatch(/X-Amz-|Signature=|secretKey/);
    expect(text).not.toContain(embeddedCredentials.secretKey);
  });

  it('refuses before the body travels', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write(
          `PUT /${bucket}/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000000\r\n\r\n`,
        );
      });
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('error', reject);
      socket.on('close', () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).not.toContain('100 Continue');
  });
});

describe('bodies', () => {
  const content = randomBytes(150_000);

  /** Frames and signs a body chunk by chunk, by hand. */
  const chunked = (
    options: { readonly signed: boolean; readonly trailer?: Record<string, string>; readonly content?: Buffer },
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
    const { headers, signature, key, date, scope } = signByHand(request, `127.0.0.1:${server.port}`);
    const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
    const sign = (text: string): string => createHmac('sha256', key).update(text).digest('hex');
    let previous = signature;
    const frame = (chunk: Buffer): Buffer => {
      previous = sign(`AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${sha256('')}\n${sha256(chunk)}`);
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
      if (signed) end += `x-amz-trailer-signature:${sign(`AWS4-HMAC-SHA256-TRAILER\n${date}\n${scope}\n${previous}\n${hash}`)}\r\n`;
    }
    const framed = spoil(Buffer.concat([...frames, Buffer.from(`${end}\r\n`)]));
    return sendPlain(server.port, { method: 'PUT', path: request.path, headers, body: framed });
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
      await chunked({ signed: false, trailer: {} }, (framed) => Buffer.concat([framed.subarray(0, 65_536 + 9), Buffer.from('0\r\n\r\n')])),
    ];
    expect(answers.map(({ code }) => code)).toEqual([
      'SignatureDoesNotMatch', 'SignatureDoesNotMatch', 'IncompleteBody', 'BadDigest', 'BadDigest', 'BadDigest', 'IncompleteBody',
    ]); // prettier-ignore
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
    const { headers } = signByHand({ method: 'PUT', path: `/${bucket}/a`, payload: 'UNSIGNED-PAYLOAD' }, `127.0.0.1:${server.port}`);
    const answer = await sendPlain(server.port, {
      method: 'PUT', path: `/${bucket}/a`, headers: { ...headers, 'transfer-encoding': 'chunked' }, body: undefined,
    }); // prettier-ignore
    expect(answer).toMatchObject({ status: 411, code: 'MissingContentLength' });
    const huge = await raw('PUT', '/a', { payload: 'UNSIGNED-PAYLOAD', headers: { 'content-length': String(6 * 1024 ** 3) } });
    expect(huge).toMatchObject({ status: 400, code: 'EntityTooLarge' });
  });

  it('works with the SDK as it comes: checksums in trailers, validated answers', async () => {
    const client = new S3Client({
      endpoint: server.endpoint,
      region: server.region,
      forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    });
    for (const algorithm of [undefined, 'CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const) {
      const whole = randomBytes(3 * MiB);
      const Body = Readable.from([whole.subarray(0, MiB), whole.subarray(MiB)]);
      await client.send(
        new PutObjectCommand({ Bucket: bucket, Key: 'sdk', Body, ContentLength: whole.length, ChecksumAlgorithm: algorithm }),
      );
      const found = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'sdk', ChecksumMode: 'ENABLED' }));
      const read = await found.Body?.transformToByteArray();
      expect(Buffer.from(read ?? []).equals(whole)).toBe(true);
    }
    client.destroy();
  });
});

describe('objects', () => {
  it('have the MD5 as entity tag, and carry metadata and headers', async () => {
    const headers = {
      'content-type': 'text/x-test; charset=utf-8',
      'cache-control': 'max-age=5',
      'content-disposition': 'attachment; filename="a"',
      'content-language': 'de',
      'x-amz-meta-one': '1',
      'x-amz-meta-two': 'a b',
    };
    expect((await put('described', 'content', headers)).headers.etag).toBe(`"${md5('content')}"`);
    for (const method of ['GET', 'HEAD']) {
      const answer = await raw(method, '/described');
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({ ...headers, etag: `"${md5('content')}"`, 'content-length': '7', 'accept-ranges': 'bytes' });
      expect(answer.body.toString()).toBe(method === 'GET' ? 'content' : '');
    }
    expect((await put('meta', 'x', { 'x-amz-meta-a': 'a'.repeat(2100) })).code).toBe('MetadataTooLarge');
  });

  it('answer with the headers that the query asks for, but never with a header smuggled in', async () => {
    await put('answered', 'content');
    const good = await raw('GET', '/answered?response-cache-control=no-store&response-content-type=text%2Fplain&response-content-disposition=attachment%3B%20filename%3D%22%C3%BC%22');
    expect(good.headers).toMatchObject({ 'cache-control': 'no-store', 'content-type': 'text/plain' });
    expect(Buffer.from(good.headers['content-disposition'] ?? '', 'latin1').toString()).toBe('attachment; filename="ü"');
    const bad = await raw('GET', '/answered?response-content-type=a%0D%0Ax-evil%3A%20b');
    expect(bad).toMatchObject({ status: 400, code: 'InvalidArgument' });
  });

  it('are read, written and deleted under conditions', async () => {
    const { headers } = await put('conditional', 'one');
    const etag = headers.etag ?? '';
    const get = async (name: string, value: string) => (await raw('GET', '/conditional', { headers: { [name]: value } })).status;
    expect(await get('if-none-match', etag)).toBe(304);
    expect(await get('if-none-match', '"x"')).toBe(200);
    expect(await get('if-match', etag)).toBe(200);
    expect(await get('if-match', '"x"')).toBe(412);
    expect(await get('if-modified-since', new Date(Date.now() + 60_000).toUTCString())).toBe(304);
    expect(await get('if-unmodified-since', new Date(0).toUTCString())).toBe(412);
    const write = async (name: string, value: string, key = 'conditional') => (await put(key, 'two', { [name]: value })).code;
    expect(await write('if-none-match', '*')).toBe('PreconditionFailed');
    expect(await write('if-match', '"x"')).toBe('PreconditionFailed');
    expect(await write('if-match', '"x"', 'nothing-there')).toBe('NoSuchKey');
    expect(await contentOf('conditional')).toBe('one');
    expect(await write('if-match', etag)).toBeUndefined();
    expect(await contentOf('conditional')).toBe('two');
    expect((await raw('DELETE', '/conditional', { headers: { 'if-match': etag } })).code).toBe('PreconditionFailed');
    expect(await raw('DELETE', '/conditional')).toMatchObject({ status: 204 });
    expect(await raw('DELETE', '/conditional')).toMatchObject({ status: 204 });
  });

  it('are made once, when many try at once to be the first', async () => {
    const tries = await Promise.all(
      Array.from({ length: 10 }, (_, index) => put('first', `${index}`, { 'if-none-match': '*' })),
    );
    expect(tries.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(tries.filter(({ status }) => status === 412)).toHaveLength(9);
    expect(await contentOf('first')).toBe(String(tries.findIndex(({ status }) => status === 200)));
  });

  it('are always one whole, never a mixture, while they are overwritten and read', async () => {
    const versions = Array.from({ length: 8 }, (_, index) => Buffer.alloc(300_000 + index, String(index)));
    await put('torn', versions[0]!);
    let writing = true;
    const writer = (async () => {
      for (let round = 0; round < 3; round += 1) await Promise.all(versions.map((version) => put('torn', version)));
      writing = false;
    })();
    let reads = 0;
    while (writing) {
      const { body, headers } = await raw('GET', '/torn');
      expect(versions.some((version) => version.equals(body))).toBe(true);
      expect(headers.etag).toBe(`"${md5(body)}"`);
      reads += 1;
    }
    await writer;
    expect(reads).toBeGreaterThan(3);
  });

  it('give ranges', async () => {
    await put('digits', '0123456789');
    const range = (value: string) => raw('GET', '/digits', { headers: { range: value } });
    const suffix = await range('bytes=-3');
    expect(suffix).toMatchObject({ status: 206 });
    expect(suffix.headers['content-range']).toBe('bytes 7-9/10');
    expect(suffix.body.toString()).toBe('789');
    const beyond = await range('bytes=10-');
    expect(beyond).toMatchObject({ status: 416, code: 'InvalidRange' });
    expect(beyond.headers['content-range']).toBe('bytes */10');
    expect(await range('bytes=0-1,4-5')).toMatchObject({ status: 200 });
  });

  it('are copied with their metadata or with other, under conditions on the source', async () => {
    const { headers } = await put('source', 'content', { 'x-amz-meta-a': 'b', 'content-type': 'text/a' });
    const copy = (to: string, more: Record<string, string> = {}) =>
      raw('PUT', `/${to}`, { headers: { 'x-amz-copy-source': `/${bucket}/source`, ...more } });
    expect((await copy('copy')).body.toString()).toContain(`<ETag>&quot;${md5('content')}&quot;</ETag>`);
    expect((await raw('HEAD', '/copy')).headers).toMatchObject({ 'x-amz-meta-a': 'b', 'content-type': 'text/a' });
    const replaced = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-c': 'd' };
    expect(await copy('copy', replaced)).toMatchObject({ status: 200 });
    const { headers: now } = await raw('HEAD', '/copy');
    expect(now['x-amz-meta-c']).toBe('d');
    expect(now['x-amz-meta-a']).toBeUndefined();
    expect((await copy('source')).code).toBe('InvalidRequest');
    expect(await copy('source', replaced)).toMatchObject({ status: 200 });
    expect((await copy('copy', { 'x-amz-copy-source-if-match': '"x"' })).code).toBe('PreconditionFailed');
    expect(await copy('copy', { 'x-amz-copy-source-if-match': headers.etag ?? '' })).toMatchObject({ status: 200 });
    expect((await raw('PUT', '/copy', { headers: { 'x-amz-copy-source': `/${bucket}/none` } })).code).toBe('NoSuchKey');
    expect((await raw('PUT', '/copy', { headers: { 'x-amz-copy-source': '/nobucket/a' } })).code).toBe('NoSuchBucket');
  });

  it('have keys of at most 1,024 bytes of UTF-8', async () => {
    expect(await put('k'.repeat(1024), 'x')).toMatchObject({ status: 200 });
    expect((await put('k'.repeat(1025), 'x')).code).toBe('KeyTooLongError');
    expect((await put('%FF%FE', 'x')).code).toBe('InvalidURI');
    expect((await put('%zz', 'x')).code).toBe('InvalidURI');
  });

  it('never leave the data directory, whatever their keys', async () => {
    const outside = join(server.dataDir, '..', 'gantry-test-outside');
    for (const key of [
      '../../../../gantry-test-outside', '..%2f..%2f..%2f..%2fgantry-test-outside', '%2e%2e/%2e%2e/%2e%2e/%2e%2e/gantry-test-outside', '/../a', '..', '.', '%00',
      'a/../../bucket.json', '../bucket.json', '../../tools/bucket.json', 'o..', '%2e%2e%2f',
    ]) {
      expect(await put(key, key)).toMatchObject({ status: 200 });
      expect(await contentOf(key)).toBe(key);
      expect(await raw('DELETE', `/${key}`)).toMatchObject({ status: 204 });
    } // prettier-ignore
    expect(existsSync(outside)).toBe(false);
    await store.checkBucket();
    for (const name of ['..', '.', '%2e%2e', 'a%2fb', '..%2fescape', 'UPPER', 'a', '-']) {
      expect((await sendRaw(server.port, { method: 'PUT', path: `/${name}` })).code).toBe('InvalidBucketName');
    }
  });

  it('do not exist half: a client that goes away leaves the old one, and nothing else', async () => {
    await put('interrupted', 'before');
    const { headers } = signByHand(
      { method: 'PUT', path: `/${bucket}/interrupted`, payload: 'UNSIGNED-PAYLOAD' },
      `127.0.0.1:${server.port}`,
    );
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        const lines = Object.entries({ ...headers, 'content-length': '1000000' }).map(([name, value]) => `${name}: ${value}`);
        socket.write(`PUT /${bucket}/interrupted HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
        socket.write(Buffer.alloc(500_000));
      });
      void expect.poll(temporaryFiles, { timeout: 10_000 }).toHaveLength(1).then(() => {
        socket.destroy();
        resolve();
      });
    });
    await expect.poll(temporaryFiles, { timeout: 10_000 }).toEqual([]);
    expect(await contentOf('interrupted')).toBe('before');
  });
});

describe('what it does not do', () => {
  it.each([
    ['PUT', '/?versioning', {}],
    ['GET', '/?versions', {}],
    ['GET', '/?policy', {}],
    ['PUT', '/a?tagging', {}],
    ['PUT', '/a?acl', {}],
    ['GET', '/a?versionId=123', {}],
    ['PUT', '/a', { 'x-amz-server-side-encryption': 'AES256' }],
    ['PUT', '/a', { 'x-amz-object-lock-mode': 'COMPLIANCE' }],
    ['POST', '/', {}],
  ])('it says of %s %s', async (method, path, headers) => {
    expect(await raw(method, path, { headers })).toMatchObject({ status: 501, code: 'NotImplemented' });
  });

  it('is no method for it', async () => {
    expect(await raw('PATCH', '/a')).toMatchObject({ status: 405, code: 'MethodNotAllowed' });
    expect(await raw('POST', '/a')).toMatchObject({ status: 405, code: 'MethodNotAllowed' });
  });
});

describe('buckets and lists', () => {
  const list = async (query: string): Promise<string> => (await raw('GET', `/?${query}`)).body.toString();
  const all = (text: string, element: string): string[] =>
    [...text.matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))].map((match) => match[1] ?? '');

  it('are made, listed and deleted when empty', async () => {
    const own = (method: string, path = '') => sendRaw(server.port, { method, path: `/second${path}` });
    expect(await own('HEAD')).toMatchObject({ status: 404 });
    expect((await own('GET')).code).toBe('NoSuchBucket');
    expect(await own('PUT')).toMatchObject({ status: 200 });
    expect((await own('PUT')).code).toBe('BucketAlreadyOwnedByYou');
    expect(await own('HEAD')).toMatchObject({ status: 200 });
    expect((await own('GET', '?location')).body.toString()).toContain('LocationConstraint');
    expect(all((await sendRaw(server.port, { method: 'GET', path: '/' })).body.toString(), 'Name')).toEqual(['second', bucket]);
    await own('PUT', '/a');
    expect((await own('DELETE')).code).toBe('BucketNotEmpty');
    await own('DELETE', '/a');
    expect(await own('DELETE')).toMatchObject({ status: 204 });
    expect((await own('PUT', '/a')).code).toBe('NoSuchBucket');
    expect((await own('DELETE')).code).toBe('NoSuchBucket');
  });

  it('come by either version, in pages, with delimiters and markers', async () => {
    const client = new S3Client({
      endpoint: server.endpoint, region: server.region, forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    }); // prettier-ignore
    for (const key of ['a', 'b/1', 'b/2', 'b0', 'c/1/x', 'c/2', 'd']) await put(`lists/${key}`, 'x');
    const collected: string[] = [];
    let token: string | undefined;
    do {
      const page = await client.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: 'lists/', Delimiter: '/', MaxKeys: 2, ContinuationToken: token }),
      );
      expect(page.KeyCount).toBeLessThanOrEqual(2);
      collected.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''), ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    expect(collected.sort()).toEqual(['lists/a', 'lists/b/', 'lists/b0', 'lists/c/', 'lists/d']);
    const old: string[] = [];
    let marker: string | undefined;
    do {
      const page = await client.send(new ListObjectsCommand({ Bucket: bucket, Prefix: 'lists/', Delimiter: '/', MaxKeys: 1, Marker: marker }));
      old.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''), ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''));
      marker = page.NextMarker;
    } while (marker !== undefined);
    expect(old).toEqual(['lists/a', 'lists/b/', 'lists/b0', 'lists/c/', 'lists/d']);
    client.destroy();
    const none = await list('list-type=2&max-keys=0');
    expect(all(none, 'Key')).toEqual([]);
    expect(all(none, 'IsTruncated')).toEqual(['false']);
    expect((await raw('GET', '/?list-type=2&max-keys=x')).code).toBe('InvalidArgument');
    expect((await raw('GET', '/?list-type=2&continuation-token=%00')).code).toBe('InvalidArgument');
    expect((await raw('GET', '/?list-type=2&encoding-type=base64')).code).toBe('InvalidArgument');
  });

  it('encode keys that XML cannot hold, when asked', async () => {
    await put('encoded/%01%20%2B%26%C3%BC%2F', 'x');
    const text = await list('list-type=2&prefix=encoded%2F&encoding-type=url');
    expect(all(text, 'Key')).toEqual(['encoded/%01%20%2B%26%C3%BC/']);
    expect(all(text, 'EncodingType')).toEqual(['url']);
  });

  it('delete many objects by one document, and refuse a bad one', async () => {
    for (const key of ['many/1', 'many/2', 'many/%26%3C']) await put(key, 'x');
    const document = (keys: readonly string[], quiet = false): Buffer =>
      Buffer.from(`<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}<Quiet>${quiet}</Quiet></Delete>`);
    const answer = await raw('POST', '/?delete', { body: document(['many/1', 'many/&amp;&lt;', 'many/none']) });
    expect(all(answer.body.toString(), 'Key').sort()).toEqual(['many/&amp;&lt;', 'many/1', 'many/none']);
    expect(all(await list('list-type=2&prefix=many%2F'), 'Key')).toEqual(['many/2']);
    expect((await raw('POST', '/?delete', { body: document(['many/2'], true) })).body.toString()).not.toContain('many/2');
    for (const body of ['', 'x', '<Delete></Delete>', '<Delete><Object/></Delete>', '<!DOCTYPE a><Delete/>']) {
      expect((await raw('POST', '/?delete', { body: Buffer.from(body) })).code).toBe('MalformedXML');
    }
    expect((await raw('POST', '/?delete', { body: document(Array.from({ length: 1001 }, () => 'a')) })).code).toBe('MalformedXML');
  });
});

describe('multipart uploads', () => {
  const etagOf = (answer: RawAnswer): string => answer.headers.etag ?? '';
  const begin = async (key: string): Promise<string> =>
    /<UploadId>(.*?)</.exec((await raw('POST', `/${key}?uploads`)).body.toString())?.[1] ?? '';
  const part = (key: string, id: string, number: number, body: Buffer) =>
    raw('PUT', `/${key}?partNumber=${number}&uploadId=${id}`, { body });
  const complete = (key: string, id: string, parts: readonly (readonly [number, string])[]) =>
    raw('POST', `/${key}?uploadId=${id}`, {
      body: Buffer.from(
        `<CompleteMultipartUpload>${parts.map(([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`).join('')}</CompleteMultipartUpload>`,
      ),
    });
  const uploadDirectories = (): string[] => {
    const path = join(server.dataDir, 'buckets', bucket, 'uploads');
    return existsSync(path) ? readdirSync(path) : [];
  };

  it('become an object with the tag that S3 gives, once, and can be listed until then', async () => {
    const big = randomBytes(5 * MiB);
    const id = await begin('parts/whole');
    const first = etagOf(await part('parts/whole', id, 2, big));
    await part('parts/whole', id, 7, Buffer.from('replaced'));
    const last = etagOf(await part('parts/whole', id, 7, Buffer.from('end')));
    const unused = await part('parts/whole', id, 9, Buffer.from('unused'));
    expect(unused.status).toBe(200);
    const client = new S3Client({
      endpoint: server.endpoint, region: server.region, forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    }); // prettier-ignore
    const listed = await client.send(new ListPartsCommand({ Bucket: bucket, Key: 'parts/whole', UploadId: id, MaxParts: 2 }));
    expect(listed.Parts?.map(({ PartNumber, ETag, Size }) => [PartNumber, ETag, Size])).toEqual([[2, first, 5 * MiB], [7, last, 3]]);
    expect(listed).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '7' });
    const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: 'parts/' }));
    expect(uploads.Uploads?.map(({ Key, UploadId }) => [Key, UploadId])).toEqual([['parts/whole', id]]);
    client.destroy();

    expect((await complete('parts/whole', id, [[7, last], [2, first]])).code).toBe('InvalidPartOrder');
    expect((await complete('parts/whole', id, [[2, first], [3, last]])).code).toBe('InvalidPart');
    expect((await complete('parts/whole', id, [[2, last]])).code).toBe('InvalidPart');
    expect((await complete('parts/whole', id, [])).code).toBe('MalformedXML');
    expect((await complete('other', id, [[2, first]])).code).toBe('NoSuchUpload');
    expect((await complete('parts/whole', '..%2F..%2Fx', [[2, first]])).code).toBe('NoSuchUpload');
    expect(await contentOf('parts/whole')).toBeUndefined();

    const tags = Buffer.concat([md5(big), md5('end')].map((hex) => Buffer.from(hex, 'hex')));
    const done = await complete('parts/whole', id, [[2, first], [7, last]]);
    expect(done.body.toString()).toContain(`&quot;${md5(tags)}-2&quot;`);
    expect((await complete('parts/whole', id, [[2, first], [7, last]])).status).toBe(200);
    expect((await part('parts/whole', id, 2, big)).code).toBe('NoSuchUpload');
    expect((await raw('DELETE', `/parts/whole?uploadId=${id}`)).code).toBe('NoSuchUpload');
    const read = await raw('GET', '/parts/whole');
    expect(read.body.equals(Buffer.concat([big, Buffer.from('end')]))).toBe(true);
    // Of the parts, only those listed are kept.
    const directory = join(server.dataDir, 'buckets', bucket, 'uploads', id);
    expect(readdirSync(directory).filter((name) => /^\d+$/.test(name))).toEqual(['00002', '00007']);
  });

  it('refuse small parts in the middle, and numbers out of range', async () => {
    const id = await begin('parts/small');
    const etag = etagOf(await part('parts/small', id, 1, Buffer.from('x')));
    await part('parts/small', id, 2, Buffer.from('x'));
    expect((await complete('parts/small', id, [[1, etag], [2, etag]])).code).toBe('EntityTooSmall');
    for (const number of [0, 10_001, -1, 1.5]) {
      expect((await part('parts/small', id, number, Buffer.from('x'))).code).toBe('InvalidArgument');
    }
    expect((await part('parts/small', 'f'.repeat(32), 1, Buffer.from('x'))).code).toBe('NoSuchUpload');
    expect(await raw('DELETE', `/parts/small?uploadId=${id}`)).toMatchObject({ status: 204 });
    expect(uploadDirectories()).not.toContain(id);
  });

  it('take parts from other objects', async () => {
    const big = randomBytes(6 * MiB);
    await put('parts/source', big);
    const client = new S3Client({
      endpoint: server.endpoint, region: server.region, forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    }); // prettier-ignore
    const at = { Bucket: bucket, Key: 'parts/copied' };
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at));
    const source = { ...at, UploadId, CopySource: `${bucket}/parts/source` };
    const one = await client.send(new UploadPartCopyCommand({ ...source, PartNumber: 1 }));
    const two = await client.send(new UploadPartCopyCommand({ ...source, PartNumber: 2, CopySourceRange: 'bytes=10-19' }));
    const three = await client.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 3, Body: Buffer.from('y') }));
    expect(one.CopyPartResult?.ETag).toBe(`"${md5(big)}"`);
    const failed = client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts: [
      { PartNumber: 1, ETag: one.CopyPartResult?.ETag }, { PartNumber: 2, ETag: two.CopyPartResult?.ETag }, { PartNumber: 3, ETag: three.ETag },
    ] } })); // prettier-ignore
    await expect(failed).rejects.toMatchObject({ name: 'EntityTooSmall' });
    await client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts: [
      { PartNumber: 1, ETag: one.CopyPartResult?.ETag }, { PartNumber: 2, ETag: two.CopyPartResult?.ETag },
    ] } })); // prettier-ignore
    client.destroy();
    const read = await raw('GET', '/parts/copied');
    expect(read.body.equals(Buffer.concat([big, big.subarray(10, 20)]))).toBe(true);
  });

  it('leave nothing when their object is overwritten or deleted, but not under a reader', async () => {
    const before = uploadDirectories();
    const big = randomBytes(20 * MiB);
    const make = async (): Promise<string> => {
      const id = await begin('parts/replaced');
      const etags: [number, string][] = [];
      for (let number = 1; number <= 4; number += 1) {
        etags.push([number, etagOf(await part('parts/replaced', id, number, big.subarray((number - 1) * 5 * MiB, number * 5 * MiB)))]);
      }
      expect((await complete('parts/replaced', id, etags)).status).toBe(200);
      return id;
    };
    const first = await make();
    const url = new PresignedUrl((await store.presignGet('parts/replaced', { expiresSeconds: 60 })).reveal());
    const reading = await fetch(url.reveal());
    const second = await make();
    expect(uploadDirectories()).toContain(first);
    expect(Buffer.from(await reading.arrayBuffer()).equals(big)).toBe(true);
    await expect.poll(uploadDirectories, { timeout: 10_000 }).toEqual([...before, second].sort());
    await put('parts/replaced', 'small');
    expect(uploadDirectories()).toEqual(before);
    await make();
    await raw('DELETE', '/parts/replaced');
    expect(uploadDirectories()).toEqual(before);
  });
});

describe('files', () => {
  it('are all closed in the end', async () => {
    const open = (): string[] => readdirSync('/proc/self/fd');
    await contentOf('signed');
    const before = open().length;
    for (let round = 0; round < 20; round += 1) {
      await put('closing', randomBytes(1000));
      await contentOf('closing');
      await raw('HEAD', '/closing');
      await raw('GET', '/closing', { headers: { 'if-none-match': '*' } });
      await raw('GET', '/closing', { headers: { range: 'bytes=5000-' } });
      await raw('GET', '/?list-type=2');
    }
    await expect.poll(() => open().length, { timeout: 5_000 }).toBeLessThanOrEqual(before + 2);
  });
});
