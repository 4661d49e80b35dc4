import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';

/**
 * Removes what a killed git left in a bare repository: locks, which would refuse every later change for ever, and
 * unfinished packs and objects, which only take space. Nobody else may be working in it.
 */
export async function removeStaleFiles(gitDir: string): Promise<void> {
  for (const file of await readdir(gitDir, { recursive: true })) {
    const name = path.basename(file);
    if (name.endsWith('.lock') || /^(?:tmp_(?:pack|idx|rev|obj|bitmap)_|\.tmp-)/.test(name)) {
      await rm(path.join(gitDir, file), { force: true });
    }
  }
}
