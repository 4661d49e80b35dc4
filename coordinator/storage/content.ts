import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { errorCode } from './errors.js';
import type { ObjectRecord } from './object-record.js';
import type { ObjectTree } from './object-tree.js';
import type { Piece, Uploads } from './uploads.js';

const blockBytes = 512 * 1024;

/** Bytes `start` to `end` of an object, `end` excluded. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Opens an object so that its bytes stay readable though it be overwritten or deleted meanwhile. */
export async function openContent(
  tree: ObjectTree,
  uploads: Uploads,
  key: string,
): Promise<OpenContent | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const found = await tree.open(key);
    if (found === undefined) return undefined;
    const { record, file } = found;
    if (record.upload === undefined) return new OpenContent(record, file, undefined);
    try {
      const { pieces, release } = await uploads.retain(record.upload);
      const pathOf = (piece: Piece): string => uploads.pathOfPart(record.upload ?? '', piece.part);
      return new OpenContent(record, file, { pieces, pathOf, release });
    } catch (error) {
      await file.close();
      // Overwritten between the two steps, and the parts are gone: what is there now is another object.
      if (errorCode(error) !== 'ENOENT' || attempt === 5) throw error;
    }
  }
}

interface Pieces {
  readonly pieces: readonly Piece[];
  readonly pathOf: (piece: Piece) => string;
  readonly release: () => void;
}

/** Close it, whether it was read or not. */
export class OpenContent {
  readonly #pieces: Pieces | undefined;

  constructor(
    readonly record: ObjectRecord,
    /** Holds the bytes from 0, unless they are in pieces. */
    readonly file: FileHandle,
    pieces: Pieces | undefined,
  ) {
    this.#pieces = pieces;
  }

  /** A block may be overwritten as soon as the second one after it is asked for. */
  async *read(span: Span): AsyncGenerator<Buffer, void, undefined> {
    const blocks = new Blocks(Math.max(1, Math.min(blockBytes, span.end - span.start)));
    if (this.#pieces === undefined) {
      yield* readSpan(this.file, span, blocks);
      return;
    }
    let offset = 0;
    for (const piece of this.#pieces.pieces) {
      const start = Math.max(span.start - offset, 0);
      const end = Math.min(span.end - offset, piece.bytes);
      offset += piece.bytes;
      if (start >= end) continue;
      const file = await open(this.#pieces.pathOf(piece), 'r');
      try {
        yield* readSpan(file, { start, end }, blocks);
      } finally {
        await file.close();
      }
    }
  }

  async close(): Promise<void> {
    this.#pieces?.release();
    await this.file.close();
  }
}

async function* readSpan(
  file: FileHandle,
  { start, end }: Span,
  blocks: Blocks,
): AsyncGenerator<Buffer, void, undefined> {
  for (let position = start; position < end;) {
    const block = blocks.next();
    const { bytesRead } = await file.read(block, 0, Math.min(block.length, end - position), position);
    if (bytesRead === 0) throw new Error('an object file is shorter than its record says');
    position += bytesRead;
    yield block.subarray(0, bytesRead);
  }
}

/** Three buffers in turn: one is read into while the two before it may still be on their way to the client. */
class Blocks {
  readonly #bytes: number;
  readonly #blocks: (Buffer | undefined)[] = [undefined, undefined, undefined];
  #turn = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  next(): Buffer {
    this.#turn = (this.#turn + 1) % this.#blocks.length;
    return (this.#blocks[this.#turn] ??= Buffer.allocUnsafeSlow(this.#bytes));
  }
}
