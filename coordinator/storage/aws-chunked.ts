import { createHash } from 'node:crypto';
import { S3Error } from './errors.js';

/** Checks the signatures of chunks; absent where they are not signed. */
export interface ChunkVerifier {
  /** Throws unless `signature` is the right one for the next chunk, of this SHA-256. */
  chunk(signature: string, sha256: string): void;
  trailer(signature: string, sha256: string): void;
}

export interface ChunkedOptions {
  readonly verifier?: ChunkVerifier;
  /** Whether lines `name:value` follow the last chunk. */
  readonly trailer: boolean;
  /** Receives those lines, names in lower case, once they are verified. */
  readonly onTrailer: (trailer: ReadonlyMap<string, string>) => void;
}

const maxLineBytes = 4096;
const maxTrailerLines = 16;

/**
 * Takes the `aws-chunked` framing off a body:
 *
 *     <hexadecimal size>[;chunk-signature=<signature>]\r\n<bytes>\r\n …  0[;chunk-signature=…]\r\n[<name>:<value>\r\n …]\r\n
 *
 * Bytes are given on as they arrive; the signature of a chunk is checked at its end, so nothing may be kept before this generator has
 * ended. It ends only after the body did.
 */
export async function* decodeAwsChunked(
  body: AsyncIterable<Buffer>,
  options: ChunkedOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const reader = new ByteReader(body);
  for (;;) {
    const { size, signature } = parseChunkHeader(await reader.line());
    const hash = options.verifier === undefined ? undefined : createHash('sha256');
    for (let left = size; left > 0;) {
      const bytes = await reader.some(left);
      left -= bytes.length;
      hash?.update(bytes);
      yield bytes;
    }
    if (hash !== undefined) options.verifier?.chunk(signature ?? '', hash.digest('hex'));
    if (size === 0) break;
    if ((await reader.line()) !== '') throw malformed('a chunk is longer than its size');
  }
  options.onTrailer(await readTrailer(reader, options));
  await reader.end();
}

async function readTrailer(
  reader: ByteReader,
  options: ChunkedOptions,
): Promise<ReadonlyMap<string, string>> {
  const trailer = new Map<string, string>();
  let signed = '';
  let signature: string | undefined;
  for (;;) {
    const line = await reader.line();
    if (line === '') break;
    const colon = line.indexOf(':');
    if (!options.trailer || colon < 1 || trailer.size >= maxTrailerLines) {
      throw malformed('there is an unexpected trailer');
    }
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'x-amz-trailer-signature') {
      signature = value;
    } else {
      trailer.set(name, value);
      signed += `${name}:${value}\n`;
    }
  }
  if (options.trailer && options.verifier !== undefined) {
    options.verifier.trailer(signature ?? '', createHash('sha256').update(signed).digest('hex'));
  }
  return trailer;
}

function parseChunkHeader(line: string): { readonly size: number; readonly signature?: string } {
  const match = /^([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
  if (match?.[1] === undefined) throw malformed('a chunk begins without its size');
  const size = Number.parseInt(match[1], 16);
  return match[2] === undefined ? { size } : { size, signature: match[2] };
}

const malformed = (reason: string): S3Error =>
  new S3Error('IncompleteBody', `the aws-chunked body is malformed: ${reason}`);

/** Lines and byte runs out of chunks that are cut anywhere. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #buffer: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one and at most `max` bytes. */
  async some(max: number): Promise<Buffer> {
    if (this.#buffer.length === 0) this.#buffer = await this.#next();
    const bytes = this.#buffer.subarray(0, max);
    this.#buffer = this.#buffer.subarray(bytes.length);
    return bytes;
  }

  /** Up to `\r\n`, which is taken and not given. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf('\r\n');
      if (end >= 0) {
        const line = this.#buffer.toString('latin1', 0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        return line;
      }
      if (this.#buffer.length > maxLineBytes) throw malformed('a line is too long');
      this.#buffer = Buffer.concat([this.#buffer, await this.#next()]);
    }
  }

  /** Throws if anything is left. */
  async end(): Promise<void> {
    while (this.#buffer.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return;
      this.#buffer = next.value;
    }
    throw malformed('bytes follow its end');
  }

  async #next(): Promise<Buffer> {
    for (;;) {
      const next = await this.#source.next();
      if (next.done === true) throw malformed('it ends too early');
      if (next.value.length > 0) return next.value;
    }
  }
}
