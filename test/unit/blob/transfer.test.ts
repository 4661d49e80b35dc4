import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  truncateSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobError } from '../../../shared/blob/blob-error.js';
import type { BlobFailure } from '../../../shared/blob/blob-error.js';
import { HttpTransfer } from '../../../shared/blob/http-transfer.js';
import { planParts, bytesOfPart } from '../../../shared/blob/parts.js';
import { PresignedUrl } from '../../../shared/blob/presigned-url.js';
import { parseSha256 } from '../../../shared/model/ids.js';

/** A server whose answers the test decides, one by one; when none is left, it does what S3 does. */
type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

let server: Server;
let directory: string;
let transfer: HttpTransfer;
let answers: Answer[];
let objects: Map<string, Buffer>;
let requests: { readonly method: string; readonly path: string; readonly range: string | undefined }[];

const wellBehaved: Answer = async (request, response) => {
  const path = request.url ?? '';
  if (request.method === 'PUT') {
    objects.set(path, await buffer(request));
    response.writeHead(200, { etag: `"${path}"` }).end();
    return;
  }
  const content = objects.get(path) ?? Buffer.alloc(0);
  const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '');
  if (range === null) {
    response.writeHead(200, { 'content-length': content.length, etag: '"e"' }).end(content);
    return;
  }
  const start = Number(range[1]);
  const end = range[2] === '' ? content.length : Number(range[2]) + 1;
  const part = content.subarray(start, end);
  const headers = { 'content-range': `bytes ${start}-${end - 1}/${content.length}`, etag: '"e"' };
  response.writeHead(206, { ...headers, 'content-length': part.length }).end(part);
};
const status =
  (code: number, body = ''): Answer =>
  (request, response) => {
    request.resume();
    response.writeHead(code).end(body);
  };
const cut: Answer = (request) => request.socket.destroy();

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-transfer-'));
  answers = [];
  requests = [];
  objects = new Map();
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push({ method: request.method ?? '', path: request.url ?? '', range: request.headers.range });
    void Promise.resolve((answers.shift() ?? wellBehaved)(request, response)).catch(() => response.destroy());
  };
  server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  transfer = new HttpTransfer({ attempts: 3, idleMs: 1500 });
});
afterEach(async () => {
  transfer.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

const url = (path: string): PresignedUrl =>
  new PresignedUrl(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`);
const digest = (bytes: Buffer) => parseSha256(createHash('sha256').update(bytes).digest('hex'))!;
const file = (content: Buffer): string => {
  const path = join(directory, 'source');
  writeFileSync(path, content);
  return path;
};
async function failureOf(work: Promise<unknown>): Promise<BlobFailure> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BlobError);
  return (error as BlobError).failure;
}
async function collect(content: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('an upload', { timeout: 30_000 }, () => {
  it('sends bytes, a file, a part of a file by its descriptor, and nothing at all', async () => {
    const content = randomBytes(3_000_000);
    const path = file(content);
    expect(await transfer.putFile({ file: path }, url('a'))).toEqual({
      bytes: content.length,
      sha256: digest(content),
      etag: '"/a"',
    });
    expect(objects.get('/a')?.equals(content)).toBe(true);
    const fd = openSync(path, 'r');
    await transfer.putFile({ file: fd, start: 1_000_000, bytes: 1_234_567 }, url('b'));
    closeSync(fd);
    expect(objects.get('/b')?.equals(content.subarray(1_000_000, 2_234_567))).toBe(true);
    expect((await transfer.putBytes(Buffer.alloc(0), url('c'))).sha256).toBe(digest(Buffer.alloc(0)));
    await transfer.putBytes(content, url('d'));
    expect(objects.get('/d')?.equals(content)).toBe(true);
  });

  it('tries again after a cut connection, a busy server and a broken one', async () => {
    const content = randomBytes(2_000_000);
    answers = [cut, status(503, '<Error><Code>SlowDown</Code></Error>')];
    const result = await transfer.putFile({ file: file(content) }, url('a'));
    expect(result.sha256).toBe(digest(content));
    expect(objects.get('/a')?.equals(content)).toBe(true);
    expect(requests).toHaveLength(3);
  });

  it.each([403, 404, 400, 412])(
    'takes status %d for the last word, and says what the server said',
    async (code) => {
      answers = [status(code, '<Error><Code>SomeCode</Code><Message>some words</Message></Error>')];
      expect(await failureOf(transfer.putBytes(randomBytes(5_000_000), url('a?secret')))).toEqual({
        kind: 'refused',
        what: expect.stringMatching(/\/a$/) as unknown,
        status: code,
        reason: 'SomeCode: some words',
      });
      expect(requests).toHaveLength(1);
    },
  );

  it('gives up in the end, without showing the permission', async () => {
    answers = [status(500), cut, status(429)];
    const error = await transfer
      .putBytes(Buffer.from('x'), url('a?X-Amz-Signature=secret'))
      .catch((e: unknown) => e);
    expect((error as BlobError).failure).toMatchObject({
      kind: 'storage-unavailable',
      reason: 'status 429, without a reason (3 tries)',
    });
    expect((error as BlobError).message).not.toContain('secret');
    const nowhere = new PresignedUrl('http://127.0.0.1:1/a');
    expect(await failureOf(transfer.putBytes(Buffer.from('x'), nowhere))).toMatchObject({
      kind: 'storage-unavailable',
      endpoint: 'http://127.0.0.1:1/a',
    });
  });

  it('gives up a connection that moves nothing', async () => {
    answers = [() => undefined];
    expect((await transfer.putBytes(Buffer.from('x'), url('a'))).bytes).toBe(1);
    expect(requests).toHaveLength(2);
  });

  it('says that the file changed', async () => {
    const path = file(randomBytes(2_000_000));
    expect(await failureOf(transfer.putFile({ file: path, bytes: 2_000_001 }, url('a')))).toMatchObject({
      kind: 'source-changed',
      reason: 'it ends after 2000000 of 2000001 bytes',
    });
    answers = [
      async (request, response) => {
        await buffer(request);
        truncateSync(path, 5);
        response.writeHead(200).end();
      },
    ];
    expect(await failureOf(transfer.putFile({ file: path }, url('a')))).toMatchObject({
      kind: 'source-changed',
      what: path,
    });
  });

  it('stops with the reason of its signal', async () => {
    const control = new AbortController();
    const reason = new Error('not wanted any more');
    answers = [() => control.abort(reason)];
    await expect(transfer.putBytes(randomBytes(100), url('a'), control.signal)).rejects.toBe(reason);
    answers = [status(503)];
    const later = new AbortController();
    setTimeout(() => later.abort(reason), 50);
    await expect(transfer.putBytes(randomBytes(100), url('a'), later.signal)).rejects.toBe(reason);
    expect(requests).toHaveLength(2);
  });
});

describe('an upload in parts', { timeout: 30_000 }, () => {
  const MiB = 1024 * 1024;
  const request = (asked: number[][], parallel: number) => ({
    partBytes: MiB,
    parallel,
    urlsFor: (parts: readonly number[]) => {
      asked.push([...parts]);
      return Promise.resolve(parts.map((part) => url(`part${part}`)));
    },
  });

  it.each([1, 4])('hashes the whole and asks for URLs in batches, %d at once', async (parallel) => {
    const content = randomBytes(9 * MiB + 5);
    const asked: number[][] = [];
    const result = await transfer.putParts({ file: file(content) }, request(asked, parallel));
    expect(result.sha256).toBe(digest(content));
    expect(result.bytes).toBe(content.length);
    expect(result.parts).toEqual(
      Array.from({ length: 10 }, (_, index) => ({ part: index + 1, etag: `"/part${index + 1}"` })),
    );
    expect(asked).toEqual([
      [1, 2, 3, 4, 5, 6, 7, 8],
      [9, 10],
    ]);
    const sent = Array.from(
      { length: 10 },
      (_, index) => objects.get(`/part${index + 1}`) ?? Buffer.alloc(0),
    );
    expect(Buffer.concat(sent).equals(content)).toBe(true);
  });

  it.each([1, 3])('repeats only the part that failed, with a fresh URL, %d at once', async (parallel) => {
    const content = randomBytes(3 * MiB);
    const asked: number[][] = [];
    let cuts = 0;
    const second: Answer = (incoming, response) => {
      if (incoming.url !== '/part2') return wellBehaved(incoming, response);
      cuts += 1;
      return cuts === 1 ? cut(incoming, response) : wellBehaved(incoming, response);
    };
    answers = [second, second, second];
    const result = await transfer.putParts({ file: file(content) }, request(asked, parallel));
    expect(result.sha256).toBe(digest(content));
    expect(asked).toEqual([[1, 2, 3], [2]]);
    expect(requests.filter(({ path }) => path !== '/part2')).toHaveLength(2);
  });

  it('ends all when one part fails for good', async () => {
    answers = Array.from({ length: 5 }, () => status(403, '<Error><Code>AccessDenied</Code></Error>'));
    const failure = await failureOf(transfer.putParts({ file: file(randomBytes(5 * MiB)) }, request([], 3)));
    expect(failure).toMatchObject({ kind: 'refused', status: 403 });
  });

  it('is planned alike by both sides', () => {
    expect(planParts(64 * MiB)).toEqual({ kind: 'single' });
    for (const bytes of [64 * MiB + 1, 500_000_000, 700 * 1024 * MiB, 5 * 1024 ** 4]) {
      const plan = planParts(bytes);
      if (plan.kind === 'single') throw new Error('it needs parts');
      expect(plan.count).toBeLessThanOrEqual(10_000);
      expect(plan.partBytes).toBeGreaterThanOrEqual(8 * MiB);
      expect((plan.count - 1) * plan.partBytes + bytesOfPart(plan, bytes, plan.count)).toBe(bytes);
    }
  });
});

describe('a download', { timeout: 30_000 }, () => {
  const content = randomBytes(1_000_000);
  beforeEach(() => void objects.set('/a', content));

  /** Sends `bytes` of what it says it has, then the connection is gone. */
  const half =
    (bytes: number): Answer =>
    (_, response) => {
      response.writeHead(200, { 'content-length': content.length, etag: '"e"' });
      response.write(content.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20));
    };

  it('verifies length and digest', async () => {
    const expected = { url: url('a'), bytes: content.length, sha256: digest(content) };
    expect((await collect(transfer.get(expected))).equals(content)).toBe(true);
    const short = await failureOf(collect(transfer.get({ ...expected, bytes: 999_999 })));
    expect(short).toMatchObject({
      kind: 'verification-failed',
      expected: '999999 bytes',
      actual: '1000000 bytes',
    });
    const other = await failureOf(collect(transfer.get({ ...expected, sha256: digest(Buffer.from('x')) })));
    expect(other).toMatchObject({ kind: 'verification-failed', actual: digest(content) });
  });

  it('reads a range, an empty one, and an empty object', async () => {
    const range = await collect(transfer.get({ url: url('a'), range: { start: 10, bytes: 20 } }));
    expect(range.equals(content.subarray(10, 30))).toBe(true);
    expect(await collect(transfer.get({ url: url('a'), range: { start: 10, bytes: 0 } }))).toHaveLength(0);
    objects.set('/empty', Buffer.alloc(0));
    expect(await collect(transfer.get({ url: url('empty') }))).toHaveLength(0);
    const strange = await failureOf(collect(transfer.get({ url: url('empty'), bytes: 1 })));
    expect(strange.kind).toBe('verification-failed');
  });

  it('goes on at the byte reached when the connection is lost', async () => {
    answers = [half(300_000), cut];
    const read = await collect(transfer.get({ url: url('a'), sha256: digest(content) }));
    expect(read.equals(content)).toBe(true);
    expect(requests.map(({ range }) => range)).toEqual([undefined, 'bytes=300000-', 'bytes=300000-']);
  });

  it('refuses an answer that is not the range that was asked for', async () => {
    answers = [half(300_000), half(5)];
    expect(await failureOf(collect(transfer.get({ url: url('a') })))).toMatchObject({
      kind: 'verification-failed',
      expected: 'bytes from 300000 on',
    });
  });

  it('says that there is no such object, without trying again', async () => {
    answers = [status(404, '<Error><Code>NoSuchKey</Code></Error>')];
    expect(await failureOf(collect(transfer.get({ url: url('a?secret') })))).toEqual({
      kind: 'blob-not-found',
      key: expect.stringMatching(/\/a$/) as unknown,
    });
    expect(requests).toHaveLength(1);
  });

  it('leaves a file only when it is whole and right', async () => {
    const path = join(directory, 'target');
    answers = [half(1000), status(403)];
    await failureOf(transfer.getFile({ url: url('a') }, path));
    await failureOf(transfer.getFile({ url: url('a'), sha256: digest(Buffer.from('x')) }, path));
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(directory)).toEqual([]);
    expect(await transfer.getFile({ url: url('a') }, path)).toEqual({
      bytes: content.length,
      sha256: digest(content),
    });
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it('takes no more into memory than allowed', async () => {
    const failure = await failureOf(transfer.getBytes({ url: url('a'), maxBytes: 1000 }));
    expect(failure).toMatchObject({ kind: 'refused' });
    expect(await transfer.getBytes({ url: url('a'), maxBytes: 1_000_000 })).toHaveLength(1_000_000);
  });

  it('may be left in the middle', async () => {
    for await (const chunk of transfer.get({ url: url('a') })) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(await transfer.getBytes({ url: url('a'), maxBytes: 1_000_000 })).toHaveLength(1_000_000);
  });

  it('stops with the reason of its signal', async () => {
    const control = new AbortController();
    const reason = new Error('not wanted any more');
    answers = [
      (_, response) => {
        response.writeHead(200, { 'content-length': content.length });
        response.write(content.subarray(0, 10), () => setTimeout(() => control.abort(reason), 20));
      },
    ];
    await expect(collect(transfer.get({ url: url('a'), signal: control.signal }))).rejects.toBe(reason);
  });
});
