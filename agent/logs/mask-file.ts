/** Masks the spool of a step that has ended, once all of it was shipped: what is archived is then the file as it is. */
import { createHash } from 'node:crypto';
import { read, write } from 'node:fs';
import { promisify } from 'node:util';
import type { LogDigest } from '../../shared/model/event.js';
import type { LogSource } from './log-source.js';
import { MaskedLog } from './masked-log.js';
import type { Masker } from './mask.js';

const readAt = promisify(read);
const writeAt = promisify(write);
const pieceBytes = 64 * 1024;

/**
 * Overwrites in place what is to be hidden, and proves that the result is what was shipped; throws when it is not, and then
 * the file must not leave this machine: it was changed, or masked halfway by a process that was killed. Repeating it on a
 * file that is masked already does nothing.
 */
export async function maskFile(fd: number, digest: LogDigest, masker: Masker): Promise<void> {
  const sha256 = await eachPiece(fd, digest.bytes, masker, async (masked, offset) => {
    const { buffer } = await readAt(fd, Buffer.allocUnsafe(masked.length), 0, masked.length, offset);
    if (!masked.equals(buffer)) await writeAll(fd, masked, offset);
  });
  if (sha256 !== digest.sha256) {
    throw new Error(
      `the log of step ${digest.step} changed after it was shipped: ${sha256}, not ${digest.sha256}`,
    );
  }
}

/** SHA-256 of what is left of the first `bytes` when it is masked. */
export const maskedSha256 = (fd: number, bytes: number, masker: Masker): Promise<string> =>
  eachPiece(fd, bytes, masker, () => Promise.resolve());

async function eachPiece(
  fd: number,
  bytes: number,
  masker: Masker,
  use: (masked: Buffer, offset: number) => Promise<void>,
): Promise<string> {
  const spool: LogSource = {
    available: () => Promise.resolve(bytes),
    read: async (offset, buffer) => (await readAt(fd, buffer, 0, buffer.length, offset)).bytesRead,
    changed: () => Promise.resolve(),
  };
  // It reads ahead of what is written here, and never back.
  const log = new MaskedLog(spool, masker);
  log.ended(bytes);
  const hash = createHash('sha256');
  for (let offset = 0; offset < bytes;) {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, bytes - offset));
    const masked = piece.subarray(0, await log.read(offset, piece));
    if (masked.length === 0) break; // It was cut: the digest says so.
    hash.update(masked);
    await use(masked, offset);
    offset += masked.length;
  }
  return hash.digest('hex');
}

async function writeAll(fd: number, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await writeAt(fd, bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}
