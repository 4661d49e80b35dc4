import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { FileEntry } from '../model/artifact.js';
import { BlobError } from './blob-error.js';
import { ByteReader } from './byte-reader.js';
import { bytesOfFilePath, showPath } from './file-path.js';
import { toSha256 } from './sha256.js';
import type { UnpackedFile } from './tar-types.js';

/**
 * The listed files of an archive, member by member, each checked against its entry, while the archive streams by. Files
 * are found by the manifest's offsets, so that what the archive's own headers say does not matter; links come last. Where a
 * file may be written to is the caller's to check (`unsafeReason`, links). Throws `verification-failed` for what is damaged,
 * and what reading the archive throws.
 */
export async function* unpackTar(
  archive: AsyncIterable<Buffer>,
  files: readonly FileEntry[],
): AsyncGenerator<UnpackedFile, void, undefined> {
  const reader = new ByteReader(archive);
  try {
    for (const { offset, bytes, files: inMember } of membersOf(files)) {
      await reader.skipTo(offset);
      yield* unpackMember(reader.take(bytes), inMember);
      await reader.skipTo(offset + bytes);
    }
    // Its source may check the digest of the whole at its end.
    await reader.drain();
  } finally {
    await reader.close();
  }
  for (const entry of files) {
    if (entry.link !== undefined) yield { entry, path: bytesOfFilePath(entry), content: nothing() };
  }
}

/**
 * One file by one range request: `fetch` gives `bytes` bytes of the archive from `start` on. Throws `verification-failed`
 * at the end of wrong bytes.
 */
export async function* readPackedFile(
  entry: FileEntry,
  fetch: (range: { readonly start: number; readonly bytes: number }) => AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const { memberOffset, memberBytes, dataOffset } = placeOf(entry);
  const reader = new ByteReader(inflated(fetch({ start: memberOffset, bytes: memberBytes })));
  try {
    await reader.skipTo(dataOffset);
    yield* verified(reader.take(entry.size), entry);
  } finally {
    // What follows in the member are other files.
    await reader.close();
  }
}

interface Member {
  readonly offset: number;
  readonly bytes: number;
  readonly files: FileEntry[];
}

/** In the order of the archive. */
function membersOf(files: readonly FileEntry[]): readonly Member[] {
  const members = new Map<number, Member>();
  for (const entry of files) {
    if (entry.link !== undefined) continue;
    const { memberOffset: offset, memberBytes: bytes } = placeOf(entry);
    const member = members.get(offset) ?? { offset, bytes, files: [] };
    member.files.push(entry);
    members.set(offset, member);
  }
  return [...members.values()].sort((a, b) => a.offset - b.offset);
}

async function* unpackMember(
  member: AsyncIterable<Buffer>,
  files: readonly FileEntry[],
): AsyncGenerator<UnpackedFile, void, undefined> {
  const reader = new ByteReader(inflated(member));
  try {
    const inOrder = [...files].sort((a, b) => placeOf(a).dataOffset - placeOf(b).dataOffset);
    for (const entry of inOrder) {
      await reader.skipTo(placeOf(entry).dataOffset);
      const end = reader.position + entry.size;
      yield {
        entry,
        path: bytesOfFilePath(entry),
        content: verified(reader.take(entry.size), entry),
      };
      // What the consumer left unread.
      await reader.skipTo(end);
    }
  } finally {
    await reader.close();
  }
}

async function* verified(
  content: AsyncIterable<Buffer>,
  entry: FileEntry,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  for await (const chunk of content) {
    hash.update(chunk);
    yield chunk;
  }
  const sha256 = toSha256(hash);
  if (sha256 !== entry.sha256) {
    throw damaged(showPath(bytesOfFilePath(entry)), `SHA-256 ${entry.sha256}`, sha256);
  }
}

/** Inflates gzip members, no faster than its consumer takes. */
async function* inflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const compressed = Readable.from(source, { objectMode: false });
  const gunzip = createGunzip({ chunkSize: 128 * 1024 });
  // What the source throws is the cause of what happens to the inflater.
  compressed.once('error', (error) => gunzip.destroy(error));
  compressed.pipe(gunzip);
  try {
    const chunks: AsyncIterable<Buffer> = gunzip;
    yield* chunks;
  } catch (error) {
    if (!isZlibError(error)) throw error;
    throw damaged('an archive', 'gzip members', error.message);
  } finally {
    compressed.destroy();
    gunzip.destroy();
  }
}

async function* nothing(): AsyncGenerator<Buffer, void, undefined> {
  // A link has no content.
}

const isZlibError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('Z_');

function placeOf(entry: FileEntry): NonNullable<FileEntry['where']> {
  if (entry.where !== undefined) return entry.where;
  const what = showPath(bytesOfFilePath(entry));
  throw damaged(what, 'a place in the archive', 'none in the manifest');
}

const damaged = (what: string, expected: string, actual: string): BlobError =>
  new BlobError({ kind: 'verification-failed', what, expected, actual });
