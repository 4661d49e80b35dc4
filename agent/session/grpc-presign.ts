/** Presigned URLs and multipart uploads, asked of the coordinator. */
import type { PresignObject } from '../../shared/model/agent.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import { PresignedUrl } from '../../shared/blob/presigned-url.js';
import type { PresignRequest } from '../../shared/wire/gen/gantry/v1/PresignRequest.js';
import type { PresignResponse__Output } from '../../shared/wire/gen/gantry/v1/PresignResponse.js';
import { attemptRefToWire } from '../../shared/wire/refs.js';
import type { FleetCalls } from './grpc-calls.js';
import { SessionRefused, type UploadGrant } from './session.js';

/** The coordinator signs at most so many parts at once. */
const partsPerCall = 20;
const abortMs = 5_000;

export async function presignObject(
  calls: FleetCalls,
  what: { readonly ref: AttemptRef; readonly token: Token; readonly object: PresignObject },
  signal: AbortSignal,
): Promise<PresignedUrl> {
  const request = { ref: attemptRefToWire(what.ref), token: what.token, ...objectToWire(what.object) };
  return onlyUrl(await calls.presign(request, signal));
}

function objectToWire(object: PresignObject): PresignRequest {
  switch (object.kind) {
    case 'source':
      return { source: true };
    case 'put-log':
      return { putLog: object.step };
    case 'put-log-index':
      return { putLogIndex: object.step };
    case 'put-artifact':
      return { putArtifact: { number: object.number, bytes: object.bytes } };
    case 'put-manifest':
      return { putManifest: true };
    case 'get-manifest':
      return { getManifest: object.stage };
    case 'get-artifact':
      return { getArtifact: { stage: object.stage, number: object.number } };
  }
}

export function uploadGrant(
  calls: FleetCalls,
  what: {
    readonly ref: AttemptRef;
    readonly token: Token;
    readonly artifact: { readonly number: number; readonly bytes: number };
  },
): UploadGrant {
  const { artifact } = what;
  const lease = { ref: attemptRefToWire(what.ref), token: what.token };
  let uploadId = '';
  /** The first call begins the upload: others wait for its id, so that there is one upload only. */
  let beginning: Promise<unknown> = Promise.resolve();

  const some = async (
    first: number,
    count: number,
    signal: AbortSignal,
  ): Promise<readonly PresignedUrl[]> => {
    const putArtifact = { ...artifact, firstPart: first, parts: count, uploadId };
    const answer = await calls.presign({ ...lease, putArtifact }, signal);
    uploadId = answer.uploadId ?? '';
    const urls = urlsOf(answer);
    if (uploadId === '' || urls.length !== count)
      throw new SessionRefused(`the coordinator gave ${urls.length} URLs of ${count} parts asked for`);
    return urls;
  };
  return {
    single: (signal) =>
      presignObject(calls, { ...what, object: { kind: 'put-artifact', ...artifact } }, signal),
    async parts(first, count, signal) {
      const urls: PresignedUrl[] = [];
      for (let done = 0; done < count; done += partsPerCall) {
        const before = beginning;
        const batch = before.then(() => some(first + done, Math.min(partsPerCall, count - done), signal));
        if (uploadId === '') beginning = batch.catch(() => undefined); // its own caller hears of it
        urls.push(...(await batch));
      }
      return urls;
    },
    finish: (etags, signal) =>
      calls.finishUpload(
        { ...lease, artifact: artifact.number, uploadId, abort: false, etags: [...etags] },
        signal,
      ),
    async abort() {
      if (uploadId === '') return;
      try {
        const request = { ...lease, artifact: artifact.number, uploadId, abort: true, etags: [] };
        await calls.finishUpload(request, AbortSignal.timeout(abortMs));
      } catch {
        // Unfinished uploads are swept by the storage; the attempt's own failure is what counts.
      }
    },
  };
}

const urlsOf = (answer: PresignResponse__Output): readonly PresignedUrl[] =>
  (answer.urls ?? []).map((message) => new PresignedUrl(message.url ?? ''));

function onlyUrl(answer: PresignResponse__Output): PresignedUrl {
  const [url] = urlsOf(answer);
  if (url === undefined) throw new SessionRefused('the coordinator gave no URL');
  return url;
}
