/** Presigned URLs for agents: for the attempt they hold, minutes long, and for nothing else. */
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { artifactKey, bundleKey, logIndexKey, logKey, manifestKey } from '../../shared/blob/layout.js';
import type { AgentId, AttemptRef, Token } from '../../shared/model/ids.js';
import { ApiError } from './api-error.js';
import { checkLease, type Lease } from './leases.js';
import type { Services } from './services.js';

export const presignSeconds = 900;
/** Presigning costs half a millisecond a URL: batches only of what is about to be used. */
const maxParts = 20;

export type PresignWhat =
  | { readonly kind: 'source' }
  | { readonly kind: 'put-log'; readonly step: number }
  | { readonly kind: 'put-log-index'; readonly step: number }
  | {
      readonly kind: 'put-artifact';
      readonly number: number;
      /** Of the whole artifact; a single put of any other length is refused. Below 0: not said. */
      readonly bytes: number;
      /** 0: a single put. */
      readonly firstPart: number;
      readonly parts: number;
      readonly uploadId: string;
    }
  | { readonly kind: 'put-manifest' }
  | { readonly kind: 'get-manifest'; readonly stage: number }
  | { readonly kind: 'get-artifact'; readonly stage: number; readonly number: number };

export interface Presigned {
  readonly method: 'GET' | 'PUT';
  readonly urls: readonly PresignedUrl[];
  readonly uploadId: string;
}

export interface PresignAsk {
  readonly agent: AgentId;
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly what: PresignWhat;
}

const expires = { expiresSeconds: presignSeconds };

export async function presignFor(services: Services, ask: PresignAsk): Promise<Presigned> {
  const lease = await checkLease(services, ask.agent, ask.ref, ask.token);
  const { blobs } = services;
  const { ref, what } = ask;
  if (lease.finished && what.kind !== 'put-log' && what.kind !== 'put-log-index') {
    throw new ApiError('forbidden', 'the attempt has ended: only its logs may still be stored');
  }
  const get = async (key: string): Promise<Presigned> => ({
    method: 'GET',
    urls: [await blobs.presignGet(key, expires)],
    uploadId: '',
  });
  const put = async (key: string, bytes = -1): Promise<Presigned> => ({
    method: 'PUT',
    urls: [await blobs.presignPut(key, { ...expires, ...(bytes < 0 ? {} : { bytes }) })],
    uploadId: '',
  });
  switch (what.kind) {
    case 'source':
      return get(await sourceKey(services, ref));
    case 'put-log':
      return put(logKey(ref, what.step));
    case 'put-log-index':
      return put(logIndexKey(ref, what.step));
    case 'put-manifest':
      return put(manifestKey(ref));
    case 'put-artifact':
      return what.firstPart === 0
        ? put(artifactKey(ref, what.number), what.bytes)
        : parts(services, ref, what);
    case 'get-manifest':
      return get(manifestKey(need(lease, what.stage)));
    case 'get-artifact':
      return get(artifactKey(need(lease, what.stage), what.number));
  }
}

async function parts(
  services: Services,
  ref: AttemptRef,
  what: Extract<PresignWhat, { kind: 'put-artifact' }>,
): Promise<Presigned> {
  if (what.parts < 1 || what.parts > maxParts || what.firstPart + what.parts > 10_001) {
    throw new ApiError('invalid', `parts: expected 1 to ${maxParts} of at most 10,000, got ${what.parts}`);
  }
  const key = artifactKey(ref, what.number);
  const uploadId = what.uploadId === '' ? await services.blobs.createMultipart(key) : what.uploadId;
  const urls: PresignedUrl[] = [];
  for (let part = what.firstPart; part < what.firstPart + what.parts; part += 1) {
    urls.push(await services.blobs.presignPart(key, uploadId, part, expires));
  }
  return { method: 'PUT', urls, uploadId };
}

function need(lease: Lease, stage: number): AttemptRef {
  const ref = lease.needs.get(stage);
  if (ref === undefined) {
    throw new ApiError('forbidden', `stage ${lease.ref.stage} does not need stage ${stage}`);
  }
  return ref;
}

async function sourceKey(services: Services, ref: AttemptRef): Promise<string> {
  const plan = await services.plans.get(ref.run);
  if (plan?.source.kind !== 'bundle') throw new ApiError('not-found', 'the run has no bundle');
  return bundleKey(plan.source.digest);
}

export interface UploadEnd {
  readonly agent: AgentId;
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly artifact: number;
  readonly uploadId: string;
  /** Of parts 1…n, in order; empty: abort. */
  readonly etags: readonly string[];
}

export async function finishUpload(services: Services, end: UploadEnd): Promise<void> {
  const lease = await checkLease(services, end.agent, end.ref, end.token);
  const key = artifactKey(end.ref, end.artifact);
  if (lease.finished && end.etags.length > 0) {
    throw new ApiError('forbidden', 'the attempt has ended: its artifacts stay as they are');
  }
  if (end.etags.length === 0) await services.blobs.abortMultipart(key, end.uploadId);
  else {
    const uploaded = end.etags.map((etag, index) => ({ part: index + 1, etag }));
    await services.blobs.completeMultipart(key, end.uploadId, uploaded);
  }
}
