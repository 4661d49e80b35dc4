import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Call } from './answer.js';
import { writeAll } from './body-file.js';
import type { Bucket } from './buckets.js';
import { conditionsOf, judge } from './conditions.js';
import { openContent } from './content.js';
import type { OpenContent, Span } from './content.js';
import { S3Error } from './errors.js';
import type { ObjectRecord } from './object-record.js';

/** The object that `x-amz-copy-source` names. Close its content. */
export async function openSource(
  call: Call,
): Promise<{ readonly bucket: Bucket; readonly content: OpenContent }> {
  const { headers } = call.request;
  const { name, key } = parseSource(headers.get('x-amz-copy-source') ?? '');
  const bucket = call.buckets.get(name);
  const content = await openContent(bucket.objects, bucket.uploads, key);
  if (content === undefined) {
    throw new S3Error('NoSuchKey', 'there is no object with the key of the copy source', { Key: key });
  }
  if (judge(conditionsOf(headers, 'x-amz-copy-source-'), content.record) !== 'proceed') {
    await content.close();
    throw new S3Error('PreconditionFailed', 'the source is not as the conditions of the request demand');
  }
  return { bucket, content };
}

/** Writes the source's bytes, or a span of them, and says what the copy is. A whole copy keeps the tag and checksums; of parts they are new. */
export async function copyContent(
  source: OpenContent,
  file: FileHandle,
  span: Span = { start: 0, end: source.record.bytes },
): Promise<Pick<ObjectRecord, 'bytes' | 'etag' | 'checksums'>> {
  const { record } = source;
  const bytes = span.end - span.start;
  const asItIs = bytes === record.bytes && record.upload === undefined;
  const md5 = asItIs ? undefined : createHash('md5');
  for await (const block of source.read(span)) {
    md5?.update(block);
    await writeAll(file, block);
  }
  return md5 === undefined
    ? { bytes, etag: record.etag, checksums: record.checksums }
    : { bytes, etag: md5.digest('hex'), checksums: {} };
}

/** `[/]bucket/key[?versionId=…]`, percent-encoded. */
function parseSource(text: string): { readonly name: string; readonly key: string } {
  const [path = '', version] = text.split('?');
  if (version !== undefined && version !== 'versionId=null') {
    throw new S3Error('NotImplemented', 'this server keeps no versions');
  }
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    throw new S3Error('InvalidArgument', 'x-amz-copy-source is no percent-encoded UTF-8');
  }
  const match = /^\/?([^/]+)\/(.+)$/s.exec(decoded);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new S3Error('InvalidArgument', 'x-amz-copy-source must be bucket/key');
  }
  return { name: match[1], key: match[2] };
}
