import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { getCanonicalHeaders, getSigningKey, SignatureV4Base } from '@smithy/signature-v4';
import { S3Error } from './errors.js';
import { isPresigned, queryOf } from './request.js';
import type { S3Request } from './request.js';

/** How the body of an accepted request proves itself. */
export type PayloadProof =
  | { readonly kind: 'none' }
  | { readonly kind: 'sha256'; readonly hex: string }
  /** `aws-chunked`. With `signing`, each chunk (and the trailer) is signed, each signature resting on the one before. */
  | { readonly kind: 'chunked'; readonly signing?: ChunkSigning; readonly trailer: boolean };

export interface ChunkSigning {
  readonly key: Uint8Array;
  readonly date: string;
  readonly scope: string;
  /** The signature of the request's headers, on which the first chunk rests. */
  readonly seed: string;
}

export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

const algorithm = 'AWS4-HMAC-SHA256';
const maxSkewMs = 15 * 60_000;
const maxExpirySeconds = 7 * 24 * 3600;

interface Claim {
  readonly kind: 'header' | 'query';
  readonly accessKey: string;
  readonly scope: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** `20260102T030405Z` */
  readonly date: string;
  readonly expiresSeconds?: number;
}

/**
 * Checks the signature of a request, in its headers or in its query, and throws `S3Error` unless it is right, current,
 * and covers everything that could change what the request means. The body is checked while it is read, against the proof returned.
 */
export async function verifySignature(
  request: S3Request,
  credentials: Credentials,
  now: Date,
): Promise<PayloadProof> {
  const claim = readClaim(request);
  if (!sameText(claim.accessKey, credentials.accessKey)) {
    throw new S3Error('InvalidAccessKeyId', 'the access key is not known here');
  }
  const day = claim.date.slice(0, 8);
  if (claim.scope !== `${day}/${credentials.region}/s3/aws4_request`) {
    const wanted = `${day}/${credentials.region}/s3/aws4_request`;
    const message = `the credential's scope is ${claim.scope}, expected ${wanted}`;
    throw new S3Error(malformed(claim), message, { Region: credentials.region });
  }
  checkTime(claim, now);
  checkCoverage(claim, request);
  const declared = request.headers.get('x-amz-content-sha256');
  const payload = signedPayload(claim, request, declared);
  const key = await signer.keyOf(credentials, day);
  const matches = pathsOf(request).some((path) =>
    sameText(claim.signature, signer.signatureOf({ request, claim, path, payload, key })),
  );
  if (!matches) {
    const message =
      'the signature is not the one expected: check the secret key and how the request is signed';
    throw new S3Error('SignatureDoesNotMatch', message);
  }
  return proofOf(declared ?? payload, { key, date: claim.date, scope: claim.scope, seed: claim.signature });
}

/** What the canonical request says of the body. A presigned URL is made before there is a body: it says so, unless the header is signed as well. */
function signedPayload(claim: Claim, request: S3Request, declared: string | undefined): string {
  if (claim.kind === 'query' && !claim.signedHeaders.includes('x-amz-content-sha256')) {
    return queryOf(request, 'X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD';
  }
  if (declared !== undefined) return declared;
  throw new S3Error('InvalidRequest', 'the header x-amz-content-sha256 is missing');
}

/** The signature of one chunk of an `aws-chunked` body. */
export function chunkSignature(signing: ChunkSigning, previous: string, sha256: string): string {
  const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  return hmac(
    signing.key,
    `${algorithm}-PAYLOAD\n${signing.date}\n${signing.scope}\n${previous}\n${empty}\n${sha256}`,
  );
}

/** The signature of the trailer of an `aws-chunked` body. */
export function trailerSignature(signing: ChunkSigning, previous: string, sha256: string): string {
  return hmac(signing.key, `${algorithm}-TRAILER\n${signing.date}\n${signing.scope}\n${previous}\n${sha256}`);
}

/** Compares without telling by its duration how much of it was right. */
export function sameText(a: string, b: string): boolean {
  // Digests have one length, so that the comparison needs no branch on the texts' lengths.
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function readClaim(request: S3Request): Claim {
  const authorization = request.headers.get('authorization');
  const inQuery = isPresigned(request);
  if (authorization !== undefined && inQuery) {
    throw new S3Error('InvalidArgument', 'the request is signed twice: in its headers and in its query');
  }
  if (inQuery) return readQueryClaim(request);
  if (authorization === undefined) {
    throw new S3Error('AccessDenied', 'the request is not signed: every request needs a signature');
  }
  return readHeaderClaim(request, authorization);
}

function readHeaderClaim(request: S3Request, authorization: string): Claim {
  if (!authorization.startsWith(`${algorithm} `)) {
    throw new S3Error('InvalidRequest', `the only signature that is understood is ${algorithm}`);
  }
  const fields = new Map(
    authorization
      .slice(algorithm.length + 1)
      .split(',')
      .map((field) => {
        const [name, ...value] = field.trim().split('=');
        return [name ?? '', value.join('=')] as const;
      }),
  );
  return claimFrom('header', {
    credential: fields.get('Credential'),
    signedHeaders: fields.get('SignedHeaders'),
    signature: fields.get('Signature'),
    date: request.headers.get('x-amz-date') ?? basicDate(request.headers.get('date')),
  });
}

function readQueryClaim(request: S3Request): Claim {
  for (const [name, values] of request.query) {
    if (name.startsWith('X-Amz-') && values.length > 1) {
      throw new S3Error('AuthorizationQueryParametersError', `${name} is given more than once`);
    }
  }
  if (queryOf(request, 'X-Amz-Algorithm') !== algorithm) {
    throw new S3Error('AuthorizationQueryParametersError', `X-Amz-Algorithm must be ${algorithm}`);
  }
  const expires = queryOf(request, 'X-Amz-Expires') ?? '';
  const expiresSeconds = Number(expires);
  if (!/^\d{1,6}$/.test(expires) || expiresSeconds < 1 || expiresSeconds > maxExpirySeconds) {
    const message = `X-Amz-Expires must be 1 to ${maxExpirySeconds} seconds`;
    throw new S3Error('AuthorizationQueryParametersError', message);
  }
  const claim = claimFrom('query', {
    credential: queryOf(request, 'X-Amz-Credential'),
    signedHeaders: queryOf(request, 'X-Amz-SignedHeaders'),
    signature: queryOf(request, 'X-Amz-Signature'),
    date: queryOf(request, 'X-Amz-Date'),
  });
  return { ...claim, expiresSeconds };
}

function claimFrom(
  kind: Claim['kind'],
  parts: Readonly<Record<'credential' | 'signedHeaders' | 'signature' | 'date', string | undefined>>,
): Claim {
  const { credential, signedHeaders, signature, date } = parts;
  const slash = credential?.indexOf('/') ?? -1;
  if (
    credential === undefined ||
    slash < 1 ||
    signedHeaders === undefined ||
    signature === undefined ||
    date === undefined ||
    !/^\d{8}T\d{6}Z$/.test(date)
  ) {
    const message = 'the signature needs a credential, signed headers, a signature and a date';
    throw new S3Error(malformed({ kind }), message);
  }
  return {
    kind,
    accessKey: credential.slice(0, slash),
    scope: credential.slice(slash + 1),
    signedHeaders: signedHeaders.toLowerCase().split(';'),
    signature,
    date,
  };
}

const malformed = (claim: Pick<Claim, 'kind'>) =>
  claim.kind === 'header' ? 'AuthorizationHeaderMalformed' : 'AuthorizationQueryParametersError';

/** A `Date` header in the form that signatures use. */
function basicDate(text: string | undefined): string | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : new Date(time).toISOString().replace(/[-:]|\.\d+/g, '');
}

function checkTime(claim: Claim, now: Date): void {
  const text = claim.date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
  const signedAt = Date.parse(text);
  if (Number.isNaN(signedAt)) throw new S3Error(malformed(claim), `${claim.date} is no date`);
  if (claim.expiresSeconds !== undefined && now.getTime() > signedAt + claim.expiresSeconds * 1000) {
    throw new S3Error('AccessDenied', 'the presigned URL has expired', {
      Expires: new Date(signedAt + claim.expiresSeconds * 1000).toISOString(),
      ServerTime: now.toISOString(),
    });
  }
  const ahead = signedAt - now.getTime();
  if (ahead > maxSkewMs || (claim.kind === 'header' && -ahead > maxSkewMs)) {
    throw new S3Error(
      'RequestTimeTooSkewed',
      "the request's time and the server's differ by more than 15 minutes: check both clocks",
      { RequestTime: claim.date, ServerTime: now.toISOString() },
    );
  }
}

/**
 * Everything that changes the meaning of a request must be under its signature; otherwise the holder of a presigned PUT could add
 * `x-amz-copy-source` and read what was never granted. The digest of the body proves itself.
 */
function checkCoverage(claim: Claim, request: S3Request): void {
  if (!claim.signedHeaders.includes('host')) {
    throw new S3Error('AccessDenied', 'the header host must be signed');
  }
  for (const name of request.headers.keys()) {
    const free = name === 'x-amz-content-sha256' && claim.kind === 'query';
    if (name.startsWith('x-amz-') && !free && !claim.signedHeaders.includes(name)) {
      throw new S3Error('AccessDenied', 'there is a header that is not signed', { HeadersNotSigned: name });
    }
  }
}

/**
 * The path that the client signed. It should be the one it sent; but some sign it in its canonical form (everything but
 * unreserved characters escaped) and send it in another.
 */
function pathsOf(request: S3Request): readonly string[] {
  const decoded = decodeURIComponent(request.rawPath);
  const canonical = decoded
    .split('/')
    .map((part) =>
      encodeURIComponent(part).replace(
        /[!'()*]/g,
        (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
      ),
    )
    .join('/');
  return canonical === request.rawPath ? [canonical] : [request.rawPath, canonical];
}

function proofOf(payload: string, signing: ChunkSigning): PayloadProof {
  switch (payload) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'none' };
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'chunked', trailer: true };
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
      return { kind: 'chunked', signing, trailer: false };
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      return { kind: 'chunked', signing, trailer: true };
    default:
      if (/^[0-9a-f]{64}$/.test(payload)) return { kind: 'sha256', hex: payload };
      throw new S3Error('InvalidArgument', 'x-amz-content-sha256 is neither a SHA-256 nor a known keyword');
  }
}

const hmac = (key: Uint8Array, text: string): string => createHmac('sha256', key).update(text).digest('hex');

/** The shape in which the SDK takes its hash functions. */
class NodeSha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    if (secret === undefined) this.#hash = createHash('sha256');
    else this.#hash = createHmac('sha256', typeof secret === 'string' ? secret : bytesOf(secret));
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(typeof data === 'string' ? data : bytesOf(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error('a digest is taken once');
  }
}

const bytesOf = (data: ArrayBuffer | ArrayBufferView): Uint8Array =>
  data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The SDK's own notion of the canonical request: what it signs and what is expected here cannot differ. */
class ExpectedSignature extends SignatureV4Base {
  constructor() {
    super({
      service: 's3',
      region: '',
      credentials: { accessKeyId: '', secretAccessKey: '' },
      sha256: NodeSha256,
      uriEscapePath: false,
    });
  }

  keyOf(credentials: Credentials, day: string): Promise<Uint8Array> {
    const identity = { accessKeyId: credentials.accessKey, secretAccessKey: credentials.secretKey };
    return getSigningKey(NodeSha256, identity, day, credentials.region, 's3');
  }

  signatureOf(input: {
    readonly request: S3Request;
    readonly claim: Claim;
    readonly path: string;
    readonly payload: string;
    readonly key: Uint8Array;
  }): string {
    const { request, claim, path, payload, key } = input;
    const signed = new Set(claim.signedHeaders);
    const query = [...request.query].filter(([name]) => name !== 'X-Amz-Signature');
    const http = {
      method: request.method,
      protocol: 'http:',
      hostname: '',
      path,
      query: Object.fromEntries(query.map(([name, values]) => [name, [...values]])),
      headers: Object.fromEntries([...request.headers].filter(([name]) => signed.has(name))),
    };
    const canonical = this.createCanonicalRequest(
      http,
      getCanonicalHeaders(http, undefined, signed),
      payload,
    );
    const digest = createHash('sha256').update(canonical).digest('hex');
    return hmac(key, `${algorithm}\n${claim.date}\n${claim.scope}\n${digest}`);
  }
}

const signer = new ExpectedSignature();
