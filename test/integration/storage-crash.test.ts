import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobError } from '../../shared/blob/blob-error.js';
import { HttpTransfer } from '../../shared/blob/http-transfer.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import { spawnEmbeddedS3, startEmbeddedS3 } from '../support/s3.js';
import { sendRaw } from '../support/s3-tools.js';
import type { TestS3 } from '../support/s3.js';

/** What the embedded server's disk looks like after a crash, a restart, or when it is full. */
const bucket = 'crash';
const MiB = 1024 * 1024;
let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'gantry-test-s3-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const storeOn = (server: Omit<TestS3, 'stop'>): S3BlobStore => new S3BlobStore({ ...server, bucket });
const filesBelow = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Contents say which version they are and prove that they are whole. */
function versionOf(number: number): Buffer {
  const body = Buffer.alloc(200_000 + ((number * 77_777) % (3 * MiB)), `version ${number} `);
  const digest = createHash('sha256').update(body).digest('hex');
  return Buffer.concat([Buffer.from(`${String(number).padStart(8, '0')}${digest}`), body]);
}
function numberOf(content: Buffer): number {
  const digest = createHash('sha256').update(content.subarray(72)).digest('hex');
  expect(content.toString('latin1', 8, 72)).toBe(digest);
  return Number(content.toString('latin1', 0, 8));
}

describe('kill -9', () => {
  it('leaves the object that was acknowledged last, or the one on its way, always whole', async () => {
    let next = 1;
    let acknowledged = 0;
    for (let round = 0; round < 6; round += 1) {
      const server = await spawnEmbeddedS3(dataDir);
      const store = storeOn(server);
      await store.ensureBucket();
      if (acknowledged > 0) {
        const found = numberOf(await store.getBytes('object', { maxBytes: 8 * MiB }));
        expect(found).toBeGreaterThanOrEqual(acknowledged);
        expect(found).toBeLessThan(next);
        acknowledged = found;
      }
      // Nothing of what was cut off is left after the start.
      expect(readdirSync(join(dataDir, 'tmp'))).toEqual([]);
      const target = acknowledged + 3 + round;
      let killing: Promise<void> | undefined;
      while (killing === undefined || next <= acknowledged + 1) {
        const number = next;
        next += 1;
        const putting = store.put('object', versionOf(number));
        // In the middle of this put: between its first byte and its answer, another place each round.
        if (number > target)
          killing = new Promise((resolve) => setTimeout(() => resolve(server.kill()), round * 2));
        const done = await putting.then(
          () => true,
          () => false,
        );
        if (!done) break;
        acknowledged = number;
      }
      await killing;
      store.close();
    }
    expect(acknowledged).toBeGreaterThan(6);
  });

  it('in the middle of completing and replacing multipart objects leaves one of them whole', async () => {
    const contents = Array.from({ length: 3 }, (_, index) => Buffer.alloc(6 * MiB, `content ${index} `));
    for (let round = 0; round < 4; round += 1) {
      const server = await spawnEmbeddedS3(dataDir);
      const store = storeOn(server);
      await store.ensureBucket();
      const transfer = new HttpTransfer({ attempts: 1 });
      const source = join(dataDir, 'source');
      const upload = async (content: Buffer): Promise<() => Promise<unknown>> => {
        writeFileSync(source, content);
        const id = await store.createMultipart('multi');
        const urlsFor = (parts: readonly number[]) =>
          Promise.all(parts.map((part) => store.presignPart('multi', id, part, { expiresSeconds: 60 })));
        const { parts } = await transfer.putParts({ file: source }, { partBytes: 5 * MiB, urlsFor });
        return () => store.completeMultipart('multi', id, parts);
      };
      await (
        await upload(contents[round % 3]!)
      )();
      const replace = await upload(contents[(round + 1) % 3]!);
      const replacing = replace().catch(() => undefined);
      await new Promise<void>((resolve) => setTimeout(resolve, round));
      await server.kill();
      await replacing;
      store.close();

      const again = await spawnEmbeddedS3(dataDir);
      const found = await storeOn(again).getBytes('multi', { maxBytes: 6 * MiB });
      expect([contents[round % 3], contents[(round + 1) % 3]].some((content) => content?.equals(found))).toBe(
        true,
      );
      await again.kill('SIGTERM');
      transfer.close();
    }
  });
});

describe('a restart', () => {
  it('finds everything as it was', async () => {
    const first = await startEmbeddedS3({ dataDir });
    const store = storeOn(first);
    await store.ensureBucket();
    await store.put('a/b', Buffer.from('content'), { contentType: 'text/x' });
    const upload = await store.createMultipart('later');
    const url = await store.presignPart('later', upload, 1, { expiresSeconds: 60 });
    const transfer = new HttpTransfer();
    const { etag } = await transfer.putBytes(Buffer.from('part'), url);
    transfer.close();
    const head = await store.head('a/b');
    store.close();
    await first.stop();

    const second = await startEmbeddedS3({ dataDir });
    const again = storeOn(second);
    expect(await again.head('a/b')).toEqual(head);
    await again.completeMultipart('later', upload, [{ part: 1, etag }]);
    expect((await again.getBytes('later', { maxBytes: 10 })).toString()).toBe('part');
    again.close();
    await second.stop();
  });

  it('removes uploads that nobody completed, and no object', async () => {
    const first = await startEmbeddedS3({ dataDir });
    const store = storeOn(first);
    await store.ensureBucket();
    const stale = await store.createMultipart('stale');
    const done = await store.createMultipart('done');
    const transfer = new HttpTransfer();
    const { etag } = await transfer.putBytes(
      Buffer.from('x'),
      await store.presignPart('done', done, 1, { expiresSeconds: 60 }),
    );
    transfer.close();
    await store.completeMultipart('done', done, [{ part: 1, etag }]);
    store.close();
    await first.stop();
    const uploads = join(dataDir, 'buckets', bucket, 'uploads');
    expect(readdirSync(uploads).sort()).toEqual([stale, done].sort());

    const second = await startEmbeddedS3({ dataDir, staleUploadMs: 0 });
    await expect.poll(() => readdirSync(uploads), { timeout: 10_000 }).toEqual([done]);
    const again = storeOn(second);
    expect((await again.getBytes('done', { maxBytes: 10 })).toString()).toBe('x');
    again.close();
    await second.stop();
  });

  it('is refused while another server uses the directory, and not because one was killed', async () => {
    const server = await spawnEmbeddedS3(dataDir);
    await expect(startEmbeddedS3({ dataDir })).rejects.toThrow(/another storage server uses .*: stop it/);
    await server.kill();
    const next = await startEmbeddedS3({ dataDir });
    await next.stop();
  });

  it('says when its port is taken, and lets the directory go', async () => {
    const server = await startEmbeddedS3();
    await expect(startEmbeddedS3({ dataDir, port: server.port })).rejects.toThrow(/EADDRINUSE/);
    await server.stop();
    await (await startEmbeddedS3({ dataDir })).stop();
  });

  it('keeps its directory from others', async () => {
    const server = await startEmbeddedS3({ dataDir });
    expect(execFileSync('stat', ['-c', '%a', dataDir]).toString().trim()).toBe('700');
    await server.stop();
  });
});

describe('a damaged file', () => {
  it('is an error for the one object, told to the log, and not a wrong answer', async () => {
    const server = await startEmbeddedS3({ dataDir });
    const store = storeOn(server);
    await store.ensureBucket();
    await store.put('good', Buffer.from('good'));
    await store.put('bad', Buffer.from('bad'));
    const [file = ''] = filesBelow(dataDir).filter((path) => path.endsWith('/obad'));
    writeFileSync(file, readFileSync(file).subarray(0, -3));
    const answer = await sendRaw(server.port, { method: 'GET', path: `/${bucket}/bad` });
    expect(answer).toMatchObject({ status: 500, code: 'InternalError' });
    expect(JSON.stringify(server.log.lines.filter(({ level }) => level === 'error'))).toContain(
      `/${bucket}/bad`,
    );
    expect((await store.getBytes('good', { maxBytes: 10 })).toString()).toBe('good');
    store.close();
    await server.stop();
  });
});

describe('a full disk', () => {
  let mount: string;
  beforeEach(() => {
    mount = mkdtempSync(join(tmpdir(), 'gantry-test-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount]);
  });
  afterEach(() => {
    execFileSync('umount', [mount]);
    rmSync(mount, { recursive: true, force: true });
  });

  it('is said as it is, costs no object, and is over once there is space', async () => {
    const inside = join(mount, 'data');
    mkdirSync(inside);
    const server = await startEmbeddedS3({ dataDir: inside });
    const store = storeOn(server);
    await store.ensureBucket();
    await store.put('kept', randomBytes(4 * MiB));
    const etag = (await store.head('kept'))?.etag;
    for (let round = 0; round < 3; round += 1) {
      const error = await store.put('kept', randomBytes(6 * MiB)).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(BlobError);
      expect((error as BlobError).failure).toMatchObject({
        kind: 'storage-unavailable',
        reason: expect.stringMatching(/InsufficientStorage.*full/) as unknown,
        remedy: expect.stringContaining('Free space') as unknown,
      });
      expect(readdirSync(join(inside, 'tmp'))).toEqual([]);
    }
    expect((await store.head('kept'))?.etag).toBe(etag);
    await store.put('small', randomBytes(MiB));
    store.close();
    await server.stop();
  });
});

describe('a certificate', () => {
  it('is what clients check, given its authority', async () => {
    const file = (name: string): string => join(dataDir, name);
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '1',
        '-subj',
        '/CN=test',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        file('key.pem'),
        '-out',
        file('cert.pem'),
      ],
      { stdio: 'pipe' },
    );
    const cert = readFileSync(file('cert.pem'), 'utf8');
    const key = readFileSync(file('key.pem'), 'utf8');
    const server = await startEmbeddedS3({ dataDir: file('data'), tls: { cert, key } });
    const store = new S3BlobStore({ ...server, bucket, ca: cert });
    await store.ensureBucket();
    const content = randomBytes(2 * MiB);
    const transfer = new HttpTransfer({ ca: cert });
    await transfer.putBytes(content, await store.presignPut('a', { expiresSeconds: 60 }));
    const url = await store.presignGet('a', { expiresSeconds: 60 });
    expect((await transfer.getBytes({ url, maxBytes: 2 * MiB })).equals(content)).toBe(true);
    transfer.close();
    store.close();
    const stranger = storeOn(server);
    const error = await stranger.checkBucket().catch((reason: unknown) => reason);
    expect((error as BlobError).failure).toMatchObject({ kind: 'storage-unavailable' });
    stranger.close();
    await server.stop();
  });
});
