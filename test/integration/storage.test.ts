import { createHash, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { embeddedCredentials } from '../support/s3.js';
import { Tools, bucket, sendPlain } from '../support/s3-tools.js';
import type { RawRequest } from '../support/s3-tools.js';

/** Who may use the embedded server, and what it says it does not do. */
const tools = Tools.use();
const { raw, put, contentOf, temporaryFiles } = tools;

describe('who may do what', () => {
  it('answers health without a signature, and nothing else', async () => {
    const plain = (path: string, method = 'GET') =>
      sendPlain(tools.server.port, { method, path, headers: {} });
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
    const attempts: readonly [Partial<RawRequest>, Parameters<typeof raw>[3], string][] = [
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
      [
        { headers: { 'x-amz-meta-a': 'b' } },
        (out) => (out.headers['x-amz-meta-a'] = 'c'),
        'SignatureDoesNotMatch',
      ],
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
    const url = await tools.store.presignPut('granted', { expiresSeconds: 60 });
    const path = url.target().path;
    const send = (headers: Record<string, string>, at = path, method = 'PUT') =>
      sendPlain(tools.server.port, {
        method,
        path: at,
        headers: { host: `127.0.0.1:${tools.server.port}`, ...headers },
        body: Buffer.from('x'),
      });
    expect(await send({ 'x-amz-copy-source': `/${bucket}/secret` })).toMatchObject({ status: 403 });
    expect(await send({ 'x-amz-meta-a': 'b' })).toMatchObject({ status: 403 });
    expect(await send({}, `${path}&uploadId=a&partNumber=1`)).toMatchObject({ status: 403 });
    expect(await send({}, path, 'GET')).toMatchObject({ status: 403 });
    expect(await send({}, path, 'DELETE')).toMatchObject({ status: 403 });
    expect(await send({ host: 'elsewhere' })).toMatchObject({ status: 403 });
    expect(await send({})).toMatchObject({ status: 200 });
    expect(await contentOf('granted')).toBe('x');
    // The holder may say what it sends, and is held to it.
    const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
    expect(await send({ 'x-amz-content-sha256': sha256('x') })).toMatchObject({ status: 200 });
    expect(await send({ 'x-amz-content-sha256': sha256('y') })).toMatchObject({ status: 400 });
  });

  it('does not write permissions to its log', () => {
    const text = JSON.stringify(tools.server.log.lines);
    expect(tools.server.log.lines.filter(({ level }) => level === 'warn').length).toBeGreaterThan(5);
    expect(text).not.toMatch(/X-Amz-|Signature=|secretKey/);
    expect(text).not.toContain(embeddedCredentials.secretKey);
  });

  it('refuses before the body travels', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(tools.server.port, '127.0.0.1', () => {
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
