/** Fetching artifacts into a directory, streaming, each file verified against its SHA-256 before it appears. */
import { bytesOfFilePath, showPath } from '../../../shared/blob/file-path.js';
import type { PresignedUrl } from '../../../shared/blob/presigned-url.js';
import { readPackedFile, unpackTar } from '../../../shared/blob/seekable-tar.js';
import type { Transfer } from '../../../shared/blob/transfer.js';
import type { FileEntry } from '../../../shared/model/artifact.js';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import type { RemoteArtifact } from './remote-artifact.js';
import type { SafeDirectory } from './safe-directory.js';

/** What is fetched of one artifact: all of it, or these files. */
export interface Wanted {
  readonly artifact: RemoteArtifact;
  readonly files: readonly FileEntry[];
}

/** `path`: a file, or a directory with all that is below it; absent: everything. Throws when it is nowhere. */
export function chooseFiles(
  artifacts: readonly RemoteArtifact[],
  path: string | undefined,
): readonly Wanted[] {
  const wanted = artifacts
    .map((artifact) => ({
      artifact,
      files:
        path === undefined
          ? artifact.files
          : artifact.files.filter((file) => isAt(bytesOfFilePath(file), path)),
    }))
    .filter(({ files }) => files.length > 0);
  if (path !== undefined && wanted.length === 0) {
    const known = artifacts.flatMap((artifact) => artifact.files).slice(0, 10);
    throw new CliError(exitCodes.notFound, `no artifact has the file ${JSON.stringify(path)}`, {
      remedies: [
        `they have: ${known.map((file) => showPath(bytesOfFilePath(file))).join(', ')}${known.length === 10 ? ' …' : ''}`,
      ],
    });
  }
  checkConflicts(wanted);
  return wanted;
}

function isAt(file: Buffer, path: string): boolean {
  const asked = Buffer.from(path.replace(/\/+$/, ''));
  return file.equals(asked) || (file.subarray(0, asked.length).equals(asked) && file[asked.length] === 0x2f);
}

/** Files land at the paths they had in the workspace, so two stages must not bring different ones to one place. */
function checkConflicts(wanted: readonly Wanted[]): void {
  const taken = new Map<string, { readonly sha256: string; readonly artifact: RemoteArtifact }>();
  for (const { artifact, files } of wanted) {
    for (const file of files) {
      const path = bytesOfFilePath(file);
      const key = path.toString('latin1');
      const there = taken.get(key);
      if (there !== undefined && there.sha256 !== file.sha256) {
        throw new CliError(
          exitCodes.refused,
          `${showPath(path)} is in artifact ${there.artifact.name} of stage ${there.artifact.stage} and, different, in ${artifact.name} of ${artifact.stage}`,
          {
            remedies: [
              'fetch them one by one into directories of their own: name the stage (its number, or --cell), and -o DIR',
            ],
          },
        );
      }
      taken.set(key, { sha256: file.sha256, artifact });
    }
  }
}

export async function fetchFiles(
  { artifact, files }: Wanted,
  into: SafeDirectory,
  options: { readonly transfer: Transfer; readonly signal: AbortSignal },
): Promise<void> {
  const { transfer, signal } = options;
  const url = urlOf(artifact);
  const whole = files.length === artifact.files.length;
  if (artifact.form === 'file') {
    for (const file of files) {
      const content = transfer.get({ url, bytes: file.size, sha256: file.sha256, signal });
      await into.writeFile(bytesOfFilePath(file), file.mode, content);
    }
    return;
  }
  if (whole) {
    const archive = transfer.get({ url, bytes: artifact.bytes, sha256: artifact.sha256, signal });
    for await (const { entry, path, content } of unpackTar(archive, files)) {
      if (entry.link === undefined) await into.writeFile(path, entry.mode, content);
      else await into.writeLink(path, entry.link);
    }
    return;
  }
  for (const entry of files) {
    const path = bytesOfFilePath(entry);
    if (entry.link !== undefined) await into.writeLink(path, entry.link);
    else
      await into.writeFile(
        path,
        entry.mode,
        readPackedFile(entry, (range) => transfer.get({ url, range, signal })),
      );
  }
}

function urlOf(artifact: RemoteArtifact): PresignedUrl {
  if (artifact.url !== undefined) return artifact.url;
  throw new CliError(
    exitCodes.ours,
    `the coordinator gave no URL for artifact ${artifact.name} of stage ${artifact.stage}`,
  );
}
