import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { promisify } from 'node:util';
import { createGzip, deflateRawSync, gzip } from 'node:zlib';
import type { FileEntry } from '../model/artifact.js';
import { filePathOf } from './file-path.js';
import type { PackedTar, PackOptions, TarInput } from './tar-types.js';
import { toSha256 } from './sha256.js';
import { Group } from './tar-group.js';
import type { Filled } from './tar-group.js';
import { contentBlockBytes, contentOfInput } from './tar-content.js';
import { encodeTarHeader, tarEnd, tarPadding } from './tar-header.js';

/**
 * Uncompressed bytes of a member that small files share. One member for each file would halve the speed and cost a sixth of the ratio; larger
 * members make a single file dearer to fetch.
 */
const groupBytes = 256 * 1024;
/** Members that the thread pool compresses at once; one more is being filled. */
const membersAhead = 2;
/** What a file must shrink to for compression to be worth it, tried on its beginning. */
const worthwhile = 0.95;
const probeBytes = 32 * 1024;
/** Less is not worth the trial. */
const minProbeBytes = 4 * 1024;
const defaultMtimeMs = Date.UTC(2000, 0, 1);
const chunkSize = 128 * 1024;

/** Level 1 is three times faster than 6 for a tenth more bytes; level 0 stores. */
const levels: Readonly<Record<Kind, number>> = { shrinks: 1, stored: 0 };
type Kind = Group['kind'];

const gzipWhole = promisify<Buffer, { level: number; chunkSize: number }, Buffer>(gzip);

/**
 * Packs files, streaming: memory holds a few members, whatever is packed. Throws `source-changed` for a file that is not as long as was said,
 * what `write` throws, and the signal's reason; what was written until then is of no use.
 */
export async function packTar(
  inputs: AsyncIterable<TarInput> | Iterable<TarInput>,
  options: PackOptions,
): Promise<PackedTar> {
  const archive = new Archive(options);
  for await (const input of inputs) {
    options.signal?.throwIfAborted();
    await archive.add(input);
  }
  return archive.finish();
}

class Archive {
  readonly #options: PackOptions;
  readonly #hash = createHash('sha256');
  #offset = 0;
  #count = 0;
  readonly #files: FileEntry[] = [];
  // Two groups are open at a time, so that a compressed file between two texts does not cut their member short.
  readonly #groups: Readonly<Record<Kind, Group>> = {
    shrinks: new Group('shrinks'),
    stored: new Group('stored'),
  };
  readonly #ahead: { readonly member: Promise<Buffer>; readonly group: Filled }[] = [];
  readonly #block = Buffer.allocUnsafeSlow(contentBlockBytes);

  constructor(options: PackOptions) {
    this.#options = options;
  }

  async add(input: TarInput): Promise<void> {
    const index = this.#count;
    this.#count += 1;
    if (input.kind === 'link') {
      await this.#addLink(index, input);
    } else if (input.size <= groupBytes) {
      await this.#addSmall(index, input);
    } else {
      await this.#addBig(index, input);
    }
  }

  async finish(): Promise<PackedTar> {
    await this.#flush(this.#groups.shrinks);
    await this.#flush(this.#groups.stored);
    await this.#drain(0);
    await this.#write(await gzipWhole(tarEnd(), { level: levels.shrinks, chunkSize }));
    return { bytes: this.#offset, sha256: toSha256(this.#hash), files: this.#files };
  }

  async #addLink(index: number, input: Extract<TarInput, { kind: 'link' }>): Promise<void> {
    const group = this.#groups.shrinks;
    group.append(headerOf(input));
    group.place({ index, entry: linkEntry(input), dataOffset: group.bytes });
    if (group.bytes >= groupBytes) await this.#flush(group);
  }

  async #addSmall(index: number, input: Extract<TarInput, { kind: 'file' }>): Promise<void> {
    const hash = createHash('sha256');
    const blocks = contentOfInput(input, this.#block);
    const first = await blocks.next();
    const head = first.done === true ? Buffer.alloc(0) : first.value;
    const group = this.#groups[probe(head)];
    group.append(headerOf(input));
    const dataOffset = group.bytes;
    hash.update(head);
    group.append(head);
    for await (const block of blocks) {
      hash.update(block);
      group.append(block);
    }
    group.append(tarPadding(input.size));
    group.place({ index, entry: fileEntry(input, hash), dataOffset });
    if (group.bytes >= groupBytes) await this.#flush(group);
  }

  /** Compresses on its way: the file is never in memory. */
  async #addBig(index: number, input: Extract<TarInput, { kind: 'file' }>): Promise<void> {
    await this.#drain(0);
    const memberOffset = this.#offset;
    const header = headerOf(input);
    const hash = createHash('sha256');
    const blocks = contentOfInput(input, this.#block);
    // Before the header is fed to the compressor, its level must be known.
    const first = await blocks.next();
    const head = first.done === true ? Buffer.alloc(0) : first.value;
    const compressor = createGzip({ level: levels[probe(head)], chunkSize });
    const feed = (chunk: Buffer): Promise<void> =>
      new Promise((resolve, reject) => {
        compressor.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    const produce = async (): Promise<void> => {
      try {
        await feed(header);
        hash.update(head);
        await feed(head);
        for await (const block of blocks) {
          this.#options.signal?.throwIfAborted();
          hash.update(block);
          await feed(block);
        }
        await feed(tarPadding(input.size));
        compressor.end();
      } catch (error) {
        compressor.destroy(error instanceof Error ? error : new Error('aborted', { cause: error }));
        throw error;
      }
    };
    const consume = async (): Promise<void> => {
      const members: AsyncIterable<Buffer> = compressor;
      for await (const chunk of members) await this.#write(chunk);
    };
    const results = await Promise.allSettled([produce(), consume()]);
    await blocks.return();
    // The producer's error is the cause when both failed, unless the consumer's destroyed the compressor under it.
    const failed = results.map((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    const [own = [], other = []] = failed;
    const cause = own.find((error) => !isDestroyed(error)) ?? other[0] ?? own[0];
    if (own.length + other.length > 0) throw cause;
    const where = { memberOffset, memberBytes: this.#offset - memberOffset, dataOffset: header.length };
    this.#files[index] = { ...fileEntry(input, hash), where };
  }

  async #flush(group: Group): Promise<void> {
    if (group.bytes === 0) return;
    const filled = group.takeAll();
    const member = gzipWhole(filled.content, { level: levels[group.kind], chunkSize });
    member.catch(() => undefined); // awaited when its turn comes
    this.#ahead.push({ member, group: filled });
    await this.#drain(membersAhead);
  }

  /** Writes members in their order until at most `left` are on their way. */
  async #drain(left: number): Promise<void> {
    while (this.#ahead.length > left) {
      const next = this.#ahead.shift();
      if (next === undefined) return;
      const member = await next.member;
      for (const { index, entry, dataOffset } of next.group.entries) {
        const where = { memberOffset: this.#offset, memberBytes: member.length, dataOffset };
        this.#files[index] = entry.link === undefined ? { ...entry, where } : entry;
      }
      next.group.giveBack();
      await this.#write(member);
    }
  }

  async #write(chunk: Buffer): Promise<void> {
    this.#hash.update(chunk);
    this.#offset += chunk.length;
    await this.#options.write(chunk);
  }
}

/** Whether content gets smaller, by trying with its beginning. */
function probe(head: Buffer): Kind {
  if (head.length < minProbeBytes) return 'shrinks';
  const sample = head.subarray(0, probeBytes);
  return deflateRawSync(sample, { level: 1 }).length < sample.length * worthwhile ? 'shrinks' : 'stored';
}

function headerOf(input: TarInput): Buffer {
  return input.kind === 'link'
    ? encodeTarHeader({
        kind: 'link',
        path: input.path,
        mode: 0o777,
        size: 0,
        mtimeMs: defaultMtimeMs,
        target: Buffer.from(input.target),
      })
    : encodeTarHeader({ ...input, mtimeMs: input.mtimeMs ?? defaultMtimeMs });
}

function fileEntry(input: Extract<TarInput, { kind: 'file' }>, hash: Hash): FileEntry {
  return { ...filePathOf(input.path), mode: input.mode & 0o7777, size: input.size, sha256: toSha256(hash) };
}

function linkEntry(input: Extract<TarInput, { kind: 'link' }>): FileEntry {
  const sha256 = toSha256(createHash('sha256'));
  return { ...filePathOf(input.path), mode: 0o777, size: 0, sha256, link: input.target };
}

const isDestroyed = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_DESTROYED';
