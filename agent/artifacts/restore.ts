import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { BlobError } from '../../shared/blob/blob-error.js';
import { bytesOfFilePath } from '../../shared/blob/file-path.js';
import type { Transfer } from '../../shared/blob/transfer.js';
import { unpackTar } from '../../shared/blob/seekable-tar.js';
import type { NeededArtifacts } from '../../shared/model/agent.js';
import type { FileEntry, Manifest, ManifestArtifact } from '../../shared/model/artifact.js';
import { parseManifest } from '../../shared/model/manifest.js';
import { showPath, TreeAccessError } from '../workspace/safe-tree.js';
import { FilePlacer, type Owner } from '../workspace/write-files.js';
import type { ArtifactAccess } from './artifact-access.js';
import { ArtifactError } from './artifact-error.js';
import { planPlacement, type Placement } from './placement.js';
import { storageFailure } from './storage-failure.js';

const writeFile = promisify(fs.write);

export interface RestoreRequest {
  /** A fresh checkout; no step has run in it. */
  readonly workspaceDir: string;
  readonly needs: readonly NeededArtifacts[];
  /** Who shall own the files; absent: the agent's own user. */
  readonly owner?: Owner;
  readonly access: Pick<ArtifactAccess, 'presign'>;
  readonly transfer: Transfer;
  readonly signal: AbortSignal;
  readonly onProgress?: (activity: string) => void;
}

/**
 * Brings the artifacts of the needed stages into the workspace, at their paths, every file checked against its SHA-256. A
 * file of the checkout at such a path is replaced. All conflicts are found by the manifests, before a file is written.
 *
 * Throws `ArtifactError`: `artifact-conflict` or `storage-unavailable`; the signal's reason when it aborts; what `access`
 * throws. Afterwards the workspace may hold a part of the files, and is of no use.
 */
export async function restoreArtifacts(request: RestoreRequest): Promise<void> {
  if (request.needs.length === 0) return;
  const manifests = new Map<NeededArtifacts, Manifest>();
  for (const need of request.needs) manifests.set(need, await getManifest(need, request));
  const placement = planPlacement(manifests);
  const placer = await FilePlacer.open(request.workspaceDir, request.owner);
  try {
    for (const [need, manifest] of manifests) {
      for (const artifact of manifest.artifacts) {
        request.onProgress?.(`fetching artifact ${artifact.name} of ${need.title}`);
        await bring(need, artifact, placement, placer, request);
      }
    }
    // Links last, so that no file is on its way through one that has just been made.
    for (const link of placement.links) await placer.placeLink(link.path, link.target);
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof TreeAccessError) {
      throw new ArtifactError(
        {
          kind: 'artifact-conflict',
          path: showPath(error.path),
          message: `an artifact of a needed stage cannot be put there, because the checkout's ${showPath(error.path)} ${error.reason}`,
        },
        error,
      );
    }
    throw error;
  } finally {
    await placer.close();
  }
}

async function getManifest(need: NeededArtifacts, request: RestoreRequest): Promise<Manifest> {
  const url = await request.access.presign({ kind: 'get-manifest', stage: need.stage }, request.signal);
  const what = `manifest of ${need.title}`;
  try {
    const bytes = await request.transfer.getBytes({
      url,
      bytes: need.manifest.bytes,
      sha256: need.manifest.sha256,
      maxBytes: need.manifest.bytes,
      signal: request.signal,
    });
    const result = parseManifest(JSON.parse(bytes.toString('utf8')));
    if (result.kind === 'invalid') throw damaged(what, result.message);
    return result.manifest;
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof BlobError) throw storageFailure(error, what);
    if (error instanceof SyntaxError) throw damaged(what, 'it is no JSON', error);
    throw error;
  }
}

async function bring(
  need: NeededArtifacts,
  artifact: ManifestArtifact,
  placement: Placement,
  placer: FilePlacer,
  request: RestoreRequest,
): Promise<void> {
  const wanted = artifact.files.filter((file) => placement.writes.has(file));
  if (wanted.length === 0) return;
  const { number, bytes, sha256 } = artifact;
  const url = await request.access.presign(
    { kind: 'get-artifact', stage: need.stage, number },
    request.signal,
  );
  const object = request.transfer.get({ url, bytes, sha256, signal: request.signal });
  const what = `artifact ${artifact.name} of ${need.title}`;
  try {
    if (artifact.form === 'tar') {
      for await (const file of unpackTar(object, artifact.files)) {
        if (placement.writes.has(file.entry)) await place(file.entry, file.content, placer);
      }
    } else {
      // The object is the file: its digest is checked at its end.
      for (const file of wanted) await place(file, object, placer);
    }
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof BlobError) throw storageFailure(error, what);
    throw error;
  }
}

async function place(file: FileEntry, content: AsyncIterable<Buffer>, placer: FilePlacer): Promise<void> {
  await placer.placeFile({ path: bytesOfFilePath(file), mode: file.mode }, async (fd) => {
    for await (const chunk of content) {
      for (let done = 0; done < chunk.length;) {
        done += (await writeFile(fd, chunk, done, chunk.length - done)).bytesWritten;
      }
    }
  });
}

const damaged = (what: string, why: string, cause?: unknown): ArtifactError =>
  new ArtifactError({ kind: 'storage-unavailable', message: `${what} is damaged: ${why}` }, cause);
