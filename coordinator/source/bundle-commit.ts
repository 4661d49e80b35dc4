import { stat } from 'node:fs/promises';
import path from 'node:path';
import { isolatedEnvironment } from '../../shared/git/git-environment.js';
import { runGit } from '../../shared/git/git-program.js';
import { submittedRef } from '../../shared/git/refs.js';
import type { CommitId, Sha256 } from '../../shared/model/ids.js';
import { sha256OfFile } from './bundle-tree.js';
import { historyOf } from './history.js';
import { withTemporaryRepository } from './temporary-repository.js';
import { writeShallow } from './user-repository.js';

export interface CommitBundle {
  /** Of the file. */
  readonly digest: Sha256;
  readonly bytes: number;
  /** Commits in the bundle whose parents are not in it. */
  readonly shallow: readonly CommitId[];
}

/** As deep as the tree of a user is sent. */
const depth = 50;

/**
 * Writes a commit of a bare repository of our own to a file, as a git bundle that needs nothing else, like `bundleTree` does
 * with a tree. The repository is only read.
 */
export function bundleCommit(
  of: { readonly objects: string; readonly commit: CommitId },
  outFile: string,
  signal: AbortSignal,
): Promise<CommitBundle> {
  const { objects, commit } = of;
  const objectFormat = commit.length === 64 ? 'sha256' : 'sha1';
  return withTemporaryRepository({ alternate: objects, objectFormat }, async (temporary) => {
    const { gitDir } = temporary;
    const { shallow } = await historyOf({ commit, depth, gitDir, cuts: new Set(), signal });
    await writeShallow(temporary, shallow);
    const command = { environment: isolatedEnvironment(), cwd: gitDir, signal };
    await runGit({ ...command, args: ['update-ref', submittedRef, commit] });
    await runGit({ ...command, args: ['bundle', 'create', '--quiet', path.resolve(outFile), '--all'] });
    const { size } = await stat(outFile);
    return { digest: await sha256OfFile(outFile), bytes: size, shallow };
  });
}
