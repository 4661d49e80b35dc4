import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { Tools, bucket, md5 } from '../support/s3-tools.js';
import type { RawAnswer } from '../support/s3-tools.js';

/** What S3 tools expect of multipart uploads to the embedded server. */
const tools = Tools.use();
const { raw, put, contentOf } = tools;
const MiB = 1024 * 1024;

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
    const path = join(tools.server.dataDir, 'buckets', bucket, 'uploads');
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
    const listed = await tools.client.send(
      new ListPartsCommand({ Bucket: bucket, Key: 'parts/whole', UploadId: id, MaxParts: 2 }),
    );
    expect(listed.Parts?.map(({ PartNumber, ETag, Size }) => [PartNumber, ETag, Size])).toEqual([
      [2, first, 5 * MiB],
      [7, last, 3],
    ]);
    expect(listed).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '7' });
    const uploads = await tools.client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: 'parts/' }),
    );
    expect(uploads.Uploads?.map(({ Key, UploadId }) => [Key, UploadId])).toEqual([['parts/whole', id]]);

    expect(
      (
        await complete('parts/whole', id, [
          [7, last],
          [2, first],
        ])
      ).code,
    ).toBe('InvalidPartOrder');
    expect(
      (
        await complete('parts/whole', id, [
          [2, first],
          [3, last],
        ])
      ).code,
    ).toBe('InvalidPart');
    expect((await complete('parts/whole', id, [[2, last]])).code).toBe('InvalidPart');
    expect((await complete('parts/whole', id, [])).code).toBe('MalformedXML');
    expect((await complete('other', id, [[2, first]])).code).toBe('NoSuchUpload');
    expect((await complete('parts/whole', '..%2F..%2Fx', [[2, first]])).code).toBe('NoSuchUpload');
    expect(await contentOf('parts/whole')).toBeUndefined();

    const tags = Buffer.concat([md5(big), md5('end')].map((hex) => Buffer.from(hex, 'hex')));
    const done = await complete('parts/whole', id, [
      [2, first],
      [7, last],
    ]);
    expect(done.body.toString()).toContain(`&quot;${md5(tags)}-2&quot;`);
    expect(
      (
        await complete('parts/whole', id, [
          [2, first],
          [7, last],
        ])
      ).status,
    ).toBe(200);
    expect((await part('parts/whole', id, 2, big)).code).toBe('NoSuchUpload');
    expect((await raw('DELETE', `/parts/whole?uploadId=${id}`)).code).toBe('NoSuchUpload');
    const read = await raw('GET', '/parts/whole');
    expect(read.body.equals(Buffer.concat([big, Buffer.from('end')]))).toBe(true);
    // Of the parts, only those listed are kept.
    const directory = join(tools.server.dataDir, 'buckets', bucket, 'uploads', id);
    expect(readdirSync(directory).filter((name) => /^\d+$/.test(name))).toEqual(['00002', '00007']);
  });

  it('take parts by URL, whose tags name them and say nothing of their content, unless a digest is promised', async () => {
    const key = 'parts/by-url';
    const id = await tools.store.createMultipart(key);
    const big = randomBytes(5 * MiB);
    const putByUrl = async (number: number, body: Buffer, headers: Record<string, string> = {}) => {
      const url = await tools.store.presignPart(key, id, number, { expiresSeconds: 60 });
      return fetch(url.reveal(), { method: 'PUT', body, headers });
    };
    const tagOf = (answer: Response): string => answer.headers.get('etag') ?? '';
    const md5Of = (body: Buffer): string => Buffer.from(md5(body), 'hex').toString('base64');

    const replaced = tagOf(await putByUrl(1, big));
    const first = tagOf(await putByUrl(1, big));
    expect(first).toMatch(/^"[0-9a-f]{32}"$/);
    expect(new Set([first, replaced, `"${md5(big)}"`]).size).toBe(3);
    expect((await putByUrl(2, Buffer.from('end'), { 'content-md5': md5Of(big) })).status).toBe(400);
    const last = tagOf(await putByUrl(2, Buffer.from('end'), { 'content-md5': md5Of(Buffer.from('end')) }));
    expect(last).toBe(`"${md5('end')}"`);

    const parts = (tag: string) => [
      { part: 1, etag: tag },
      { part: 2, etag: last },
    ];
    await expect(tools.store.completeMultipart(key, id, parts(replaced))).rejects.toThrow('InvalidPart');
    await tools.store.completeMultipart(key, id, parts(first));
    const whole = await tools.store.getBytes(key, { maxBytes: 6 * MiB });
    expect(whole.equals(Buffer.concat([big, Buffer.from('end')]))).toBe(true);
  });

  it('refuse small parts in the middle, and numbers out of range', async () => {
    const id = await begin('parts/small');
    const etag = etagOf(await part('parts/small', id, 1, Buffer.from('x')));
    await part('parts/small', id, 2, Buffer.from('x'));
    expect(
      (
        await complete('parts/small', id, [
          [1, etag],
          [2, etag],
        ])
      ).code,
    ).toBe('EntityTooSmall');
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
    const at = { Bucket: bucket, Key: 'parts/copied' };
    const { UploadId } = await tools.client.send(new CreateMultipartUploadCommand(at));
    const source = { ...at, UploadId, CopySource: `${bucket}/parts/source` };
    const one = await tools.client.send(new UploadPartCopyCommand({ ...source, PartNumber: 1 }));
    const two = await tools.client.send(
      new UploadPartCopyCommand({ ...source, PartNumber: 2, CopySourceRange: 'bytes=10-19' }),
    );
    const three = await tools.client.send(
      new UploadPartCommand({ ...at, UploadId, PartNumber: 3, Body: Buffer.from('y') }),
    );
    expect(one.CopyPartResult?.ETag).toBe(`"${md5(big)}"`);
    const failed = tools.client.send(
      new CompleteMultipartUploadCommand({
        ...at,
        UploadId,
        MultipartUpload: {
          Parts: [
            { PartNumber: 1, ETag: one.CopyPartResult?.ETag },
            { PartNumber: 2, ETag: two.CopyPartResult?.ETag },
            { PartNumber: 3, ETag: three.ETag },
          ],
        },
      }),
    );
    await expect(failed).rejects.toMatchObject({ name: 'EntityTooSmall' });
    await tools.client.send(
      new CompleteMultipartUploadCommand({
        ...at,
        UploadId,
        MultipartUpload: {
          Parts: [
            { PartNumber: 1, ETag: one.CopyPartResult?.ETag },
            { PartNumber: 2, ETag: two.CopyPartResult?.ETag },
          ],
        },
      }),
    );
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
        etags.push([
          number,
          etagOf(
            await part('parts/replaced', id, number, big.subarray((number - 1) * 5 * MiB, number * 5 * MiB)),
          ),
        ]);
      }
      expect((await complete('parts/replaced', id, etags)).status).toBe(200);
      return id;
    };
    const first = await make();
    const url = new PresignedUrl(
      (await tools.store.presignGet('parts/replaced', { expiresSeconds: 60 })).reveal(),
    );
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
