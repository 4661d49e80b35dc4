/** Artifacts of a run: manifests are read from storage, checked against the journal's SHA-256, and kept a while. */
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import { BlobError } from '../../shared/blob/blob-error.js';
import { artifactKey } from '../../shared/blob/layout.js';
import type { FileEntry, Manifest, ManifestArtifact } from '../../shared/model/artifact.js';
import type { AttemptRef, Sha256 } from '../../shared/model/ids.js';
import type { ArtifactView } from '../../shared/model/run.js';
import { readManifest } from '../history/read-manifest.js';
import { latestResult } from '../history/record.js';
import { ApiError } from './api-error.js';
import { selectStages, type FoundRun } from './run-lookup.js';
import type { Services } from './services.js';

export interface FoundArtifact {
  readonly stage: string;
  readonly stageNumber: number;
  readonly artifact: ManifestArtifact;
  readonly get?: PresignedUrl;
}

const presignSeconds = 3600;

export async function artifactsOf(
  services: Services,
  found: FoundRun,
  query: { readonly stage: string; readonly name: string; readonly presign: boolean },
): Promise<readonly FoundArtifact[]> {
  const stages = selectStages(found.view, query.stage);
  const artifacts: FoundArtifact[] = [];
  for (const stage of stages) {
    const result = latestResult(found.results, stage.number);
    if (result?.manifest === undefined) continue;
    const ref: AttemptRef = result.from ?? {
      run: found.view.run,
      stage: stage.number,
      attempt: result.attempt,
    };
    const manifest = await manifestOf(services, ref, result.manifest.sha256);
    for (const artifact of manifest.artifacts) {
      if (query.name !== '' && artifact.name !== query.name) continue;
      const key = artifactKey(ref, artifact.number);
      artifacts.push({
        stage: stage.title,
        stageNumber: stage.number,
        artifact,
        ...(query.presign
          ? { get: await services.blobs.presignGet(key, { expiresSeconds: presignSeconds }) }
          : {}),
      });
    }
  }
  return artifacts;
}

export const artifactViews = (artifacts: readonly FoundArtifact[]): readonly ArtifactView[] =>
  artifacts.map(({ stage, stageNumber, artifact }) => ({
    stage,
    stageNumber,
    name: artifact.name,
    files: artifact.files.map((file) => ({
      path: shownPath(file),
      mode: file.mode,
      size: file.size,
      sha256: file.sha256,
    })),
  }));

export const pathBytes = (file: FileEntry): Buffer =>
  'path' in file ? Buffer.from(file.path) : Buffer.from(file.pathBase64, 'base64');

/** Lossy where the name is not UTF-8. */
export const shownPath = (file: FileEntry): string => pathBytes(file).toString();

async function manifestOf(services: Services, ref: AttemptRef, sha256: Sha256): Promise<Manifest> {
  const cached = services.manifests.get(sha256);
  if (cached !== undefined) return cached;
  try {
    const manifest = await readManifest(services.blobs, ref, sha256);
    services.manifests.set(sha256, manifest);
    return manifest;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    throw new ApiError('unavailable', `the manifest of stage ${ref.stage} cannot be read: ${error.message}`, {
      cause: error,
    });
  }
}
