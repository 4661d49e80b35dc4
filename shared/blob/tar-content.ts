import { close, read } from 'node:fs';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { BlobError } from './blob-error.js';
import { showPath } from './file-path.js';
import type { TarInput } from './tar-types.js';

const readFile = promisify(read);
const closeFile = promisify(close);

/** Of the block that `contentOfInput` reads descriptors into. One byte more than a small file shows at once that it grew. */
export const contentBlockBytes = 256 * 1024 + 1;

type FileInput = Extract<TarInput, { kind: 'file' }>;

/**
 * The content of a file, exactly as long as was said before; a file that grew, shrank or went away throws `source-changed`, since its header is written
 * already. What is given may be a view of `block`, to be overwritten when the next one is asked for: a buffer for each of 5,000 files would cost
 * more memory, until it is collected, than all the rest of packing.
 */
export async function* contentOfInput(
  input: FileInput,
  block: Buffer,
): AsyncGenerator<Buffer, void, undefined> {
  const opened = await openInput(input);
  let done = 0;
  for await (const chunk of 'fd' in opened ? readDescriptor(opened.fd, block) : readStream(opened)) {
    done += chunk.length;
    if (done > input.size) throw changed(input, `it grew beyond its ${input.size} bytes`);
    yield chunk;
  }
  if (done < input.size) throw changed(input, `it ended after ${done} of its ${input.size} bytes`);
}

async function openInput(input: FileInput): Promise<Readable | { readonly fd: number }> {
  try {
    return await input.open();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw changed(input, 'it is gone');
    }
    throw error;
  }
}

async function* readDescriptor(fd: number, block: Buffer): AsyncGenerator<Buffer, void, undefined> {
  try {
    for (let position = 0; ;) {
      const { bytesRead } = await readFile(fd, block, 0, block.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield block.subarray(0, bytesRead);
    }
  } finally {
    await closeFile(fd);
  }
}

async function* readStream(stream: Readable): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('the content of a file must be a stream of bytes');
    yield chunk;
  }
}

const changed = (input: FileInput, reason: string): BlobError =>
  new BlobError({ kind: 'source-changed', what: showPath(input.path), reason });
