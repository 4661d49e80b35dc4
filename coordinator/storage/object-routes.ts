import { emptyAnswer, quoted, xmlAnswer, isoTime } from './answer.js';
import type { Answer, Call } from './answer.js';
import { bodyOf } from './body.js';
import { writeBody, writeTemporary } from './body-file.js';
import type { Bucket } from './buckets.js';
import { conditionsOf, judge } from './conditions.js';
import { openContent } from './content.js';
import { copyContent, openSource } from './copying.js';
import { describedBy, objectHeaders } from './described.js';
import { S3Error } from './errors.js';
import type { ObjectRecord } from './object-record.js';
import { rangeOf } from './ranges.js';

export async function putObject(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const { headers } = call.request;
  const described = describedBy(headers);
  const check = writeCondition(headers);
  // Once before the body travels, and again when it is here.
  check(await bucket.objects.head(key));
  const body = bodyOf(call.request, call.proof);
  const { path, record } = await writeTemporary(call.buckets.temporary, async (file) => {
    const { tag, checksums } = await writeBody(file, body);
    const content = { bytes: body.bytes, etag: tag, checksums };
    return { v: 1, key, ...content, modifiedAt: Date.now(), ...described };
  });
  await bucket.objects.commit(key, path, check);
  return emptyAnswer(200, { etag: quoted(record.etag), ...record.checksums });
}

export async function getObject(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const { headers, method, query } = call.request;
  const content = await openContent(bucket.objects, bucket.uploads, key);
  if (content === undefined) throw noSuchKey(key);
  try {
    const { record } = content;
    const described = objectHeaders(record, query);
    const verdict = judge(conditionsOf(headers), record);
    if (verdict === 'failed') throw preconditionFailed();
    const range = rangeOf(applicableRange(headers, record), record.bytes);
    if (range.kind === 'unsatisfiable') {
      throw new S3Error('InvalidRange', 'the range lies outside of the object', {
        ActualObjectSize: String(record.bytes),
      });
    }
    if (verdict === 'not-modified') {
      await content.close();
      return emptyAnswer(304, {
        etag: quoted(record.etag),
        'last-modified': described['last-modified'] ?? '',
      });
    }
    const { span } = range;
    const part = range.kind === 'part';
    const answer = {
      status: part ? 206 : 200,
      headers: {
        ...described,
        ...(headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED' && !part ? record.checksums : {}),
        ...(part ? { 'content-range': `bytes ${span.start}-${span.end - 1}/${record.bytes}` } : {}),
        'content-length': String(span.end - span.start),
      },
    };
    if (method === 'HEAD') {
      await content.close();
      return { ...answer, body: { kind: 'none' } };
    }
    return { ...answer, body: { kind: 'content', content, span } };
  } catch (error) {
    await content.close();
    throw error;
  }
}

export async function deleteObject(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  await bucket.objects.delete(key, writeCondition(call.request.headers, 'delete'));
  return emptyAnswer(204);
}

export async function copyObject(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const { headers } = call.request;
  const check = writeCondition(headers);
  const source = await openSource(call);
  try {
    const replace = headers.get('x-amz-metadata-directive')?.toUpperCase() === 'REPLACE';
    const sameObject = source.bucket === bucket && source.content.record.key === key;
    if (sameObject && !replace) {
      throw new S3Error('InvalidRequest', 'an object can be copied to itself only with other metadata');
    }
    const described = replace ? describedBy(headers) : source.content.record;
    const { path, record } = await writeTemporary(call.buckets.temporary, async (file) => ({
      v: 1,
      key,
      ...(await copyContent(source.content, file)),
      modifiedAt: Date.now(),
      headers: described.headers,
      meta: described.meta,
    }));
    await bucket.objects.commit(key, path, check);
    return xmlAnswer('CopyObjectResult', {
      LastModified: isoTime(record.modifiedAt),
      ETag: quoted(record.etag),
    });
  } finally {
    await source.content.close();
  }
}

/** `If-None-Match: *` makes only new objects; `If-Match` replaces or deletes only the one that the client knows. */
export function writeCondition(
  headers: ReadonlyMap<string, string>,
  kind: 'write' | 'delete' = 'write',
): (current: ObjectRecord | undefined) => void {
  const ifMatch = headers.get('if-match');
  const ifNoneMatch = headers.get('if-none-match');
  const none = { ifModifiedSince: undefined, ifUnmodifiedSince: undefined };
  return (current) => {
    if (ifMatch !== undefined && current === undefined && kind === 'write') {
      throw new S3Error('NoSuchKey', 'there is no object that if-match could match');
    }
    if (judge({ ifMatch, ifNoneMatch, ...none }, current) !== 'proceed') throw preconditionFailed();
  };
}

/** `If-Range`: the range counts only for the object that the client has the beginning of. */
function applicableRange(headers: ReadonlyMap<string, string>, record: ObjectRecord): string | undefined {
  const ifRange = headers.get('if-range');
  return ifRange === undefined || ifRange === quoted(record.etag) ? headers.get('range') : undefined;
}

export const noSuchKey = (key: string): S3Error =>
  new S3Error('NoSuchKey', 'there is no object with this key', { Key: key });

const preconditionFailed = (): S3Error =>
  new S3Error('PreconditionFailed', 'the object is not as the conditions of the request demand');
