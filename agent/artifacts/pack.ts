import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import * as fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { BlobError } from '../../shared/blob/blob-error.js';
import { filePathOf } from '../../shared/blob/file-path.js';
import { packTar, type TarInput } from '../../shared/blob/seekable-tar.js';
import { toSha256 } from '../../shared/blob/sha256.js';
import type { Transfer } from '../../shared/blob/transfer.js';
import type { Manifest, ManifestArtifact } from '../../shared/model/artifact.js';
import type { Failure } from '../../shared/model/failure.js';
import type { Sha256 } from '../../shared/model/ids.js';
import type { PlannedArtifact } from '../../shared/model/pipeline.js';
import { SafeDirectory, TreeAccessError, withParent, type Entry } from '../workspace/safe-tree.js';
import type { ArtifactAccess } from './artifact-access.js';
import { ArtifactError, refused } from './artifact-error.js';
import { canonicalJson } from './canonical-json.js';
import { collectArtifacts, type CollectedArtifact, type CollectedEntry } from './collect.js';
import { storageFailure } from './storage-failure.js';
import { uploadFile } from './upload-file.js';

const closeFile = promisify(fs.close);

export interface KeepRequest {
  /** The workspace of the attempt; nothing runs in it any more. */
  readonly workspaceDir: string;
  /** Those whose `when` fits the attempt's outcome. */
  readonly artifacts: readonly PlannedArtifact[];
  /** A directory that no step can reach, on a disk with room for the largest archive. */
  readonly scratchDir: string;
  readonly access: ArtifactAccess;
  readonly transfer: Transfer;
  readonly signal: AbortSignal;
  /** Told before each artifact is packed and sent. */
  readonly onProgress?: (activity: string) => void;
}

export interface KeptArtifacts {
  /** Of `manifest.json` as it is stored. Absent: there was nothing to keep. */
  readonly manifest?: { readonly sha256: Sha256; readonly bytes: number };
  /** The first thing that is wrong with an artifact itself; the others are kept nevertheless. */
  readonly failure?: ArtifactFailure;
}

type ArtifactFailure = Extract<Failure, { kind: 'artifact-missing' | 'artifact-refused' }>;

/**
 * Takes the artifacts out of a frozen workspace: finds, packs and uploads them, the manifest last. Safe to repeat: the same
 * keys are written again.
 *
 * Throws `ArtifactError` when storage or the disk fails us, the signal's reason when it aborts, and what `access` throws.
 */
export async function keepArtifacts(request: KeepRequest): Promise<KeptArtifacts> {
  if (request.artifacts.length === 0) return {};
  const root = await SafeDirectory.open(request.workspaceDir);
  try {
    const kept: ManifestArtifact[] = [];
    let failure: ArtifactFailure | undefined;
    for (const found of await collectArtifacts(root, request.artifacts, request.signal)) {
      try {
        if (found.kind === 'failed') throw found.error;
        if (found.entries.length === 0) continue;
        request.onProgress?.(`uploading artifact ${found.artifact.name}`);
        kept.push(await keepOne(root, found, request));
      } catch (error) {
        if (!(error instanceof ArtifactError) || !isTheirs(error.failure)) throw error;
        failure ??= error.failure;
      }
    }
    return {
      ...(kept.length === 0 ? {} : { manifest: await putManifest({ v: 1, artifacts: kept }, request) }),
      ...(failure === undefined ? {} : { failure }),
    };
  } finally {
    await root.close();
  }
}

const isTheirs = (failure: ArtifactError['failure']): failure is ArtifactFailure =>
  failure.kind === 'artifact-missing' || failure.kind === 'artifact-refused';

async function keepOne(
  root: SafeDirectory,
  { artifact, entries }: Extract<CollectedArtifact, { kind: 'found' }>,
  request: KeepRequest,
): Promise<ManifestArtifact> {
  const [first] = entries;
  try {
    const stored =
      entries.length === 1 && first?.kind === 'file'
        ? await keepFile(root, artifact, first.entry, request)
        : await keepTar(root, artifact, entries, request);
    await checkUnchanged(root, artifact.name, entries);
    return { number: artifact.number, name: artifact.name, ...stored };
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof TreeAccessError) throw refused(artifact.name, error.message, error);
    if (error instanceof BlobError) throw storageFailure(error, artifact.name);
    throw error;
  }
}

type Stored = Omit<ManifestArtifact, 'number' | 'name'>;

async function keepFile(
  root: SafeDirectory,
  artifact: PlannedArtifact,
  entry: Entry,
  request: KeepRequest,
): Promise<Stored> {
  const fd = await openSame(root, entry);
  try {
    const { bytes, sha256 } = await uploadFile(
      { file: fd, start: 0, bytes: entry.size },
      request.access.upload({ number: artifact.number, bytes: entry.size }),
      request,
    );
    const file = { ...filePathOf(entry.path), mode: entry.mode & 0o777, size: bytes, sha256 };
    return { form: 'file', bytes, sha256, files: [file] };
  } finally {
    await closeFile(fd);
  }
}

/** By way of a file, because an upload's length must be known before it begins. */
async function keepTar(
  root: SafeDirectory,
  artifact: PlannedArtifact,
  entries: readonly CollectedEntry[],
  request: KeepRequest,
): Promise<Stored> {
  const archive = path.join(request.scratchDir, `artifact-${artifact.number}.tar.gz`);
  await rm(archive, { force: true });
  const handle = await open(archive, 'wx', 0o600);
  try {
    const packed = await packTar(tarInputs(root, entries), {
      signal: request.signal,
      write: async (chunk) => {
        for (let done = 0; done < chunk.length;) {
          done += (await handle.write(chunk, done, chunk.length - done)).bytesWritten;
        }
      },
    });
    const { bytes, sha256 } = await uploadFile(
      { file: archive, start: 0, bytes: packed.bytes },
      request.access.upload({ number: artifact.number, bytes: packed.bytes }),
      request,
    );
    if (sha256 !== packed.sha256) throw new Error(`${archive} is not what was written to it`);
    return { form: 'tar', bytes, sha256, files: packed.files };
  } finally {
    await handle.close();
    await rm(archive, { force: true });
  }
}

function* tarInputs(root: SafeDirectory, entries: readonly CollectedEntry[]): Generator<TarInput> {
  for (const item of entries) {
    if (item.kind === 'link') {
      yield item;
      continue;
    }
    const { entry } = item;
    yield {
      kind: 'file',
      path: entry.path,
      mode: entry.mode & 0o777,
      size: entry.size,
      mtimeMs: entry.modifiedMs,
      open: async () => ({ fd: await openSame(root, entry) }),
    };
  }
}

/** Opens the file that was found, not another one that was put in its place. */
async function openSame(root: SafeDirectory, entry: Entry): Promise<number> {
  const { fd, entry: now } = await withParent(root, entry.path, (parent, name) => parent.openFile(name));
  if (isSame(now, entry)) return fd;
  await closeFile(fd);
  throw new TreeAccessError(entry.path, changed);
}

/** What grew while it was read was cut off at its former size: better no artifact than half of one. */
async function checkUnchanged(
  root: SafeDirectory,
  artifact: string,
  entries: readonly CollectedEntry[],
): Promise<void> {
  for (const item of entries) {
    if (item.kind === 'link') continue;
    const now = await withParent(root, item.entry.path, (parent, name) => parent.look(name));
    if (now === undefined || !isSame(now, item.entry)) {
      throw refused(artifact, new TreeAccessError(item.entry.path, changed).message);
    }
  }
}

const changed = 'changed while it was packed: something still writes to it';

const isSame = (a: Entry, b: Entry): boolean =>
  a.kind === b.kind &&
  a.device === b.device &&
  a.inode === b.inode &&
  a.size === b.size &&
  a.modifiedMs === b.modifiedMs;

async function putManifest(
  manifest: Manifest,
  request: KeepRequest,
): Promise<{ readonly sha256: Sha256; readonly bytes: number }> {
  const bytes = Buffer.from(canonicalJson(manifest));
  const sha256 = toSha256(createHash('sha256').update(bytes));
  const url = await request.access.presign({ kind: 'put-manifest' }, request.signal);
  try {
    await request.transfer.putBytes(bytes, url, request.signal);
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof BlobError) throw storageFailure(error, 'manifest');
    throw error;
  }
  return { sha256, bytes: bytes.length };
}
