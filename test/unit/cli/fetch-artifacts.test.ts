import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseFiles, fetchFiles } from '../../../coordinator/cli/artifacts/fetch-artifacts.js';
import type { RemoteArtifact } from '../../../coordinator/cli/artifacts/remote-artifact.js';
import { SafeDirectory } from '../../../coordinator/cli/artifacts/safe-directory.js';
import { PresignedUrl } from '../../../shared/blob/presigned-url.js';
import { packTar, type TarInput } from '../../../shared/blob/seekable-tar.js';
import type { DownloadRequest, Transfer } from '../../../shared/blob/transfer.js';
import { parseSha256, type Sha256 } from '../../../shared/model/ids.js';

const sha256 = (bytes: Buffer): Sha256 => parseSha256(createHash('sha256').update(bytes).digest('hex'))!;
const url = new PresignedUrl('http://127.0.0.1/object?signature');

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gantry-fetch-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function packed(
  files: Readonly<Record<string, string>>,
): Promise<{ artifact: RemoteArtifact; archive: Buffer }> {
  const chunks: Buffer[] = [];
  const inputs = Object.entries(files).map(([path, text]): TarInput =>
    text.startsWith('→')
      ? { kind: 'link', path: Buffer.from(path), target: text.slice(1) }
      : {
          kind: 'file',
          path: Buffer.from(path),
          mode: path.endsWith('.sh') ? 0o755 : 0o644,
          size: Buffer.byteLength(text),
          open: () => Promise.resolve(Readable.from([Buffer.from(text)])),
        },
  );
  const {
    bytes,
    sha256: digest,
    files: entries,
  } = await packTar(inputs, {
    write: (chunk) => {
      chunks.push(Buffer.from(chunk));
      return Promise.resolve();
    },
  });
  const artifact = {
    stage: 's',
    stageNumber: 1,
    name: 'a',
    form: 'tar',
    bytes,
    sha256: digest,
    files: entries,
    url,
  } as const;
  return { artifact, archive: Buffer.concat(chunks) };
}

/** What storage holds; ranges that were asked for are kept. */
function storage(object: Buffer): { transfer: Pick<Transfer, 'get'>; ranges: DownloadRequest['range'][] } {
  const ranges: DownloadRequest['range'][] = [];
  return {
    ranges,
    transfer: {
      get: async function* (request) {
        await Promise.resolve();
        ranges.push(request.range);
        const { start = 0, bytes = object.length } = request.range ?? {};
        yield object.subarray(start, start + bytes);
      },
    },
  };
}

async function fetchAll(
  artifact: RemoteArtifact,
  object: Buffer,
  path?: string,
): Promise<DownloadRequest['range'][]> {
  const { transfer, ranges } = storage(object);
  const into = await SafeDirectory.open(dir);
  try {
    for (const wanted of chooseFiles([artifact], path)) {
      // Only `get` is used for fetching.
      await fetchFiles(wanted, into, {
        transfer: transfer as Transfer,
        signal: new AbortController().signal,
      });
    }
  } finally {
    await into.close();
  }
  return ranges;
}

describe('fetching artifacts', () => {
  it('brings all files of a packed one back, with modes and links, by one request', async () => {
    const { artifact, archive } = await packed({
      'out/a.txt': 'alpha',
      'out/run.sh': 'exit 0',
      'out/link': '→a.txt',
      'out/b/c': 'gamma',
    });
    expect(await fetchAll(artifact, archive)).toEqual([undefined]);
    expect(readFileSync(join(dir, 'out/b/c'), 'utf8')).toBe('gamma');
    expect(statSync(join(dir, 'out/run.sh')).mode & 0o777).toBe(0o755);
    expect(lstatSync(join(dir, 'out/link')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(dir, 'out/link'), 'utf8')).toBe('alpha');
  });

  it('brings one file back by a range request', async () => {
    const big = 'x'.repeat(300_000);
    const { artifact, archive } = await packed({
      'out/big': big,
      'out/small': 'small',
      'out/other': 'other',
    });
    const ranges = await fetchAll(artifact, archive, 'out/small');
    expect(readFileSync(join(dir, 'out/small'), 'utf8')).toBe('small');
    expect(ranges).toHaveLength(1);
    expect(ranges[0]?.bytes).toBeLessThan(archive.length);
  });

  it('refuses what is damaged, and leaves no file of it', async () => {
    const { artifact, archive } = await packed({ 'out/a': 'alpha' });
    const other = await packed({ 'out/a': 'ALPHA' });
    await expect(fetchAll(artifact, other.archive)).rejects.toThrow(/damaged|verification/);
    expect(() => readFileSync(join(dir, 'out/a'))).toThrow('ENOENT');
    await fetchAll(artifact, archive);
  });

  it('takes a directory of an artifact', async () => {
    const { artifact, archive } = await packed({
      'htmlcov/index.html': 'i',
      'htmlcov/x/y': 'y',
      htmlcover: 'no',
    });
    await fetchAll(artifact, archive, 'htmlcov/');
    expect(readFileSync(join(dir, 'htmlcov/x/y'), 'utf8')).toBe('y');
    expect(() => readFileSync(join(dir, 'htmlcover'))).toThrow('ENOENT');
  });

  it('says which files there are when the one asked for is not', async () => {
    const { artifact } = await packed({ 'out/a': 'alpha' });
    expect(() => chooseFiles([artifact], 'nope')).toThrow('no artifact has the file "nope"');
  });

  it('refuses different files of two stages at one path, and takes equal ones', async () => {
    const one = (await packed({ 'out/a': 'alpha', 'out/same': 'same' })).artifact;
    const two = {
      ...(await packed({ 'out/a': 'ALPHA', 'out/same': 'same' })).artifact,
      stage: 't',
      stageNumber: 2,
    };
    expect(() => chooseFiles([one, two], undefined)).toThrow(
      /"out\/a" is in artifact a of stage s and, different, in a of t/,
    );
    expect(chooseFiles([one, two], 'out/same')).toHaveLength(2);
  });

  it('brings a single file back that is stored as it is', async () => {
    const bytes = Buffer.from('wheel');
    const artifact: RemoteArtifact = {
      stage: 's',
      stageNumber: 1,
      name: 'w',
      form: 'file',
      bytes: bytes.length,
      sha256: sha256(bytes),
      files: [{ path: 'dist/x.whl', mode: 0o600, size: bytes.length, sha256: sha256(bytes) }],
      url,
    };
    await fetchAll(artifact, bytes);
    expect(readFileSync(join(dir, 'dist/x.whl'), 'utf8')).toBe('wheel');
  });
});
