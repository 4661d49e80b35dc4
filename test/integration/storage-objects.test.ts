import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ListObjectsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { Tools, bucket, md5, sendRaw, signByHand } from '../support/s3-tools.js';

/** What S3 tools expect of objects, buckets and lists of the embedded server. */
const tools = Tools.use();
const { raw, put, contentOf, temporaryFiles } = tools;

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
      expect(answer.headers).toMatchObject({
        ...headers,
        etag: `"${md5('content')}"`,
        'content-length': '7',
        'accept-ranges': 'bytes',
      });
      expect(answer.body.toString()).toBe(method === 'GET' ? 'content' : '');
    }
    expect((await put('meta', 'x', { 'x-amz-meta-a': 'a'.repeat(2100) })).code).toBe('MetadataTooLarge');
  });

  it('answer with the headers that the query asks for, but never with a header smuggled in', async () => {
    await put('answered', 'content');
    const good = await raw(
      'GET',
      '/answered?response-cache-control=no-store&response-content-type=text%2Fplain&response-content-disposition=attachment%3B%20filename%3D%22%C3%BC%22',
    );
    expect(good.headers).toMatchObject({ 'cache-control': 'no-store', 'content-type': 'text/plain' });
    expect(Buffer.from(good.headers['content-disposition'] ?? '', 'latin1').toString()).toBe(
      'attachment; filename="ü"',
    );
    const bad = await raw('GET', '/answered?response-content-type=a%0D%0Ax-evil%3A%20b');
    expect(bad).toMatchObject({ status: 400, code: 'InvalidArgument' });
  });

  it('are read, written and deleted under conditions', async () => {
    const { headers } = await put('conditional', 'one');
    const etag = headers.etag ?? '';
    const get = async (name: string, value: string) =>
      (await raw('GET', '/conditional', { headers: { [name]: value } })).status;
    expect(await get('if-none-match', etag)).toBe(304);
    expect(await get('if-none-match', '"x"')).toBe(200);
    expect(await get('if-match', etag)).toBe(200);
    expect(await get('if-match', '"x"')).toBe(412);
    expect(await get('if-modified-since', new Date(Date.now() + 60_000).toUTCString())).toBe(304);
    expect(await get('if-unmodified-since', new Date(0).toUTCString())).toBe(412);
    const write = async (name: string, value: string, key = 'conditional') =>
      (await put(key, 'two', { [name]: value })).code;
    expect(await write('if-none-match', '*')).toBe('PreconditionFailed');
    expect(await write('if-match', '"x"')).toBe('PreconditionFailed');
    expect(await write('if-match', '"x"', 'nothing-there')).toBe('NoSuchKey');
    expect(await contentOf('conditional')).toBe('one');
    expect(await write('if-match', etag)).toBeUndefined();
    expect(await contentOf('conditional')).toBe('two');
    expect((await raw('DELETE', '/conditional', { headers: { 'if-match': etag } })).code).toBe(
      'PreconditionFailed',
    );
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
    const state = { writing: true };
    const writer = (async () => {
      for (let round = 0; round < 3; round += 1)
        await Promise.all(versions.map((version) => put('torn', version)));
      state.writing = false;
    })();
    let reads = 0;
    while (state.writing) {
      const { body, headers } = await raw('GET', '/torn');
      expect(versions.some((version) => version.equals(body))).toBe(true);
      expect(headers.etag).toBe(`"${md5(body)}"`);
      reads += 1;
    }
    await writer;
    expect(reads).toBeGreaterThan(3);
  });

  it('may be larger than what is synced at a time', async () => {
    const block = randomBytes(1024 * 1024);
    const blocks = Array.from({ length: 140 }, () => block);
    const digest = createHash('md5');
    for (const one of blocks) digest.update(one);
    const { etag } = await tools.store.put('large', {
      stream: Readable.from(blocks),
      bytes: 140 * block.length,
    });
    expect(etag).toBe(`"${digest.digest('hex')}"`);
    const tail = await raw('GET', '/large', { headers: { range: `bytes=-${block.length}` } });
    expect(tail.body.equals(block)).toBe(true);
    await raw('DELETE', '/large');
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
    expect((await raw('HEAD', '/copy')).headers).toMatchObject({
      'x-amz-meta-a': 'b',
      'content-type': 'text/a',
    });
    const replaced = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-c': 'd' };
    expect(await copy('copy', replaced)).toMatchObject({ status: 200 });
    const { headers: now } = await raw('HEAD', '/copy');
    expect(now['x-amz-meta-c']).toBe('d');
    expect(now['x-amz-meta-a']).toBeUndefined();
    expect((await copy('source')).code).toBe('InvalidRequest');
    expect(await copy('source', replaced)).toMatchObject({ status: 200 });
    expect((await copy('copy', { 'x-amz-copy-source-if-match': '"x"' })).code).toBe('PreconditionFailed');
    expect(await copy('copy', { 'x-amz-copy-source-if-match': headers.etag ?? '' })).toMatchObject({
      status: 200,
    });
    expect((await raw('PUT', '/copy', { headers: { 'x-amz-copy-source': `/${bucket}/none` } })).code).toBe(
      'NoSuchKey',
    );
    expect((await raw('PUT', '/copy', { headers: { 'x-amz-copy-source': '/nobucket/a' } })).code).toBe(
      'NoSuchBucket',
    );
  });

  it('have keys of at most 1,024 bytes of UTF-8', async () => {
    expect(await put('k'.repeat(1024), 'x')).toMatchObject({ status: 200 });
    expect((await put('k'.repeat(1025), 'x')).code).toBe('KeyTooLongError');
    expect((await put('%FF%FE', 'x')).code).toBe('InvalidURI');
    expect((await put('%zz', 'x')).code).toBe('InvalidURI');
  });

  it('never leave the data directory, whatever their keys', async () => {
    const outside = join(tools.server.dataDir, '..', 'gantry-test-outside');
    for (const key of [
      '../../../../gantry-test-outside',
      '..%2f..%2f..%2f..%2fgantry-test-outside',
      '%2e%2e/%2e%2e/%2e%2e/%2e%2e/gantry-test-outside',
      '/../a',
      '..',
      '.',
      '%00',
      'a/../../bucket.json',
      '../bucket.json',
      '../../tools/bucket.json',
      'o..',
      '%2e%2e%2f',
    ]) {
      expect(await put(key, key)).toMatchObject({ status: 200 });
      expect(await contentOf(key)).toBe(key);
      expect(await raw('DELETE', `/${key}`)).toMatchObject({ status: 204 });
    }
    expect(existsSync(outside)).toBe(false);
    await tools.store.checkBucket();
    for (const name of ['..', '.', '%2e%2e', 'a%2fb', '..%2fescape', 'UPPER', 'a', '-']) {
      expect((await sendRaw(tools.server.port, { method: 'PUT', path: `/${name}` })).code).toBe(
        'InvalidBucketName',
      );
    }
  });

  it('do not exist half: a client that goes away leaves the old one, and nothing else', async () => {
    await put('interrupted', 'before');
    const { headers } = signByHand(
      { method: 'PUT', path: `/${bucket}/interrupted`, payload: 'UNSIGNED-PAYLOAD' },
      `127.0.0.1:${tools.server.port}`,
    );
    await new Promise<void>((resolve) => {
      const socket = connect(tools.server.port, '127.0.0.1', () => {
        const lines = Object.entries({ ...headers, 'content-length': '1000000' }).map(
          ([name, value]) => `${name}: ${value}`,
        );
        socket.write(`PUT /${bucket}/interrupted HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
        socket.write(Buffer.alloc(500_000));
      });
      void expect
        .poll(temporaryFiles, { timeout: 10_000 })
        .toHaveLength(1)
        .then(() => {
          socket.destroy();
          resolve();
        });
    });
    await expect.poll(temporaryFiles, { timeout: 10_000 }).toEqual([]);
    expect(await contentOf('interrupted')).toBe('before');
  });
});

describe('buckets and lists', () => {
  const list = async (query: string): Promise<string> => (await raw('GET', `/?${query}`)).body.toString();
  const all = (text: string, element: string): string[] =>
    [...text.matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))].map((match) => match[1] ?? '');

  it('are made, listed and deleted when empty', async () => {
    const own = (method: string, path = '') => sendRaw(tools.server.port, { method, path: `/second${path}` });
    expect(await own('HEAD')).toMatchObject({ status: 404 });
    expect((await own('GET')).code).toBe('NoSuchBucket');
    expect(await own('PUT')).toMatchObject({ status: 200 });
    expect((await own('PUT')).code).toBe('BucketAlreadyOwnedByYou');
    expect(await own('HEAD')).toMatchObject({ status: 200 });
    expect((await own('GET', '?location')).body.toString()).toContain('LocationConstraint');
    expect(
      all((await sendRaw(tools.server.port, { method: 'GET', path: '/' })).body.toString(), 'Name'),
    ).toEqual(['second', bucket]);
    await own('PUT', '/a');
    expect((await own('DELETE')).code).toBe('BucketNotEmpty');
    await own('DELETE', '/a');
    expect(await own('DELETE')).toMatchObject({ status: 204 });
    expect((await own('PUT', '/a')).code).toBe('NoSuchBucket');
    expect((await own('DELETE')).code).toBe('NoSuchBucket');
  });

  it('come by either version, in pages, with delimiters and markers', async () => {
    for (const key of ['a', 'b/1', 'b/2', 'b0', 'c/1/x', 'c/2', 'd']) await put(`lists/${key}`, 'x');
    const collected: string[] = [];
    let token: string | undefined;
    do {
      const page = await tools.client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: 'lists/',
          Delimiter: '/',
          MaxKeys: 2,
          ContinuationToken: token,
        }),
      );
      expect(page.KeyCount).toBeLessThanOrEqual(2);
      collected.push(
        ...(page.Contents ?? []).map(({ Key }) => Key ?? ''),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''),
      );
      token = page.NextContinuationToken;
    } while (token !== undefined);
    expect(collected.sort()).toEqual(['lists/a', 'lists/b/', 'lists/b0', 'lists/c/', 'lists/d']);
    const old: string[] = [];
    let marker: string | undefined;
    do {
      const page = await tools.client.send(
        new ListObjectsCommand({
          Bucket: bucket,
          Prefix: 'lists/',
          Delimiter: '/',
          MaxKeys: 1,
          Marker: marker,
        }),
      );
      old.push(
        ...(page.Contents ?? []).map(({ Key }) => Key ?? ''),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''),
      );
      marker = page.NextMarker;
    } while (marker !== undefined);
    expect(old).toEqual(['lists/a', 'lists/b/', 'lists/b0', 'lists/c/', 'lists/d']);
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
      Buffer.from(
        `<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}<Quiet>${quiet}</Quiet></Delete>`,
      );
    const answer = await raw('POST', '/?delete', {
      body: document(['many/1', 'many/&amp;&lt;', 'many/none']),
    });
    expect(all(answer.body.toString(), 'Key').sort()).toEqual(['many/&amp;&lt;', 'many/1', 'many/none']);
    expect(all(await list('list-type=2&prefix=many%2F'), 'Key')).toEqual(['many/2']);
    expect(
      (await raw('POST', '/?delete', { body: document(['many/2'], true) })).body.toString(),
    ).not.toContain('many/2');
    for (const body of [
      '',
      'x',
      '<Delete></Delete>',
      '<Delete><Object/></Delete>',
      '<!DOCTYPE a><Delete/>',
    ]) {
      expect((await raw('POST', '/?delete', { body: Buffer.from(body) })).code).toBe('MalformedXML');
    }
    expect(
      (await raw('POST', '/?delete', { body: document(Array.from({ length: 1001 }, () => 'a')) })).code,
    ).toBe('MalformedXML');
  });
});
