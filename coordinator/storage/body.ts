import { decodeAwsChunked } from './aws-chunked.js';
import type { ChunkVerifier } from './aws-chunked.js';
import { Digests, promisesOf } from './digests.js';
import type { TagKind, VerifiedDigests } from './digests.js';
import { S3Error } from './errors.js';
import type { S3Request } from './request.js';
import { chunkSignature, sameText, trailerSignature } from './s3-signature.js';
import type { ChunkSigning, PayloadProof } from './s3-signature.js';

/** The body of a request, without its framing. Iterate `chunks` to their end, then `verify` before anything is kept. */
export interface Body {
  readonly bytes: number;
  readonly chunks: AsyncIterable<Buffer>;
  /** Feed it what was read. */
  readonly digests: Digests;
  /** Throws unless the body is all that its headers promise. */
  verify(): VerifiedDigests;
}

/** S3's limit for one put or part. */
const maxBodyBytes = 5 * 1024 ** 3;

export function bodyOf(request: S3Request, proof: PayloadProof, tag: TagKind = 'md5'): Body {
  const bytes = declaredBytes(request, proof);
  if (bytes > maxBodyBytes) throw new S3Error('EntityTooLarge', 'one put or part has at most 5 GiB');
  const promises = promisesOf(request.headers, proof.kind === 'sha256' ? proof.hex : undefined);
  const digests = new Digests(promises, tag);
  let trailer: ReadonlyMap<string, string> = new Map();
  request.accept();
  // Giving up in the middle must not destroy the connection: the client is still owed the answer.
  const raw: AsyncIterable<Buffer> = request.message.iterator({ destroyOnReturn: false });
  const decoded =
    proof.kind === 'chunked'
      ? decodeAwsChunked(raw, {
          trailer: proof.trailer,
          onTrailer: (lines) => {
            trailer = lines;
          },
          ...(proof.signing === undefined ? {} : { verifier: new ChunkSignatures(proof.signing) }),
        })
      : raw;
  return { bytes, chunks: ofLength(decoded, bytes), digests, verify: () => digests.verify(trailer) };
}

/** A small body, whole and verified: a document. */
export async function readDocument(
  request: S3Request,
  proof: PayloadProof,
  maxBytes: number,
): Promise<string> {
  const body = bodyOf(request, proof);
  if (body.bytes > maxBytes)
    throw new S3Error('EntityTooLarge', `the document has more than ${maxBytes} bytes`);
  const chunks: Buffer[] = [];
  for await (const chunk of body.chunks) {
    body.digests.update(chunk);
    chunks.push(chunk);
  }
  body.verify();
  return Buffer.concat(chunks).toString();
}

function declaredBytes(request: S3Request, proof: PayloadProof): number {
  const name = proof.kind === 'chunked' ? 'x-amz-decoded-content-length' : 'content-length';
  const text = request.headers.get(name);
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw new S3Error('MissingContentLength', `the header ${name} must say how long the body is`);
  }
  return Number(text);
}

async function* ofLength(
  chunks: AsyncIterable<Buffer>,
  bytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  let read = 0;
  for await (const chunk of chunks) {
    read += chunk.length;
    if (read > bytes) break;
    yield chunk;
  }
  if (read !== bytes) {
    throw new S3Error('IncompleteBody', `the body has not the ${bytes} bytes that its headers promise`);
  }
}

class ChunkSignatures implements ChunkVerifier {
  #previous: string;

  constructor(readonly signing: ChunkSigning) {
    this.#previous = signing.seed;
  }

  chunk(signature: string, sha256: string): void {
    this.#check(signature, chunkSignature(this.signing, this.#previous, sha256));
  }

  trailer(signature: string, sha256: string): void {
    this.#check(signature, trailerSignature(this.signing, this.#previous, sha256));
  }

  #check(signature: string, expected: string): void {
    if (!sameText(signature, expected)) {
      throw new S3Error('SignatureDoesNotMatch', 'the signature of a chunk of the body is wrong');
    }
    this.#previous = signature;
  }
}
