/**
 * Puts the exact bytes of an attempt's logs into storage, where they stay after LOGS was purged. Runs after the end of
 * the attempt was acknowledged, so nothing waits for it.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, opendir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { PresignObject } from '../../shared/model/agent.js';
import type { LogDigest } from '../../shared/model/event.js';
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';
import type { Transfer } from '../../shared/blob/transfer.js';
import { maskedSha256, maskFile } from './mask-file.js';
import type { Masker } from './mask.js';
import { readLogIndex } from './log-index.js';

const { O_RDONLY, O_RDWR } = constants;

export interface LogToArchive {
  readonly digest: LogDigest;
  /** Open for reading, and for writing where there is a masker; stays the caller's. */
  readonly fd: number;
  /** Hides secrets: the file is masked in place before it leaves this machine. */
  readonly masker: Masker | undefined;
  readonly indexPath: string;
}

export interface LogArchiveTools {
  readonly transfer: Pick<Transfer, 'putBytes' | 'putFile'>;
  presign(object: PresignObject, signal: AbortSignal): Promise<PresignedUrl>;
}

/** Puts one log and its index; safe to repeat. Throws `BlobError`, or that the bytes are not those that were shipped. */
export async function archiveLog(
  log: LogToArchive,
  tools: LogArchiveTools,
  signal: AbortSignal,
): Promise<void> {
  const { step, bytes, sha256 } = log.digest;
  if (log.masker !== undefined) await maskFile(log.fd, log.digest, log.masker);
  const url = await tools.presign({ kind: 'put-log', step }, signal);
  if (bytes === 0) {
    await tools.transfer.putBytes(Buffer.alloc(0), url, signal);
  } else {
    const put = await tools.transfer.putFile({ file: log.fd, start: 0, bytes }, url, signal);
    if (put.sha256 !== sha256) {
      throw new Error(`the log of step ${step} changed after it was shipped: ${put.sha256}, not ${sha256}`);
    }
  }
  const index = await readLogIndex(log.indexPath);
  // Of a step that was silent there is none.
  if (index.length === 0) return;
  await tools.transfer.putBytes(index, await tools.presign({ kind: 'put-log-index', step }, signal), signal);
}

/**
 * Finds a log's spool again after a restart, when its box is gone and with it the open descriptor: the regular file in
 * the out directory whose first bytes have the shipped digest. The directory was writable by the steps, so the names
 * in it prove nothing; the digest does, of the file as it is or of what is left of it when it is masked. Undefined when there
 * is no such file any more.
 */
export async function findLog(
  outDirectory: string,
  digest: LogDigest,
  masker: Masker | undefined,
): Promise<FileHandle | undefined> {
  let directory;
  try {
    directory = await opendir(outDirectory);
  } catch {
    // The slot is gone: the coordinator archives what LOGS holds.
    return undefined;
  }
  for await (const entry of directory) {
    const file = await openRegular(join(outDirectory, entry.name), masker === undefined ? O_RDONLY : O_RDWR);
    if (file === undefined) continue;
    if (await hasDigest(file, digest)) return file;
    if (masker !== undefined && (await maskedSha256(file.fd, digest.bytes, masker)) === digest.sha256)
      return file;
    await file.close();
  }
  return undefined;
}

async function openRegular(path: string, access: number): Promise<FileHandle | undefined> {
  const flags = access | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    const file = await open(path, flags);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch {
    // A link, a socket or a file that vanished is not the log.
  }
  return undefined;
}

async function hasDigest(file: FileHandle, digest: LogDigest): Promise<boolean> {
  if ((await file.stat()).size < digest.bytes) return false;
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(256 * 1024);
  for (let offset = 0; offset < digest.bytes;) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, digest.bytes - offset), offset);
    if (bytesRead === 0) return false;
    hash.update(buffer.subarray(0, bytesRead));
    offset += bytesRead;
  }
  return hash.digest('hex') === digest.sha256;
}
