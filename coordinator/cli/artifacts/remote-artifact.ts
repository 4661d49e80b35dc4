/** Artifacts as the coordinator names them, with the entries of their manifests and a URL to fetch them by. */
import { PresignedUrl } from '../../../shared/blob/presigned-url.js';
import { filePathOf } from '../../../shared/blob/file-path.js';
import type { FileEntry } from '../../../shared/model/artifact.js';
import { parseSha256, type Sha256 } from '../../../shared/model/ids.js';
import type { ArtifactFile__Output } from '../../../shared/wire/gen/gantry/v1/ArtifactFile.js';
import type { ArtifactView__Output } from '../../../shared/wire/gen/gantry/v1/ArtifactView.js';
import { oneOf, parsed, required } from '../../../shared/wire/wire-error.js';

export interface RemoteArtifact {
  /** Title of the stage. */
  readonly stage: string;
  readonly stageNumber: number;
  readonly name: string;
  readonly form: 'file' | 'tar';
  /** Of the stored object. */
  readonly bytes: number;
  readonly sha256: Sha256;
  readonly files: readonly FileEntry[];
  readonly url?: PresignedUrl;
}

export function artifactFromMessage(message: ArtifactView__Output): RemoteArtifact {
  const object = required('artifact.object', message.object);
  return {
    stage: message.stage ?? '',
    stageNumber: message.stageNumber ?? 0,
    name: message.name ?? '',
    form: oneOf('artifact.form', ['file', 'tar'], message.form),
    bytes: object.bytes ?? 0,
    sha256: parsed('artifact.object.sha256', 'a SHA-256', parseSha256, object.sha256),
    files: (message.files ?? []).map(entryFromMessage),
    ...(message.get == null ? {} : { url: new PresignedUrl(message.get.url ?? '') }),
  };
}

function entryFromMessage(file: ArtifactFile__Output): FileEntry {
  const bytes =
    file.pathBytes === undefined || file.pathBytes.length === 0
      ? Buffer.from(file.path ?? '')
      : file.pathBytes;
  const { memberOffset, memberBytes, dataOffset, link = '' } = file;
  return {
    ...filePathOf(bytes),
    mode: (file.mode ?? 0o644) & 0o7777,
    size: file.size ?? 0,
    sha256: parsed('artifact.file.sha256', 'a SHA-256', parseSha256, file.sha256),
    ...(link === '' ? {} : { link }),
    ...(memberOffset === undefined || memberBytes === undefined || dataOffset === undefined
      ? {}
      : { where: { memberOffset, memberBytes, dataOffset } }),
  };
}
