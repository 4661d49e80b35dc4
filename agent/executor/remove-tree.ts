import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/**
 * Removes a tree that somebody hostile filled. By `rm` and not by Node: names that are not UTF-8 and paths longer than
 * the kernel takes in one call are beyond what Node's recursive removal can handle. Nothing may run in it any more.
 */
export async function removeTree(path: string): Promise<void> {
  const remove = (): Promise<unknown> => execute('rm', ['-rf', '--one-file-system', '--', path]);
  try {
    await remove();
  } catch {
    // Not root, and a directory without write permission in the way: they are the agent's own files, so it may.
    await execute('chmod', ['-R', 'u+rwX', '--', path]).catch(() => undefined);
    await remove();
  }
}
