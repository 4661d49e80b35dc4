import { linkStaysInside } from '../../shared/model/artifact.js';
import type { PlannedArtifact } from '../../shared/model/pipeline.js';
import { Glob, GlobError, type GlobPosition } from '../workspace/glob.js';
import {
  showPath,
  TreeAccessError,
  withParent,
  type Entry,
  type SafeDirectory,
} from '../workspace/safe-tree.js';
import { safeWalk } from '../workspace/safe-walk.js';
import { ArtifactError, refused } from './artifact-error.js';

/** A file as it was when it was found; it is opened later and must still be this one. */
export type CollectedEntry =
  | { readonly kind: 'file'; readonly entry: Entry }
  | { readonly kind: 'link'; readonly path: Buffer; readonly target: string };

export type CollectedArtifact =
  | {
      readonly kind: 'found';
      readonly artifact: PlannedArtifact;
      /** In the order of the bytes of their names, directory by directory; empty when nothing matched an optional one. */
      readonly entries: readonly CollectedEntry[];
    }
  | { readonly kind: 'failed'; readonly artifact: PlannedArtifact; readonly error: ArtifactError };

/** More files than this in one artifact are refused: its manifest is held in memory by everybody who reads it. */
const maxFiles = 100_000;
/** A workspace with more entries than this is not walked to its end. */
const maxEntries = 2_000_000;

/**
 * Finds the files of the artifacts in a frozen workspace, in one walk. What is wrong with one artifact does not keep the others:
 * `artifact-missing` when nothing matches one that is not optional; `artifact-refused` for links that leave the workspace,
 * for what is no file (FIFO, socket, device), and for a pattern that is none. A tree that changes under the walk, or has no
 * end, is refused for all.
 */
export async function collectArtifacts(
  root: SafeDirectory,
  artifacts: readonly PlannedArtifact[],
  signal?: AbortSignal,
): Promise<readonly CollectedArtifact[]> {
  const searches = artifacts.map((artifact) => new Search(artifact));
  const walk = safeWalk(root, {
    maxEntries,
    enter: (directory) => searches.filter((search) => search.mayMatchBelow(directory.path)).length > 0,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    for await (const entry of walk) {
      for (const search of searches) {
        if (search.matches(entry.path)) await search.take(root, entry);
      }
    }
  } catch (error) {
    if (!(error instanceof TreeAccessError)) throw error;
    for (const search of searches) search.fail(refused(search.artifact.name, error.message, error));
  }
  return searches.map((search) => search.result());
}

async function collected(root: SafeDirectory, entry: Entry, artifact: string): Promise<CollectedEntry> {
  switch (entry.kind) {
    case 'file':
      return { kind: 'file', entry };
    case 'link': {
      const bytes = await withParent(root, entry.path, (parent, last) => parent.readLink(last));
      const target = bytes.toString('utf8');
      const inside = linkStaysInside(entry.path.toString('latin1'), bytes.toString('latin1'));
      if (!inside) {
        throw refused(
          artifact,
          `${showPath(entry.path)} is a symbolic link to ${showPath(bytes)}, which is outside of the workspace or not relative: copy the file instead`,
        );
      }
      if (!Buffer.from(target, 'utf8').equals(bytes)) {
        throw refused(artifact, `${showPath(entry.path)} is a symbolic link whose target is not UTF-8`);
      }
      return { kind: 'link', path: entry.path, target };
    }
    case 'fifo':
    case 'socket':
    case 'device':
    case 'directory':
      throw refused(
        artifact,
        `${showPath(entry.path)} is a ${entry.kind === 'fifo' ? 'named pipe' : entry.kind}, and only files and links can be kept: leave it out of the pattern or remove it`,
      );
  }
}

/** One artifact's patterns on the way through the tree. */
class Search {
  readonly #found: CollectedEntry[] = [];
  readonly #globs: readonly Glob[];
  /** From the root down to where the walk is. */
  readonly #trail: { readonly path: Buffer; readonly positions: readonly GlobPosition[] }[];
  #error: ArtifactError | undefined;

  constructor(readonly artifact: PlannedArtifact) {
    this.#globs = this.#parse();
    this.#trail = [{ path: Buffer.alloc(0), positions: this.#globs.map((glob) => glob.start()) }];
  }

  #parse(): readonly Glob[] {
    try {
      return this.artifact.paths.map((pattern) => new Glob(pattern));
    } catch (error) {
      if (!(error instanceof GlobError)) throw error;
      this.fail(refused(this.artifact.name, error.message, error));
      return [];
    }
  }

  /** Nothing more is looked for after the first. */
  fail(error: ArtifactError): void {
    this.#error ??= error;
  }

  async take(root: SafeDirectory, entry: Entry): Promise<void> {
    const { name } = this.artifact;
    try {
      this.#found.push(await collected(root, entry, name));
    } catch (error) {
      if (error instanceof ArtifactError) this.fail(error);
      else if (error instanceof TreeAccessError) this.fail(refused(name, error.message, error));
      else throw error;
    }
    if (this.#found.length > maxFiles) {
      this.#found.length = 0;
      this.fail(refused(name, `more than ${maxFiles} files match: pack them in a step`));
    }
  }

  mayMatchBelow(directory: Buffer): boolean {
    const positions = this.#step(directory);
    this.#trail.push({ path: directory, positions });
    return this.#error === undefined && positions.some((position) => position.mayMatchBelow);
  }

  matches(path: Buffer): boolean {
    return this.#error === undefined && this.#step(path).some((position) => position.matches);
  }

  result(): CollectedArtifact {
    const { artifact } = this;
    if (this.#error !== undefined) return { kind: 'failed', artifact, error: this.#error };
    if (this.#found.length === 0 && !artifact.optional) {
      const pattern = artifact.paths.join(', ');
      const error = new ArtifactError({ kind: 'artifact-missing', artifact: artifact.name, pattern });
      return { kind: 'failed', artifact, error };
    }
    return { kind: 'found', artifact, entries: this.#found };
  }

  #step(path: Buffer): readonly GlobPosition[] {
    const cut = path.lastIndexOf(0x2f);
    const parent = path.subarray(0, Math.max(cut, 0));
    const name = path.subarray(cut + 1);
    // The walk is depth first, so the parent is the last one on the trail that is still open.
    while (this.#trail.length > 1 && !this.#trail.at(-1)?.path.equals(parent)) this.#trail.pop();
    const positions = this.#trail.at(-1)?.positions ?? [];
    return this.#globs.map((glob, index) => {
      const position = positions[index];
      return position === undefined ? nowhere : glob.step(position, name, cut === -1);
    });
  }
}

const nowhere: GlobPosition = { matches: false, mayMatchBelow: false, states: new Set() };
