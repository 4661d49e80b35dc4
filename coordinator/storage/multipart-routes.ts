import { emptyAnswer, integerOf, isoTime, quoted, xmlAnswer } from './answer.js';
import type { Answer, Call } from './answer.js';
import { bodyOf, readDocument } from './body.js';
import { writeTemporary } from './body-file.js';
import type { Bucket } from './buckets.js';
import { copyContent, openSource } from './copying.js';
import { describedBy } from './described.js';
import { S3Error } from './errors.js';
import { writeCondition } from './object-routes.js';
import { isPresigned, queryOf } from './request.js';
import { maxParts, partRecord } from './uploads.js';
import { isRecord, parseXml } from './xml.js';

/** 10,000 parts with an entity tag and two checksums each. */
const maxDocumentBytes = 4 * 1024 * 1024;

export async function createUpload(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const id = await bucket.uploads.create(key, describedBy(call.request.headers));
  return xmlAnswer('InitiateMultipartUploadResult', { Bucket: bucket.name, Key: key, UploadId: id });
}

export async function uploadPart(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const part = partNumberOf(call);
  const upload = await bucket.uploads.find(bucket.objects, key, uploadIdOf(call));
  // Nobody can check the tag of an object in parts against its content. Who signs headers may check that of a part (rclone does);
  // who holds a URL hands it back. MD5 would be a third of what the upload costs here.
  const tag = isPresigned(call.request) ? 'opaque' : 'md5';
  const body = bodyOf(call.request, call.proof, tag);
  const record = await bucket.uploads.putPart(upload, part, body);
  return emptyAnswer(200, { etag: quoted(record.etag), ...record.checksums });
}

export async function copyPart(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const part = partNumberOf(call);
  const upload = await bucket.uploads.find(bucket.objects, key, uploadIdOf(call));
  const source = await openSource(call);
  try {
    const span = copyRangeOf(call, source.content.record.bytes);
    const { path, record } = await writeTemporary(call.buckets.temporary, async (file) =>
      partRecord(key, await copyContent(source.content, file, span)),
    );
    await bucket.uploads.keepPart(upload, part, path);
    return xmlAnswer('CopyPartResult', {
      LastModified: isoTime(record.modifiedAt),
      ETag: quoted(record.etag),
    });
  } finally {
    await source.content.close();
  }
}

export async function completeUpload(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const document = parseXml(await readDocument(call.request, call.proof, maxDocumentBytes));
  const record = await bucket.uploads.complete(bucket.objects, {
    key,
    id: uploadIdOf(call),
    listed: listedParts(document['CompleteMultipartUpload']),
    check: writeCondition(call.request.headers),
  });
  return xmlAnswer('CompleteMultipartUploadResult', {
    Location: `/${bucket.name}/${key}`,
    Bucket: bucket.name,
    Key: key,
    ETag: quoted(record.etag),
  });
}

export async function abortUpload(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  await bucket.uploads.abort(bucket.objects, key, uploadIdOf(call));
  return emptyAnswer(204);
}

export async function listParts(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const { request } = call;
  const upload = await bucket.uploads.find(bucket.objects, key, uploadIdOf(call));
  const max = Math.min(1000, integerOf(queryOf(request, 'max-parts'), 'max-parts', 1000));
  const marker = integerOf(queryOf(request, 'part-number-marker'), 'part-number-marker', 0);
  const parts = await bucket.uploads.parts(upload.id, marker);
  const page = parts.slice(0, max);
  return xmlAnswer('ListPartsResult', {
    Bucket: bucket.name,
    Key: key,
    UploadId: upload.id,
    StorageClass: 'STANDARD',
    PartNumberMarker: marker,
    NextPartNumberMarker: page.at(-1)?.part ?? marker,
    MaxParts: max,
    IsTruncated: parts.length > page.length,
    Part: page.map(({ part, record }) => ({
      PartNumber: part,
      LastModified: isoTime(record.modifiedAt),
      ETag: quoted(record.etag),
      Size: record.bytes,
    })),
  });
}

export async function listUploads(call: Call, bucket: Bucket): Promise<Answer> {
  const { request } = call;
  const prefix = queryOf(request, 'prefix') ?? '';
  const max = Math.min(1000, integerOf(queryOf(request, 'max-uploads'), 'max-uploads', 1000));
  const keyMarker = queryOf(request, 'key-marker') ?? '';
  const idMarker = queryOf(request, 'upload-id-marker') ?? '';
  const all = (await bucket.uploads.list(bucket.objects)).filter(({ key, id }) => {
    const order = Buffer.compare(Buffer.from(key), Buffer.from(keyMarker));
    return key.startsWith(prefix) && (order > 0 || (order === 0 && idMarker !== '' && id > idMarker));
  });
  const page = all.slice(0, max);
  const last = page.at(-1);
  return xmlAnswer('ListMultipartUploadsResult', {
    Bucket: bucket.name,
    KeyMarker: keyMarker,
    UploadIdMarker: idMarker,
    NextKeyMarker: last?.key,
    NextUploadIdMarker: last?.id,
    Prefix: prefix,
    MaxUploads: max,
    IsTruncated: all.length > page.length,
    Upload: page.map(({ key, id, startedAt }) => ({
      Key: key,
      UploadId: id,
      StorageClass: 'STANDARD',
      Initiated: isoTime(startedAt),
    })),
  });
}

const uploadIdOf = (call: Call): string => queryOf(call.request, 'uploadId') ?? '';

function partNumberOf(call: Call): number {
  const part = integerOf(queryOf(call.request, 'partNumber'), 'partNumber', 0);
  if (part < 1 || part > maxParts) {
    throw new S3Error('InvalidArgument', `partNumber must be 1 to ${maxParts}`);
  }
  return part;
}

function copyRangeOf(call: Call, bytes: number): { readonly start: number; readonly end: number } {
  const text = call.request.headers.get('x-amz-copy-source-range');
  if (text === undefined) return { start: 0, end: bytes };
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text);
  const start = Number(match?.[1]);
  const end = Number(match?.[2]) + 1;
  if (match === null || start >= end || end > bytes) {
    throw new S3Error('InvalidArgument', 'x-amz-copy-source-range must lie within the source');
  }
  return { start, end };
}

function listedParts(document: unknown): readonly { readonly part: number; readonly etag: string }[] {
  const parts = isRecord(document) ? document['Part'] : undefined;
  if (!Array.isArray(parts)) throw new S3Error('MalformedXML', 'the document lists no parts');
  return parts.map((one: unknown) => {
    const part = isRecord(one) ? one['PartNumber'] : undefined;
    const etag = isRecord(one) ? one['ETag'] : undefined;
    if (typeof part !== 'string' || typeof etag !== 'string' || !/^\d{1,5}$/.test(part.trim())) {
      throw new S3Error('MalformedXML', 'each part needs a PartNumber and an ETag');
    }
    return { part: Number(part), etag: etag.trim() };
  });
}
