import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BlobError } from '../../shared/blob/blob-error.js';
import type { BlobFailure } from '../../shared/blob/blob-error.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { HttpTransfer } from '../../shared/blob/http-transfer.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import { startEmbeddedS3, startRgw } from '../support/s3.js';
import type { TestS3 } from '../support/s3.js';

const implementations: readonly { readonly name: string; readonly start: () => Promise<TestS3> }[] = [
  { name: 'the embedded server', start: () => startEmbeddedS3() },
  { name: 'Ceph RGW', start: startRgw },
];

const MiB = 1024 * 1024;

async function failureOf(work: Promise<unknown>): Promise<BlobFailure> {
  try {
    await work;
  } catch (error) {
    if (error instanceof BlobError) return error.failure;
    throw error;
  }
  throw new Error('it should have failed');
}

const transfer = new HttpTransfer();
afterAll(() => transfer.close());

describe.each(implementations)('a blob store on $name', ({ start }) => {
  let server: TestS3;
  let store: BlobStore;

  const storeWith = (changes: Partial<ConstructorParameters<typeof S3BlobStore>[0]> = {}): BlobStore =>
    new S3BlobStore({ ...server, bucket: store.bucket, ...changes });
  const put = (url: PresignedUrl, body: Buffer, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(url.reveal(), { method: 'PUT', body: new Uint8Array(body), headers });
  const keysOf = async (prefix: string, startAfter?: string): Promise<string[]> => {
    const keys: string[] = [];
    const options = startAfter === undefined ? {} : { startAfter };
    for await (const { key } of store.list(prefix, options)) keys.push(key);
    return keys;
  };
  const read = async (key: string): Promise<string> =>
    (await store.getBytes(key, { maxBytes: 64 * MiB })).toString();

  beforeAll(async () => {
    server = await start();
    const bucket = `test-${randomBytes(6).toString('hex')}`;
    store = new S3BlobStore({ ...server, bucket });
    await store.ensureBucket();
  });
  afterAll(async () => {
    store.close();
    await server.stop();
  });

  it('gives back what was put, with length and entity tag', async () => {
    const content = randomBytes(100_000);
    const { etag } = await store.put('a/b', content, { contentType: 'application/x-test' });
    const found = await store.get('a/b');
    expect(await buffer(found.body)).toEqual(content);
    expect(found).toMatchObject({ bytes: 100_000, etag });
    const head = await store.head('a/b');
    expect(head).toMatchObject({ bytes: 100_000, etag });
    expect(Math.abs((head?.modifiedAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it('takes an empty object and a stream with its length', async () => {
    await store.put('empty', Buffer.alloc(0));
    expect(await read('empty')).toBe('');
    const content = randomBytes(3 * MiB);
    const pieces = [content.subarray(0, 10), content.subarray(10, MiB), content.subarray(MiB)];
    await store.put('streamed', { stream: Readable.from(pieces), bytes: content.length });
    expect((await store.getBytes('streamed', { maxBytes: 4 * MiB })).equals(content)).toBe(true);
  });

  it('replaces an object by a later put', async () => {
    await store.put('replaced', Buffer.from('one, and longer'));
    await store.put('replaced', Buffer.from('two'));
    expect(await read('replaced')).toBe('two');
  });

  it('puts only a new object when asked so', async () => {
    await store.put('once', Buffer.from('first'), { ifAbsent: true });
    const again = store.put('once', Buffer.from('second'), { ifAbsent: true });
    expect(await failureOf(again)).toEqual({ kind: 'precondition-failed', key: 'once' });
    expect(await read('once')).toBe('first');
  });

  it('reads ranges', async () => {
    await store.put('digits', Buffer.from('0123456789'));
    const part = async (start: number, end?: number): Promise<string> => {
      const { bytes, body } = await store.get('digits', {
        range: end === undefined ? { start } : { start, end },
      });
      const text = (await buffer(body)).toString();
      expect(text).toHaveLength(bytes);
      return text;
    };
    expect(await part(0, 0)).toBe('0');
    expect(await part(2, 4)).toBe('234');
    expect(await part(7)).toBe('789');
    expect(await part(8, 100)).toBe('89');
    expect(await failureOf(store.get('digits', { range: { start: 10 } }))).toMatchObject({
      kind: 'refused',
      status: 416,
    });
  });

  it('refuses to read an object larger than the caller can take', async () => {
    await store.put('large', randomBytes(1000));
    const failure = await failureOf(store.getBytes('large', { maxBytes: 999 }));
    expect(failure).toMatchObject({ kind: 'refused', reason: 'it has 1000 bytes, at most 999 are read' });
  });

  it('says which object is missing', async () => {
    expect(await failureOf(store.get('no such'))).toEqual({ kind: 'blob-not-found', key: 'no such' });
    expect(await store.head('no such')).toBeUndefined();
    expect(await failureOf(store.copy('no such', 'b'))).toEqual({ kind: 'blob-not-found', key: 'no such' });
  });

  it.each([
    'plain',
    'with space',
    'a//b',
    'a/',
    '/a',
    '../../etc/passwd',
    'a/../b',
    './a',
    '.',
    '..',
    'ünï/çødé',
    '日本/語',
    '🚂',
    'quote"s\'',
    'back\\slash',
    'plus+plus',
    'percent%20',
    '%2e%2e/',
    'a?b=c&d',
    'hash#',
    'new\nline',
    'a=b;c,d:e@f!g(h)i*j~',
    'x'.repeat(1024),
    `${'y'.repeat(300)}/${'ü'.repeat(200)}`,
    '<&>',
    'a',
    'a/b/c',
    'A',
  ])('keeps the key %j apart from every other', async (key) => {
    await store.put(`keys/${key}`.slice(0, 1024), Buffer.from(key));
    expect(await read(`keys/${key}`.slice(0, 1024))).toBe(key);
    expect(await keysOf('keys/')).toContain(`keys/${key}`.slice(0, 1024));
    const url = await store.presignGet(`keys/${key}`.slice(0, 1024), { expiresSeconds: 60 });
    expect((await transfer.getBytes({ url, maxBytes: 2000 })).toString()).toBe(key);
  });

  it('lists by prefix in the order of bytes, over pages', async () => {
    const keys = Array.from({ length: 1005 }, (_, index) => `list/${index.toString(36)}`);
    const odd = [
      'list/Z/deep',
      'list/a-b',
      'list/a.b',
      'list/a/b',
      'list/ü',
      'list/\u{1f682}',
      'list/\uffee',
    ];
    for (let start = 0; start < keys.length; start += 50) {
      await Promise.all(keys.slice(start, start + 50).map((key) => store.put(key, Buffer.from('x'))));
    }
    await Promise.all([...odd, 'lisu', 'list'].map((key) => store.put(key, Buffer.from('y'))));
    const expected = [...keys, ...odd].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(await keysOf('list/')).toEqual(expected);
    expect(await keysOf('list/a')).toEqual(expected.filter((key) => key.startsWith('list/a')));
    expect(await keysOf('list/', 'list/a/b')).toEqual(expected.slice(expected.indexOf('list/a/b') + 1));
    expect(await keysOf('nothing here')).toEqual([]);
    for await (const entry of store.list('list/ü')) {
      expect(entry).toMatchObject({ bytes: 1, etag: (await store.head('list/ü'))?.etag });
    }
  });

  it('deletes any number of objects, absent ones too', async () => {
    const keys = Array.from({ length: 1100 }, (_, index) => `delete/${index}&"<\n`);
    const some = [keys[0], keys[500], keys[1099]].map((key) => key ?? '');
    for (const key of some) await store.put(key, Buffer.from('x'));
    await store.deleteMany(keys);
    await store.deleteMany([]);
    expect(await keysOf('delete/')).toEqual([]);
    expect(await store.head(some[1] ?? '')).toBeUndefined();
  });

  it('copies on the server', async () => {
    await store.put('copy/from ü+%', Buffer.from('content'), { contentType: 'text/x-copy' });
    await store.copy('copy/from ü+%', 'copy/to');
    expect(await read('copy/to')).toBe('content');
    const url = await store.presignGet('copy/to', { expiresSeconds: 60 });
    expect((await fetch(url.reveal())).headers.get('content-type')).toBe('text/x-copy');
  });

  it('presigns a put, of exactly the length that was granted', async () => {
    const content = randomBytes(1000);
    const url = await store.presignPut('granted', { expiresSeconds: 60, bytes: 1000 });
    expect((await put(url, content)).status).toBe(200);
    expect((await store.getBytes('granted', { maxBytes: 1000 })).equals(content)).toBe(true);
    expect((await put(url, randomBytes(1001))).status).toBe(403);
    const free = await store.presignPut('granted', { expiresSeconds: 60 });
    expect((await put(free, randomBytes(1001))).status).toBe(200);
  });

  it('presigns a get with the headers of its answer', async () => {
    await store.put('answered', Buffer.from('0123456789'));
    const url = await store.presignGet('answered', {
      expiresSeconds: 60,
      contentDisposition: `attachment; filename="a b.txt"; filename*=UTF-8''%C3%BC.txt`,
      contentType: 'text/x-mine',
    });
    const answer = await fetch(url.reveal(), { headers: { range: 'bytes=1-3' } });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-disposition')).toBe(
      `attachment; filename="a b.txt"; filename*=UTF-8''%C3%BC.txt`,
    );
    expect(answer.headers.get('content-type')).toBe('text/x-mine');
    expect(await answer.text()).toBe('123');
  });

  it('refuses a presigned URL that was altered, is for something else, or is too old', async () => {
    await store.put('guarded', Buffer.from('mine'));
    const url = (await store.presignGet('guarded', { expiresSeconds: 1 })).reveal();
    const status = async (text: string, method = 'GET'): Promise<number> =>
      (await fetch(text, { method })).status;
    expect(await status(url.replace('guarded', 'granted'))).toBe(403);
    expect(await status(url, 'DELETE')).toBe(403);
    expect(await status(url.replace('X-Amz-Expires=1', 'X-Amz-Expires=100'))).toBe(403);
    expect(await status(url.replace(/X-Amz-Signature=../, 'X-Amz-Signature=zz'))).toBe(403);
    expect(await status(url.replace(/\?.*/, ''))).toBe(403);
    await expect.poll(() => status(url), { timeout: 5_000 }).toBe(403);
  });

  it('presigns for the public endpoint', async () => {
    const elsewhere = storeWith({ publicEndpoint: 'https://storage.example.org:9000' });
    const url = await elsewhere.presignGet('a', { expiresSeconds: 60 });
    expect(url.reveal()).toMatch(/^https:\/\/storage\.example\.org:9000\/.*X-Amz-Signature=/);
    elsewhere.close();
  });

  it('makes one object of parts sent by presigned URLs', async () => {
    const parts = [randomBytes(5 * MiB), randomBytes(5 * MiB), randomBytes(7)];
    const upload = await store.createMultipart('multi', { contentType: 'application/x-multi' });
    const done = await Promise.all(
      parts.map(async (content, index) => {
        const options = { expiresSeconds: 60, bytes: content.length };
        const url = await store.presignPart('multi', upload, index + 1, options);
        const answer = await put(url, content);
        expect(answer.status).toBe(200);
        return { part: index + 1, etag: answer.headers.get('etag') ?? '' };
      }),
    );
    expect(await store.head('multi')).toBeUndefined();
    const { etag } = await store.completeMultipart('multi', upload, done);
    expect(etag).toMatch(/-3"?$/);
    const whole = Buffer.concat(parts);
    expect((await store.getBytes('multi', { maxBytes: 11 * MiB })).equals(whole)).toBe(true);
    const across = await store.get('multi', { range: { start: 5 * MiB - 10, end: 5 * MiB + 9 } });
    expect(await buffer(across.body)).toEqual(whole.subarray(5 * MiB - 10, 5 * MiB + 10));
    // The answer may have got lost: asking again is no mistake.
    expect((await store.completeMultipart('multi', upload, done)).etag).toBe(etag);
    await store.copy('multi', 'multi copy');
    expect((await store.getBytes('multi copy', { maxBytes: 11 * MiB })).equals(whole)).toBe(true);
    await store.put('multi', Buffer.from('small'));
    expect(await read('multi')).toBe('small');
  });

  it('refuses parts that are not what was uploaded', async () => {
    const upload = await store.createMultipart('wrong parts');
    const url = await store.presignPart('wrong parts', upload, 1, { expiresSeconds: 60 });
    const etag = (await put(url, Buffer.from('x'))).headers.get('etag') ?? '';
    const wrong = etag.replace(/[0-9a-f]{4}/, '0000');
    const failure = await failureOf(
      store.completeMultipart('wrong parts', upload, [{ part: 1, etag: wrong }]),
    );
    expect(failure).toMatchObject({ kind: 'refused', status: 400 });
    await store.completeMultipart('wrong parts', upload, [{ part: 1, etag }]);
    expect(await read('wrong parts')).toBe('x');
  });

  it('aborts an upload, twice too, and takes no part of it afterwards', async () => {
    const upload = await store.createMultipart('aborted');
    const url = await store.presignPart('aborted', upload, 1, { expiresSeconds: 60 });
    expect((await put(url, Buffer.from('x'))).status).toBe(200);
    await store.abortMultipart('aborted', upload);
    await store.abortMultipart('aborted', upload);
    expect((await put(url, Buffer.from('x'))).status).toBe(404);
    expect(await store.head('aborted')).toBeUndefined();
  });

  it('says that a bucket is missing, where, and what to do; and makes it when asked', async () => {
    const other = storeWith({ bucket: `missing-${randomBytes(6).toString('hex')}` });
    for (const work of [
      () => other.checkBucket(),
      () => other.put('a', Buffer.from('x')),
      () => other.get('a'),
      () => other.head('a'),
      () => keysOfStore(other),
    ]) {
      expect(await failureOf(work())).toMatchObject({
        kind: 'storage-unavailable',
        endpoint: server.endpoint,
        bucket: other.bucket,
        remedy: expect.stringContaining('bucket') as unknown,
      });
    }
    await other.ensureBucket();
    await other.ensureBucket();
    await other.checkBucket();
    other.close();
  });

  it('says that the keys are wrong', async () => {
    const secret = storeWith({ secretKey: 'wrong' });
    const failure = await failureOf(secret.put('a', Buffer.from('x')));
    expect(failure).toMatchObject({
      kind: 'storage-unavailable',
      remedy: expect.stringContaining('secret key') as unknown,
    });
    secret.close();
    const access = storeWith({ accessKey: 'NOBODY' });
    expect(await failureOf(access.checkBucket())).toMatchObject({ kind: 'storage-unavailable' });
    access.close();
  });

  it('says that nothing listens', async () => {
    const nowhere = storeWith({ endpoint: 'http://127.0.0.1:1' });
    expect(await failureOf(nowhere.checkBucket())).toMatchObject({
      kind: 'storage-unavailable',
      endpoint: 'http://127.0.0.1:1',
      reason: expect.stringContaining('ECONNREFUSED') as unknown,
    });
    nowhere.close();
  });

  it('ends with the reason of its signal', async () => {
    const reason = new Error('not wanted any more');
    await expect(store.get('a/b', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const control = new AbortController();
    const stream = new Readable({ read: () => undefined });
    const putting = store.put('never', { stream, bytes: 10 }, { signal: control.signal });
    control.abort(reason);
    await expect(putting).rejects.toBe(reason);
    stream.destroy();
    expect(await store.head('never')).toBeUndefined();
  });
});

async function keysOfStore(store: BlobStore): Promise<void> {
  for await (const entry of store.list('')) expect(entry).toBeUndefined();
}
