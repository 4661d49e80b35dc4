import { TreeAccessError, type Entry, type SafeDirectory } from './safe-tree.js';

export interface WalkOptions {
  /** Asked before a directory is entered. */
  readonly enter: (entry: Entry) => boolean;
  /** More entries than this are an error: a step can make millions. */
  readonly maxEntries: number;
  readonly signal?: AbortSignal;
}

/** Deeper trees are refused: each level holds a descriptor. */
const maxDepth = 200;

/**
 * Everything below `root` that is no directory, in the order of the bytes of its names, directory by directory. Nothing is
 * followed: each directory is entered by descriptor and one component at a time, so that one which is swapped for a link
 * meanwhile is an error and no way out. Special files are named, not opened. Throws `TreeAccessError`.
 */
export async function* safeWalk(root: SafeDirectory, options: WalkOptions): AsyncGenerator<Entry, void> {
  const left = { entries: options.maxEntries };
  yield* walk(root, options, left, 0);
}

async function* walk(
  directory: SafeDirectory,
  options: WalkOptions,
  left: { entries: number },
  depth: number,
): AsyncGenerator<Entry, void> {
  if (depth > maxDepth)
    throw new TreeAccessError(directory.path, `is more than ${maxDepth} directories deep`);
  const names = await directory.names(left.entries);
  left.entries -= names.length;
  for (const name of names) {
    options.signal?.throwIfAborted();
    const entry = await directory.look(name);
    if (entry === undefined) continue; // removed since it was listed
    if (entry.kind !== 'directory') {
      yield entry;
      continue;
    }
    if (!options.enter(entry)) continue;
    const child = await directory.enter(name);
    try {
      yield* walk(child, options, left, depth + 1);
    } finally {
      await child.close();
    }
  }
}
