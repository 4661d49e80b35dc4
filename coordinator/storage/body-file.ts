import { randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Body } from './body.js';
import type { VerifiedDigests } from './digests.js';
import { encodeRecord } from './object-record.js';
import type { ObjectRecord } from './object-record.js';

/** Bytes of a body are gathered until they are worth a call to the file system. */
const blockBytes = 1024 * 1024;
/**
 * How often a long body is synced while more of it arrives. Otherwise the sync at the end of 5 GB could take longer than clients wait for an
 * answer.
 */
const syncEveryBytes = 64 * 1024 * 1024;

/**
 * Writes what an object's file shall hold under a name of its own in `directory`, synced, to be renamed into place. Removes it again
 * when anything fails: the disk is full, the client went away, the body is not what was promised.
 */
export async function writeTemporary(
  directory: string,
  write: (file: FileHandle) => Promise<ObjectRecord>,
): Promise<{ readonly path: string; readonly record: ObjectRecord }> {
  const path = join(directory, randomBytes(12).toString('hex'));
  const file = await open(path, 'wx', 0o600);
  try {
    try {
      const record = await write(file);
      await file.appendFile(encodeRecord(record));
      await file.datasync();
      return { path, record };
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/**
 * Streams a body to a file and verifies it. While one block is written by a thread of the pool, the next one is received and hashed; the two
 * blocks are all the memory that a put takes.
 */
export async function writeBody(file: FileHandle, body: Body): Promise<VerifiedDigests> {
  const size = Math.max(1, Math.min(blockBytes, body.bytes));
  let filling = Buffer.allocUnsafeSlow(size);
  let spare = body.bytes > size ? Buffer.allocUnsafeSlow(size) : filling;
  let filled = 0;
  let writing: Promise<void> = Promise.resolve();
  let syncing: Promise<void> = Promise.resolve();
  let unsynced = 0;

  const flush = async (): Promise<void> => {
    const block = filling.subarray(0, filled);
    await writing;
    if (unsynced >= syncEveryBytes) {
      await syncing;
      syncing = file.datasync();
      syncing.catch(() => undefined); // as below
      unsynced = 0;
    }
    unsynced += block.length;
    writing = writeAll(file, block);
    // Its failure is seen at the next `await writing`; until then it must not count as unhandled.
    writing.catch(() => undefined);
    body.digests.update(block);
    [filling, spare] = [spare, filling];
    filled = 0;
  };

  try {
    for await (const chunk of body.chunks) {
      for (let taken = 0; taken < chunk.length;) {
        const part = chunk.copy(filling, filled, taken);
        taken += part;
        filled += part;
        if (filled === size) await flush();
      }
    }
    if (filled > 0) await flush();
  } finally {
    // The caller closes the file, which nothing may outlive.
    await Promise.all([writing, syncing]);
  }
  return body.verify();
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written)).bytesWritten;
  }
}
