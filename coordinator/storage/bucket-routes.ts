import { emptyAnswer, integerOf, isoTime, quoted, xmlAnswer } from './answer.js';
import type { Answer, Call } from './answer.js';
import { readDocument } from './body.js';
import type { Bucket } from './buckets.js';
import { S3Error, toS3Error } from './errors.js';
import { listObjects } from './listing.js';
import type { ListPage } from './listing.js';
import { queryOf } from './request.js';
import type { S3Request } from './request.js';
import { isRecord, parseXml } from './xml.js';
import type { XmlElements } from './xml.js';

/** 1,000 keys of 1,024 bytes, escaped. */
const maxDocumentBytes = 8 * 1024 * 1024;
const maxPage = 1000;
/** Deletes of one request that run at once. */
const deletesAtOnce = 16;

const owner = { ID: 'gantry', DisplayName: 'gantry' };

export function listBuckets(call: Call): Answer {
  return xmlAnswer('ListAllMyBucketsResult', {
    Owner: owner,
    Buckets: {
      Bucket: call.buckets.all().map(({ name, createdAt }) => ({
        Name: name,
        CreationDate: isoTime(createdAt),
      })),
    },
  });
}

export async function createBucket(call: Call, name: string): Promise<Answer> {
  await call.buckets.create(name);
  return emptyAnswer(200, { location: `/${name}` });
}

export async function deleteBucket(call: Call, name: string): Promise<Answer> {
  await call.buckets.delete(name);
  return emptyAnswer(204);
}

export async function listV2(call: Call, bucket: Bucket): Promise<Answer> {
  const { request } = call;
  const asked = listQuery(request);
  const token = queryOf(request, 'continuation-token');
  const startAfter = queryOf(request, 'start-after');
  const after = token === undefined ? (startAfter ?? '') : decodeToken(token);
  const page = await listObjects(bucket.objects, { ...asked, after });
  const text = keyText(request);
  return xmlAnswer('ListBucketResult', {
    Name: bucket.name,
    Prefix: text(asked.prefix),
    Delimiter: asked.delimiter === '' ? undefined : text(asked.delimiter),
    MaxKeys: asked.max,
    EncodingType: queryOf(request, 'encoding-type'),
    KeyCount: page.objects.length + page.commonPrefixes.length,
    IsTruncated: page.next !== undefined,
    ContinuationToken: token,
    NextContinuationToken: page.next === undefined ? undefined : encodeToken(page.next),
    StartAfter: startAfter === undefined ? undefined : text(startAfter),
    ...contentsOf(page, text, queryOf(request, 'fetch-owner') === 'true'),
  });
}

export async function listV1(call: Call, bucket: Bucket): Promise<Answer> {
  const { request } = call;
  const asked = listQuery(request);
  const marker = queryOf(request, 'marker') ?? '';
  const page = await listObjects(bucket.objects, { ...asked, after: marker });
  const text = keyText(request);
  return xmlAnswer('ListBucketResult', {
    Name: bucket.name,
    Prefix: text(asked.prefix),
    Marker: text(marker),
    Delimiter: asked.delimiter === '' ? undefined : text(asked.delimiter),
    MaxKeys: asked.max,
    EncodingType: queryOf(request, 'encoding-type'),
    IsTruncated: page.next !== undefined,
    NextMarker: page.next === undefined ? undefined : text(page.next),
    ...contentsOf(page, text, true),
  });
}

export async function deleteObjects(call: Call, bucket: Bucket): Promise<Answer> {
  const document = parseXml(await readDocument(call.request, call.proof, maxDocumentBytes))['Delete'];
  const keys = deletedKeys(document);
  const quiet = isRecord(document) && document['Quiet'] === 'true';
  const deleted: XmlElements[] = [];
  const errors: XmlElements[] = [];
  const remaining = keys.values();
  const worker = async (): Promise<void> => {
    // The workers share one iterator: each key is taken once.
    for (const key of remaining) {
      try {
        await bucket.objects.delete(key);
        if (!quiet) deleted.push({ Key: key });
      } catch (error) {
        const { code, message } = toS3Error(error);
        errors.push({ Key: key, Code: code, Message: message });
      }
    }
  };
  await Promise.all(Array.from({ length: deletesAtOnce }, worker));
  return xmlAnswer('DeleteResult', { Deleted: deleted, Error: errors });
}

/** There is one user, who may do everything. */
export const ownersAcl = (): Answer => {
  const grantee = `<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>${owner.ID}</ID><DisplayName>${owner.DisplayName}</DisplayName></Grantee>`;
  const answer = xmlAnswer('AccessControlPolicy', {
    Owner: owner,
    AccessControlList: { Grant: { Grantee: '', Permission: 'FULL_CONTROL' } },
  });
  if (answer.body.kind !== 'text') return answer;
  // The one place where S3 has an attribute.
  const text = answer.body.text.replace('<Grantee></Grantee>', grantee);
  return { ...answer, body: { kind: 'text', text } };
};

function listQuery(request: S3Request): {
  readonly prefix: string;
  readonly delimiter: string;
  readonly max: number;
} {
  const encoding = queryOf(request, 'encoding-type');
  if (encoding !== undefined && encoding !== 'url') {
    throw new S3Error('InvalidArgument', 'encoding-type can only be url');
  }
  return {
    prefix: queryOf(request, 'prefix') ?? '',
    delimiter: queryOf(request, 'delimiter') ?? '',
    max: Math.min(maxPage, integerOf(queryOf(request, 'max-keys'), 'max-keys', maxPage)),
  };
}

/** How keys are written: as they are, or percent-encoded when the client asks, since XML cannot hold every character. */
function keyText(request: S3Request): (key: string) => string {
  if (queryOf(request, 'encoding-type') !== 'url') return (key) => key;
  return (key) =>
    key
      .split('/')
      .map((part) =>
        encodeURIComponent(part).replace(
          /[!'()*]/g,
          (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
        ),
      )
      .join('/');
}

function contentsOf(page: ListPage, text: (key: string) => string, withOwner: boolean): XmlElements {
  return {
    Contents: page.objects.map((record) => ({
      Key: text(record.key),
      LastModified: isoTime(record.modifiedAt),
      ETag: quoted(record.etag),
      Size: record.bytes,
      StorageClass: 'STANDARD',
      Owner: withOwner ? owner : undefined,
    })),
    CommonPrefixes: page.commonPrefixes.map((prefix) => ({ Prefix: text(prefix) })),
  };
}

const encodeToken = (key: string): string => Buffer.from(key).toString('base64url');

function decodeToken(token: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(token)) {
    throw new S3Error('InvalidArgument', 'the continuation token is not one of this server');
  }
  return Buffer.from(token, 'base64url').toString();
}

function deletedKeys(document: unknown): readonly string[] {
  const objects = isRecord(document) ? document['Object'] : undefined;
  if (!Array.isArray(objects) || objects.length > maxPage) {
    throw new S3Error('MalformedXML', `the document must list 1 to ${maxPage} objects`);
  }
  return objects.map((one: unknown) => {
    const key = isRecord(one) ? one['Key'] : undefined;
    if (typeof key !== 'string' || key === '') throw new S3Error('MalformedXML', 'an object has no key');
    const version = isRecord(one) ? one['VersionId'] : undefined;
    if (version !== undefined && version !== 'null') {
      throw new S3Error('NotImplemented', 'this server keeps no versions');
    }
    return key;
  });
}
