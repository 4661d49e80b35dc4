/**
 * Files in a directory that somebody hostile can write to. Nothing is followed, nothing but a regular file is
 * accepted, and opening never blocks (a FIFO laid under the expected name would, without O_NONBLOCK).
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Makes a file that must not exist yet and hands it to `owner`. Whatever lies there already: EEXIST. */
export async function createGuarded(path: string, owner: Owner): Promise<FileHandle> {
  const handle = await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK, 0o600);
  try {
    if (owner.uid !== process.getuid?.() || owner.gid !== process.getgid?.()) {
      await handle.chown(owner.uid, owner.gid);
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Opens a regular file for reading; undefined where there is none, or something that is no regular file. */
export const openGuarded = async (path: string): Promise<FileHandle | undefined> =>
  (await openRegular(path, O_RDONLY))?.handle;

/** The same for a log, which must be writable too (see `FollowedLog.settle`). */
export const openGuardedLog = async (path: string): Promise<FileHandle | undefined> =>
  (await openRegular(path, O_RDWR))?.handle;

async function openRegular(
  path: string,
  access: number,
): Promise<{ readonly handle: FileHandle; readonly size: number } | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, access | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    // Missing, a link (ELOOP), a socket (ENXIO), without permission: in all cases not the file we made.
    return undefined;
  }
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, size: stats.size };
  await handle.close();
  return undefined;
}

/** At most `maxBytes` of a regular file's beginning; undefined as for `openGuarded`. */
export async function readGuarded(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const opened = await openRegular(path, O_RDONLY);
  if (opened === undefined) return undefined;
  const { handle } = opened;
  try {
    const size = Math.min(opened.size, maxBytes);
    const buffer = Buffer.allocUnsafe(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(buffer, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  } finally {
    await handle.close();
  }
}
