import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';

/**
 * What is known of an object (or of a part of an upload). It stands at the end of the file that holds the bytes, so that both appear by one
 * rename, and the bytes begin at 0:
 *
 *     <bytes> <record, JSON> <magic, 8 bytes> <length of the JSON, 4 bytes> <CRC-32 of the JSON, 4 bytes>
 */
const recordShape = z.object({
  v: z.literal(1),
  key: z.string(),
  /** Of the object. With `upload`, they are in that upload's parts, and the file is the record alone. */
  bytes: z.number().int().nonnegative(),
  /** Without quotes. */
  etag: z.string(),
  modifiedAt: z.number(),
  /** Names in lower case: content-type and the like, given back with the object. */
  headers: z.record(z.string(), z.string()),
  /** `x-amz-meta-` headers, without that prefix. */
  meta: z.record(z.string(), z.string()),
  /** Header name to base64 value. */
  checksums: z.record(z.string(), z.string()),
  upload: z.string().optional(),
});

export type ObjectRecord = Readonly<z.infer<typeof recordShape>>;

const magic = Buffer.from('GANTRYO1');
const footerBytes = magic.length + 8;
/** Records are mostly below 500 bytes; this much is read at once. */
const tailBytes = 4096;

export function encodeRecord(record: ObjectRecord): Buffer {
  const json = Buffer.from(JSON.stringify(record));
  const footer = Buffer.alloc(footerBytes);
  magic.copy(footer);
  footer.writeUInt32BE(json.length, magic.length);
  footer.writeUInt32BE(crc32(json), magic.length + 4);
  return Buffer.concat([json, footer]);
}

/** Throws for a file that is not ours or is damaged. */
export async function readRecord(file: FileHandle): Promise<ObjectRecord> {
  const { size } = await file.stat();
  let tail = await readAt(file, Math.max(0, size - tailBytes), Math.min(size, tailBytes));
  const footer = tail.subarray(-footerBytes);
  if (footer.length < footerBytes || !footer.subarray(0, magic.length).equals(magic)) {
    throw new Error('an object file has no record at its end');
  }
  const length = footer.readUInt32BE(magic.length);
  const needed = length + footerBytes;
  if (needed > size) throw new Error('the record of an object file is cut off');
  if (needed > tail.length) tail = await readAt(file, size - needed, needed);
  const json = tail.subarray(tail.length - needed, tail.length - footerBytes);
  if (crc32(json) !== footer.readUInt32BE(magic.length + 4)) {
    throw new Error('the record of an object file is damaged');
  }
  return recordShape.parse(JSON.parse(json.toString()));
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new Error('an object file ended while it was read');
    filled += bytesRead;
  }
  return buffer;
}
