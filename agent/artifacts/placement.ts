import { bytesOfFilePath } from '../../shared/blob/file-path.js';
import type { NeededArtifacts } from '../../shared/model/agent.js';
import type { FileEntry, Manifest } from '../../shared/model/artifact.js';
import { showPath } from '../workspace/safe-tree.js';
import { ArtifactError } from './artifact-error.js';

/** Which entries of the manifests are written: of several that are the same file of the same stage, the first. */
export interface Placement {
  readonly writes: ReadonlySet<FileEntry>;
  readonly links: readonly { readonly path: Buffer; readonly target: string }[];
}

/**
 * Decides what is written where. Two stages that bring one path are an `artifact-conflict`, also when one brings a file
 * where the other has a directory. Artifacts of one stage may overlap, because their files are the same.
 */
export function planPlacement(manifests: ReadonlyMap<NeededArtifacts, Manifest>): Placement {
  const writes = new Set<FileEntry>();
  const links: { path: Buffer; target: string }[] = [];
  // Paths as bytes, one character each. `directory`: something is written below it.
  const taken = new Map<string, { readonly need: NeededArtifacts; readonly directory: boolean }>();
  for (const [need, manifest] of manifests) {
    for (const file of manifest.artifacts.flatMap((artifact) => artifact.files)) {
      const bytes = bytesOfFilePath(file);
      const path = bytes.toString('latin1');
      const there = taken.get(path);
      if (there?.need === need && !there.directory) continue;
      if (there !== undefined) throw conflict(bytes, there.need, need);
      taken.set(path, { need, directory: false });
      for (let cut = path.lastIndexOf('/'); cut !== -1; cut = path.lastIndexOf('/', cut - 1)) {
        const parent = path.slice(0, cut);
        const above = taken.get(parent);
        if (above !== undefined && !above.directory) {
          throw conflict(Buffer.from(parent, 'latin1'), above.need, need);
        }
        if (above !== undefined) break;
        taken.set(parent, { need, directory: true });
        if (cut === 0) break;
      }
      if (file.link === undefined) writes.add(file);
      else links.push({ path: bytes, target: file.link });
    }
  }
  return { writes, links };
}

function conflict(path: Buffer, first: NeededArtifacts, second: NeededArtifacts): ArtifactError {
  return new ArtifactError({
    kind: 'artifact-conflict',
    path: showPath(path),
    message: `the needed stages ${first.title} and ${second.title} both bring it: let one of them write another path`,
  });
}
