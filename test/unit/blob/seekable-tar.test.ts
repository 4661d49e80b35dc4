import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobError } from '../../../shared/blob/blob-error.js';
import { bytesOfFilePath } from '../../../shared/blob/file-path.js';
import { packTar, readPackedFile, unpackTar } from '../../../shared/blob/seekable-tar.js';
import type { PackedTar, TarInput } from '../../../shared/blob/seekable-tar.js';
import type { FileEntry } from '../../../shared/model/artifact.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-tar-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const fileOf = (path: string | Buffer, content: Buffer, mode = 0o644): TarInput => ({
  kind: 'file',
  path: Buffer.from(path),
  mode,
  size: content.length,
  open: () => Promise.resolve(Readable.from(content.length === 0 ? [] : [content])),
});

async function pack(inputs: readonly TarInput[]): Promise<PackedTar & { readonly archive: Buffer }> {
  const chunks: Buffer[] = [];
  const packed = await packTar(inputs, {
    write: (chunk) => {
      chunks.push(chunk);
      return Promise.resolve();
    },
  });
  return { ...packed, archive: Buffer.concat(chunks) };
}

async function collect(content: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Cut into pieces of odd sizes, as a network would. */
async function* inPieces(bytes: Buffer, size = 777): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function unpackAll(archive: Buffer, files: readonly FileEntry[]): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for await (const { path, content } of unpackTar(inPieces(archive), files)) {
    found.set(path.toString('latin1'), await collect(content));
  }
  return found;
}

const readOne = (archive: Buffer, entry: FileEntry): Promise<Buffer> =>
  collect(readPackedFile(entry, ({ start, bytes }) => inPieces(archive.subarray(start, start + bytes))));

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const hostileNames: readonly Buffer[] = [
  'plain.txt',
  'a b',
  'new\nline',
  'tab\t',
  'quote"\'`$',
  '-rf',
  'ünï',
  '日本語',
  '🚂',
  '*?[x]',
  'back\\slash',
  'x'.repeat(99),
  'x'.repeat(100),
  'x'.repeat(101),
  `${'d'.repeat(120)}/${'f'.repeat(200)}`,
  `${'ü/'.repeat(60)}🚂`,
]
  .map((name) => Buffer.from(name))
  .concat([
    Buffer.from([0x66, 0xff, 0xfe, 0x0a]),
    Buffer.concat([Buffer.alloc(150, 0xe9), Buffer.from('.bin')]),
  ]);

describe('a seekable tar', () => {
  it('is read by the system tar, whatever the names, modes and sizes', async () => {
    const inputs = hostileNames.map((name, index) =>
      fileOf(name, randomBytes(index * 100), index % 2 === 0 ? 0o755 : 0o640),
    );
    const big = Buffer.concat([Buffer.alloc(700_000, 'text '), randomBytes(400_000)]);
    const { archive, files } = await pack([
      ...inputs,
      fileOf('big', big, 0o600),
      { kind: 'link', path: Buffer.from('a link'), target: 'plain.txt' },
      { kind: 'link', path: Buffer.from('long link'), target: 't'.repeat(130) },
    ]);
    const out = join(directory, 'out');
    mkdirSync(out);
    writeFileSync(join(directory, 'a.tar.gz'), archive);
    execFileSync('tar', ['xzpf', join(directory, 'a.tar.gz'), '-C', out, '--no-same-owner'], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    expect(files).toHaveLength(inputs.length + 3);
    for (const entry of files) {
      const path = Buffer.concat([Buffer.from(`${out}/`), bytesOfFilePath(entry)]);
      if (entry.link !== undefined) {
        expect(readlinkSync(path)).toBe(entry.link);
        continue;
      }
      expect(sha256(readFileSync(path))).toBe(entry.sha256);
      expect(statSync(path).size).toBe(entry.size);
      expect(statSync(path).mode & 0o7777).toBe(entry.mode);
    }
    expect(execFileSync('gzip', ['-tv', join(directory, 'a.tar.gz')], { stdio: 'pipe' })).toBeDefined();
  });

  it('gives all files back, and each one by its range alone', async () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
      fc.integer({ min: 0, max: 300_000 }).map((size) => Buffer.alloc(size, 'compressible ')),
      fc.integer({ min: 200_000, max: 300_000 }).map((size) => randomBytes(size)),
    );
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 150 })
      .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x41 : byte))));
    const trees = fc.uniqueArray(fc.record({ name, content, mode: fc.integer({ min: 0, max: 0o777 }) }), {
      selector: (file) => file.name.toString('latin1'),
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(trees, async (tree) => {
        const packed = await pack(tree.map((file) => fileOf(file.name, file.content, file.mode)));
        const files = readJson(packed.files);
        expect(packed.bytes).toBe(packed.archive.length);
        expect(packed.sha256).toBe(sha256(packed.archive));
        expect(gunzipSync(packed.archive).length % 512).toBe(0);
        const all = await unpackAll(packed.archive, files);
        for (const [index, file] of tree.entries()) {
          const entry = files[index]!;
          expect(bytesOfFilePath(entry).equals(file.name)).toBe(true);
          expect(entry).toMatchObject({
            mode: file.mode,
            size: file.content.length,
            sha256: sha256(file.content),
          });
          expect(all.get(file.name.toString('latin1'))?.equals(file.content)).toBe(true);
          expect((await readOne(packed.archive, entry)).equals(file.content)).toBe(true);
        }
        expect(all.size).toBe(tree.length);
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  it('shares members between small files and keeps a big one to itself', async () => {
    const small = Array.from({ length: 600 }, (_, index) =>
      fileOf(`small/${index}`, Buffer.alloc(1000, 'a')),
    );
    const { files, archive } = await pack([...small, fileOf('big', Buffer.alloc(2_000_000, 'b'))]);
    const members = new Set(files.map((entry) => entry.where?.memberOffset));
    // 600 files of 1.5 kB with their headers in members of 256 kB, and one.
    expect(members.size).toBe(Math.ceil((600 * 1536) / (256 * 1024)) + 1);
    expect(
      files.filter((entry) => entry.where?.memberOffset === files.at(-1)?.where?.memberOffset),
    ).toHaveLength(1);
    expect(archive.length).toBeLessThan(60_000);
  });

  it('stores what does not get smaller, without cutting the members of the rest short', async () => {
    const inputs = Array.from({ length: 40 }, (_, index) =>
      fileOf(`${index}`, index % 2 === 0 ? randomBytes(20_000) : Buffer.alloc(20_000, 'text')),
    );
    const { files, archive } = await pack([...inputs, fileOf('big', randomBytes(1_000_000))]);
    const members = new Set(files.map((entry) => entry.where?.memberOffset));
    expect(members.size).toBe(2 + 2 + 1);
    expect(archive.length).toBeGreaterThan(1_400_000);
    expect(archive.length).toBeLessThan(1_430_000);
  });

  it('is the same for the same files', async () => {
    const inputs = [fileOf('a', Buffer.from('x')), fileOf('b', Buffer.alloc(500_000, 'y'))];
    expect((await pack(inputs)).sha256).toBe((await pack(inputs)).sha256);
  });

  it('is a valid archive when nothing is in it', async () => {
    const { archive, files } = await pack([]);
    expect(files).toEqual([]);
    expect(gunzipSync(archive)).toEqual(Buffer.alloc(1024));
  });

  it('reads open descriptors and closes them', async () => {
    const path = join(directory, 'file');
    writeFileSync(path, Buffer.alloc(600_000, 'z'));
    const before = readdirSync('/proc/self/fd').length;
    const input: TarInput = {
      kind: 'file',
      path: Buffer.from('f'),
      mode: 0o644,
      size: 600_000,
      open: () => Promise.resolve({ fd: openSync(path, 'r') }),
    };
    const { archive, files } = await pack([input]);
    expect((await readOne(archive, files[0]!)).equals(readFileSync(path))).toBe(true);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it.each([
    { what: 'shrank', size: 1000, actual: 999 },
    { what: 'grew', size: 1000, actual: 1001 },
    { what: 'grew from nothing', size: 0, actual: 1 },
    { what: 'shrank while big', size: 1_000_000, actual: 300_000 },
    { what: 'grew while big', size: 1_000_000, actual: 1_000_001 },
  ])('refuses a file that $what meanwhile', async ({ size, actual }) => {
    const path = join(directory, 'changing');
    writeFileSync(path, Buffer.alloc(actual, 'q'));
    chmodSync(path, 0o600);
    const before = readdirSync('/proc/self/fd').length;
    const packing = pack([
      fileOf('good', Buffer.from('good')),
      {
        kind: 'file',
        path: Buffer.from('changing'),
        mode: 0o644,
        size,
        open: () => Promise.resolve({ fd: openSync(path, 'r') }),
      },
    ]);
    const error = await packing.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BlobError);
    expect((error as BlobError).failure).toMatchObject({ kind: 'source-changed', what: '"changing"' });
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('ends with what writing it fails with', async () => {
    const full = new Error('no space left');
    for (const size of [1000, 3_000_000]) {
      const packing = packTar([fileOf('f', randomBytes(size))], { write: () => Promise.reject(full) });
      await expect(packing).rejects.toBe(full);
    }
  });

  it('ends with the reason of its signal', async () => {
    const control = new AbortController();
    const reason = new Error('not wanted any more');
    const packing = packTar([fileOf('f', randomBytes(5_000_000)), fileOf('g', Buffer.from('g'))], {
      signal: control.signal,
      write: () => {
        control.abort(reason);
        return Promise.resolve();
      },
    });
    await expect(packing).rejects.toBe(reason);
  });

  it('notices damage wherever it is', async () => {
    const { archive, files } = await pack([
      fileOf('a', Buffer.alloc(5000, 'a')),
      fileOf('b', randomBytes(700_000)),
    ]);
    for (const at of [5000, Math.floor(archive.length / 2), files[0]!.where!.memberOffset + 20]) {
      const damaged = Buffer.from(archive);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x40, at);
      const error = await unpackAll(damaged, files).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(BlobError);
      expect((error as BlobError).failure.kind).toBe('verification-failed');
    }
    const cut = await unpackAll(archive.subarray(0, archive.length / 2), files).catch(
      (reason: unknown) => reason,
    );
    expect(cut).toBeInstanceOf(BlobError);
  });

  it('lets its reader leave files unread', async () => {
    const { archive, files } = await pack([fileOf('a', randomBytes(1000)), fileOf('b', Buffer.from('bbb'))]);
    const seen: string[] = [];
    for await (const { path, content } of unpackTar(inPieces(archive), files)) {
      seen.push(path.toString());
      if (path.toString() === 'b') expect((await collect(content)).toString()).toBe('bbb');
    }
    expect(seen).toEqual(['a', 'b']);
  });
});

// As they come out of a manifest.
const readJson = (files: readonly FileEntry[]): readonly FileEntry[] =>
  JSON.parse(JSON.stringify(files)) as readonly FileEntry[];
