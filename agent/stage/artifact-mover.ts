/** Artifacts as the recipe wants them: bound to the attempt's access and a scratch directory in its slot. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Transfer } from '../../shared/blob/transfer.js';
import { keepArtifacts } from '../artifacts/pack.js';
import { restoreArtifacts } from '../artifacts/restore.js';
import type { ArtifactMover } from './tools.js';

export function createArtifactMover(transfer: Transfer): ArtifactMover {
  return {
    restore: ({ needs, slot, presign, onProgress }, signal) =>
      restoreArtifacts({
        workspaceDir: slot.workspace,
        needs,
        access: { presign },
        transfer,
        signal,
        onProgress: (activity) => onProgress(activity),
      }),
    store: async ({ artifacts, slot, presign, upload, onProgress }, signal) => {
      // Beside `workspace` and `out`: no step reaches it.
      const scratchDir = join(slot.root, 'scratch');
      await mkdir(scratchDir, { recursive: true, mode: 0o700 });
      try {
        return await keepArtifacts({
          workspaceDir: slot.workspace,
          artifacts,
          scratchDir,
          access: { presign, upload },
          transfer,
          signal,
          onProgress: (activity) => onProgress(activity),
        });
      } finally {
        await rm(scratchDir, { recursive: true, force: true });
      }
    },
  };
}
