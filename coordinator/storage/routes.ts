import { emptyAnswer, xmlAnswer } from './answer.js';
import type { Answer, Call } from './answer.js';
import * as buckets from './bucket-routes.js';
import type { Bucket } from './buckets.js';
import { S3Error } from './errors.js';
import * as multipart from './multipart-routes.js';
import * as objects from './object-routes.js';
import { queryOf } from './request.js';

/** Parts of the S3 interface that this server does not have, by the query parameter that asks for them. */
const missing = [
  'accelerate',
  'analytics',
  'attributes',
  'cors',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'logging',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'torrent',
  'versions',
  'website',
];

/** Finds what a request asks for: first by what it names (server, bucket, object), then by its method and query. */
export async function route(call: Call): Promise<Answer> {
  const { request } = call;
  for (const name of missing) {
    if (request.query.has(name)) throw notImplemented(`?${name}`);
  }
  const version = queryOf(request, 'versionId');
  if (version !== undefined && version !== 'null') throw notImplemented('versions');
  // Reading them tells the truth (no tags, all is its owner's), and tools ask before they copy; setting them is another matter.
  for (const name of ['acl', 'tagging']) {
    if (request.query.has(name) && request.method !== 'GET') throw notImplemented(`?${name}`);
  }
  if (request.bucket === undefined) {
    if (request.method === 'GET') return buckets.listBuckets(call);
    throw notAllowed(request.method);
  }
  if (request.key === undefined) return routeBucket(call, request.bucket);
  return routeObject(call, call.buckets.get(request.bucket), request.key);
}

async function routeBucket(call: Call, name: string): Promise<Answer> {
  const { method, query } = call.request;
  switch (method) {
    case 'PUT':
      if (query.has('versioning')) throw notImplemented('versions');
      return buckets.createBucket(call, name);
    case 'DELETE':
      return buckets.deleteBucket(call, name);
    case 'HEAD':
      call.buckets.get(name);
      return emptyAnswer(200);
    case 'GET': {
      const bucket = call.buckets.get(name);
      if (query.has('acl')) return buckets.ownersAcl();
      if (query.has('tagging')) throw new S3Error('NoSuchTagSet', 'the bucket has no tags');
      if (query.has('location')) return xmlAnswer('LocationConstraint', {});
      if (query.has('versioning')) return xmlAnswer('VersioningConfiguration', {});
      if (query.has('uploads')) return multipart.listUploads(call, bucket);
      return queryOf(call.request, 'list-type') === '2'
        ? buckets.listV2(call, bucket)
        : buckets.listV1(call, bucket);
    }
    case 'POST':
      if (query.has('delete')) return buckets.deleteObjects(call, call.buckets.get(name));
      throw notImplemented('uploads by HTML forms');
    default:
      throw notAllowed(method);
  }
}

async function routeObject(call: Call, bucket: Bucket, key: string): Promise<Answer> {
  const { method, query, headers } = call.request;
  const copies = headers.has('x-amz-copy-source');
  const inUpload = query.has('uploadId');
  switch (method) {
    case 'PUT':
      if (inUpload || query.has('partNumber')) {
        return copies ? multipart.copyPart(call, bucket, key) : multipart.uploadPart(call, bucket, key);
      }
      return copies ? objects.copyObject(call, bucket, key) : objects.putObject(call, bucket, key);
    case 'GET':
      if (inUpload) return multipart.listParts(call, bucket, key);
      if (query.has('acl') || query.has('tagging')) {
        if ((await bucket.objects.head(key)) === undefined) throw objects.noSuchKey(key);
        return query.has('acl') ? buckets.ownersAcl() : xmlAnswer('Tagging', { TagSet: {} });
      }
      if (query.has('partNumber')) throw notImplemented('reading an object by its parts');
      return objects.getObject(call, bucket, key);
    case 'HEAD':
      if (query.has('partNumber')) throw notImplemented('reading an object by its parts');
      return objects.getObject(call, bucket, key);
    case 'DELETE':
      return inUpload ? multipart.abortUpload(call, bucket, key) : objects.deleteObject(call, bucket, key);
    case 'POST':
      if (query.has('uploads')) return multipart.createUpload(call, bucket, key);
      if (inUpload) return multipart.completeUpload(call, bucket, key);
      throw notAllowed(method);
    default:
      throw notAllowed(method);
  }
}

const notImplemented = (what: string): S3Error =>
  new S3Error('NotImplemented', `this server does not have ${what}`);

const notAllowed = (method: string): S3Error =>
  new S3Error('MethodNotAllowed', `${method} is not possible here`);
