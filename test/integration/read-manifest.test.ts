/** Manifests from real storage: what is not exactly what an agent stored is not believed. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../coordinator/history/read-manifest.js';
import { BlobError } from '../../shared/blob/blob-error.js';
import { manifestKey } from '../../shared/blob/layout.js';
import { S3BlobStore } from '../../shared/blob/s3-blob-store.js';
import { parseRunId, parseSha256, type AttemptRef, type Sha256 } from '../../shared/model/ids.js';
import { startEmbeddedS3, type TestS3 } from '../support/s3.js';

let server: TestS3;
let store: S3BlobStore;

beforeAll(async () => {
  server = await startEmbeddedS3();
  const { endpoint, accessKey, secretKey, region } = server;
  store = new S3BlobStore({ endpoint, accessKey, secretKey, region, bucket: 'manifests' });
  await store.ensureBucket();
});
afterAll(async () => {
  store.close();
  await server.stop();
});

const refOf = (stage: number): AttemptRef => ({ run: parseRunId('a'.repeat(16))!, stage, attempt: 1 });
const sha256 = (text: string): Sha256 => parseSha256(createHash('sha256').update(text).digest('hex'))!;
const put = async (stage: number, text: string): Promise<Sha256> => {
  await store.put(manifestKey(refOf(stage)), Buffer.from(text));
  return sha256(text);
};
const failureOf = async (stage: number, digest: Sha256): Promise<string> => {
  const error: unknown = await readManifest(store, refOf(stage), digest).catch((reason: unknown) => reason);
  if (!(error instanceof BlobError)) throw new Error('expected a BlobError', { cause: error });
  return error.failure.kind;
};

describe('a manifest', () => {
  it('is what the attempt’s agent stored', async () => {
    const file = { path: 'app.whl', mode: 0o644, size: 3, sha256: sha256('abc') };
    const artifact = {
      number: 1,
      name: 'wheel',
      form: 'file',
      bytes: 3,
      sha256: sha256('abc'),
      files: [file],
    };
    const digest = await put(1, JSON.stringify({ v: 1, artifacts: [artifact] }));
    expect(await readManifest(store, refOf(1), digest)).toEqual({ v: 1, artifacts: [artifact] });
  });

  it('that is another one, or none at all, is damaged', async () => {
    const good = sha256('{"v":1,"artifacts":[]}');
    await put(2, '{"v":1,"artifacts":[ ]}');
    expect(await failureOf(2, good)).toBe('verification-failed');
    expect(await failureOf(3, await put(3, 'no JSON'))).toBe('verification-failed');
    const outside = { path: '../x', mode: 0, size: 0, sha256: good };
    const artifact = { number: 1, name: 'x', form: 'file', bytes: 0, sha256: good, files: [outside] };
    expect(await failureOf(4, await put(4, JSON.stringify({ v: 1, artifacts: [artifact] })))).toBe(
      'verification-failed',
    );
  });

  it('that is not there is told apart from storage that is away', async () => {
    expect(await failureOf(9, sha256(''))).toBe('blob-not-found');
    await server.stop();
    expect(await failureOf(9, sha256(''))).toBe('storage-unavailable');
  });
});
