import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BlobError } from '../../shared/blob/blob-error.js';
import type { BlobStore } from '../../shared/blob/blob-store.js';
import { HttpTransfer } from '../../shared/blob/http-transfer.js';
import { bytesOfPart, planParts } from '../../shared/blob/parts.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import { packTar, readPackedFile, unpackTar } from '../../shared/blob/seekable-tar.js';
import { startEmbeddedS3, startRgw } from '../support/s3.js';
import type { TestS3 } from '../support/s3.js';

const implementations: readonly { readonly name: string; readonly start: () => Promise<TestS3> }[] = [
  { name: 'the embedded server', start: () => startEmbeddedS3() },
  { name: 'Ceph RGW', start: startRgw },
];

const MiB = 1024 * 1024;
const expiresSeconds = 300;

/** One side presigns, the other side, without credentials, moves the bytes: the way of every artifact. */
describe.each(implementations)('a transfer by presigned URLs with $name', ({ start }) => {
  let server: TestS3;
  let store: BlobStore;
  let transfer: HttpTransfer;
  let directory: string;

  beforeAll(async () => {
    server = await start();
    store = new S3BlobStore({ ...server, bucket: `test-${randomBytes(6).toString('hex')}` });
    await store.ensureBucket();
    transfer = new HttpTransfer();
    directory = await mkdtemp(join(tmpdir(), 'gantry-test-transfer-'));
  });
  afterAll(async () => {
    transfer.close();
    store.close();
    await rm(directory, { recursive: true, force: true });
    await server.stop();
  });

  /** Cheap to make, and no two blocks of it alike. */
  const fileOf = async (bytes: number): Promise<{ path: string; sha256: string }> => {
    const path = join(directory, `file-${bytes}`);
    const file = await open(path, 'w');
    const hash = createHash('sha256');
    const block = randomBytes(MiB);
    for (let done = 0; done < bytes; done += block.length) {
      block.writeUInt32LE(done, 0);
      const part = block.subarray(0, bytes - done);
      hash.update(part);
      await file.write(part);
    }
    await file.close();
    return { path, sha256: hash.digest('hex') };
  };

  it('sends a file by one put and brings it back', async () => {
    const { path, sha256 } = await fileOf(20 * MiB + 17);
    const url = await store.presignPut('single', { expiresSeconds, bytes: 20 * MiB + 17 });
    const sent = await transfer.putFile({ file: path }, url);
    expect(sent).toMatchObject({ bytes: 20 * MiB + 17, sha256 });
    const back = join(directory, 'back');
    const from = await store.presignGet('single', { expiresSeconds });
    const got = await transfer.getFile({ url: from, bytes: sent.bytes, sha256: sent.sha256 }, back);
    expect(got).toEqual({ bytes: sent.bytes, sha256 });
    expect((await readFile(back)).equals(await readFile(path))).toBe(true);
    const range = { start: 5 * MiB, bytes: 1000 };
    const part = await transfer.getBytes({ url: from, range, maxBytes: 1000 });
    expect(part.equals((await readFile(path)).subarray(5 * MiB, 5 * MiB + 1000))).toBe(true);
  });

  it.each([1, 3])('sends a large file in parts, %d at once', async (parallel) => {
    const bytes = 66 * MiB + 1;
    const { path, sha256 } = await fileOf(bytes);
    const plan = planParts(bytes);
    if (plan.kind !== 'parts') throw new Error('it is large enough for parts');
    const key = `parts-${parallel}`;
    const upload = await store.createMultipart(key);
    const { partBytes } = plan;
    const sent = await transfer.putParts(
      { file: path },
      {
        partBytes,
        parallel,
        urlsFor: (parts) =>
          Promise.all(
            parts.map((part) =>
              store.presignPart(key, upload, part, { expiresSeconds, bytes: bytesOfPart(plan, bytes, part) }),
            ),
          ),
      },
    );
    expect(sent).toMatchObject({ bytes, sha256 });
    expect(sent.parts).toHaveLength(plan.count);
    await store.completeMultipart(key, upload, sent.parts);
    const url = await store.presignGet(key, { expiresSeconds });
    const got = await transfer.getFile({ url, bytes, sha256: sent.sha256 }, join(directory, 'large'));
    expect(got.sha256).toBe(sha256);
  });

  it('is refused once the URL has expired, or is for another length, and says so', async () => {
    const wrong = await store.presignPut('refused', { expiresSeconds, bytes: 10 });
    const error = await transfer.putBytes(Buffer.alloc(5 * MiB), wrong).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BlobError);
    expect((error as BlobError).failure).toMatchObject({ kind: 'refused', status: 403 });
    expect(await store.head('refused')).toBeUndefined();
    const missing = await store.presignGet('nothing', { expiresSeconds });
    const absent = await transfer.getBytes({ url: missing, maxBytes: 1 }).catch((reason: unknown) => reason);
    expect((absent as BlobError).failure.kind).toBe('blob-not-found');
  });

  it('gives one file out of a packed tree by one range, and the tree whole', async () => {
    const contents = Array.from({ length: 500 }, (_, index) => Buffer.alloc(1000 + index, `file ${index} `));
    const chunks: Buffer[] = [];
    const packed = await packTar(
      contents.map((content, index) => ({
        kind: 'file' as const,
        path: Buffer.from(`dir/${index} ü.txt`),
        mode: 0o644,
        size: content.length,
        open: () => Promise.resolve(Readable.from([content])),
      })),
      { write: (chunk) => Promise.resolve(void chunks.push(chunk)) },
    );
    await writeFile(join(directory, 'tree.tar.gz'), Buffer.concat(chunks));
    await transfer.putFile(
      { file: join(directory, 'tree.tar.gz') },
      await store.presignPut('tree', { expiresSeconds }),
    );
    const url = await store.presignGet('tree', { expiresSeconds });
    const entry = packed.files[321];
    if (entry === undefined) throw new Error('there are 500 files');
    const one: Buffer[] = [];
    for await (const chunk of readPackedFile(entry, (range) => transfer.get({ url, range }))) one.push(chunk);
    expect(Buffer.concat(one).equals(contents[321]!)).toBe(true);
    let count = 0;
    const { bytes, sha256 } = packed;
    for await (const { content } of unpackTar(transfer.get({ url, bytes, sha256 }), packed.files)) {
      for await (const chunk of content) expect(chunk.length).toBeGreaterThan(0);
      count += 1;
    }
    expect(count).toBe(500);
  });
});
