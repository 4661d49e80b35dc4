/**
 * Headers of tar entries in GNU format. It is the one format that takes names as the bytes they are, of any length, and that every `tar`
 * reads; PAX records are defined as UTF-8, which names of files need not be.
 */
export const tarBlockBytes = 512;

export interface TarHeader {
  readonly kind: keyof typeof types;
  readonly path: Buffer;
  /** Permission bits. */
  readonly mode: number;
  readonly size: number;
  readonly mtimeMs: number;
  /** Of a link. */
  readonly target?: Buffer;
}

const types = { file: '0', link: '2', directory: '5' } as const;

const nameBytes = 100;
const linkOffset = 157;
/** The largest size that eleven octal digits hold. */
const maxOctalSize = 0o77777777777;

/** One block; or three and more, when a name or target is too long for the header and goes before it as an entry of its own. */
export function encodeTarHeader(header: TarHeader): Buffer {
  const target = header.target ?? Buffer.alloc(0);
  return Buffer.concat([
    ...(header.path.length > nameBytes ? [longEntry('L', header.path)] : []),
    ...(target.length > nameBytes ? [longEntry('K', target)] : []),
    block({ ...header, target, type: types[header.kind] }),
  ]);
}

/** What follows content of `size` bytes, up to the next block. */
export const tarPadding = (size: number): Buffer =>
  Buffer.alloc((tarBlockBytes - (size % tarBlockBytes)) % tarBlockBytes);

/** The end of an archive. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * tarBlockBytes);

function longEntry(type: 'L' | 'K', text: Buffer): Buffer {
  const content = Buffer.concat([text, Buffer.alloc(1)]);
  const path = Buffer.from('././@LongLink');
  const header = { path, mode: 0o644, size: content.length, mtimeMs: 0, target: Buffer.alloc(0), type };
  return Buffer.concat([block(header), content, tarPadding(content.length)]);
}

function block(
  header: Omit<TarHeader, 'kind' | 'target'> & { readonly target: Buffer; readonly type: string },
): Buffer {
  const bytes = Buffer.alloc(tarBlockBytes);
  header.path.copy(bytes, 0, 0, nameBytes);
  octal(bytes, 100, 8, header.mode & 0o7777);
  octal(bytes, 108, 8, 0);
  octal(bytes, 116, 8, 0);
  size(bytes, 124, header.size);
  octal(bytes, 136, 12, Math.max(0, Math.floor(header.mtimeMs / 1000)));
  bytes.write('        ', 148);
  bytes.write(header.type, 156);
  header.target.copy(bytes, linkOffset, 0, nameBytes);
  bytes.write('ustar  \0', 257, 'latin1');
  const checksum = bytes.reduce((sum, byte) => sum + byte, 0);
  bytes.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

function octal(bytes: Buffer, offset: number, length: number, value: number): void {
  bytes.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
}

/** Sizes from 8 GiB on are binary, marked by the highest bit. */
function size(bytes: Buffer, offset: number, value: number): void {
  if (value <= maxOctalSize) {
    octal(bytes, offset, 12, value);
    return;
  }
  bytes.writeUInt8(0x80, offset);
  bytes.writeBigUInt64BE(BigInt(value), offset + 4);
}
