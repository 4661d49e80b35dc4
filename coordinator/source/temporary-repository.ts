import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { makeEmptyRepository } from '../../shared/git/empty-repository.js';

export interface TemporaryRepository {
  /** The bare repository. */
  readonly gitDir: string;
  readonly objects: string;
  /** Where an index for `GIT_INDEX_FILE` may be put; nothing is there yet. */
  readonly index: string;
}

export interface TemporaryRepositoryOptions {
  /** Object directory of another repository, read through, never written to. */
  readonly alternate?: string;
  /** Default sha1. */
  readonly objectFormat?: string;
}

/** Lends a bare repository that is gone afterwards, whatever happens. */
export async function withTemporaryRepository<T>(
  options: TemporaryRepositoryOptions,
  use: (repository: TemporaryRepository) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'gantry-tree-'));
  try {
    const gitDir = path.join(directory, 'repository.git');
    await makeEmptyRepository(gitDir, {
      bare: true,
      commitLength: options.objectFormat === 'sha256' ? 64 : 40,
    });
    const objects = path.join(gitDir, 'objects');
    if (options.alternate !== undefined) {
      await writeFile(path.join(objects, 'info', 'alternates'), `${alternateLine(options.alternate)}\n`);
    }
    return await use({ gitDir, objects, index: path.join(directory, 'index') });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** git reads a line that starts with `"` as a C string; a path with a line end in it needs that form. */
function alternateLine(directory: string): string {
  if (!/^["#]|[\n\\]/.test(directory)) return directory;
  return `"${directory.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n')}"`;
}
