/**
 * What is sent to the build of an image: a directory of a hostile workspace as a tar, streamed. Directories are entered
 * one component at a time without following links; a link is sent as a link, and what it means is the daemon's to see,
 * in the context alone.
 */
import { close } from 'node:fs';
import { promisify } from 'node:util';
import { encodeTarHeader, tarEnd, tarPadding, type TarHeader } from '../../shared/blob/tar-header.js';
import { contentBlockBytes, contentOfInput } from '../../shared/blob/tar-content.js';
import { GlobError } from './glob.js';
import { IgnoreFile } from './ignore-file.js';
import { hasCode, SafeDirectory, showPath, TreeAccessError, withParent, type Entry } from './safe-tree.js';
import { safeWalk } from './safe-walk.js';

const closeFile = promisify(close);

/** The context cannot be sent; `message` is a sentence for people. */
export class ContextError extends Error {
  override readonly name = 'ContextError';
}

export interface ContextOptions {
  /** Its own path is trusted, what is in it is not. */
  readonly workspace: string;
  /** Of the context, relative; absent: the workspace. */
  readonly directory?: string;
  /** The Dockerfile, relative to the context. */
  readonly file: string;
  /** The Dockerfile as it is to be built. */
  readonly rewrite: (dockerfile: string) => Promise<string>;
  /** Told of what is left out though nobody asked for it. */
  readonly onSkipped: (path: string, why: string) => void;
  readonly signal: AbortSignal;
}

/** Under this name the Dockerfile is sent, so that a file of the context stays what it is. */
export const sentDockerfile = '.gantry-dockerfile';

const ignoreName = '.dockerignore';
const maxDockerfileBytes = 1024 * 1024;
const maxIgnoreBytes = 64 * 1024;
const maxEntries = 1_000_000;
/** What is sent at once: a small file is three writes otherwise. */
const chunkBytes = 64 * 1024;

/** The tar, bit by bit. Throws `ContextError`, `TreeAccessError`, or the signal's reason. */
export async function* packContext(options: ContextOptions): AsyncGenerator<Buffer, void> {
  const root = await openDirectory(options);
  try {
    yield* inChunks(pack(root, options));
  } finally {
    await root.close();
  }
}

async function openDirectory({ workspace, directory }: ContextOptions): Promise<SafeDirectory> {
  const root = await SafeDirectory.open(workspace);
  if (directory === undefined) return root;
  try {
    return await withParent(root, Buffer.from(directory), async (parent, name) => {
      if ((await parent.look(name)) === undefined) {
        throw new ContextError(`there is no directory ${directory} in the workspace`);
      }
      const found = await parent.enter(name);
      try {
        // The same directory, as the root of what is below it.
        return await SafeDirectory.open(`/proc/self/fd/${found.fd}/.`);
      } finally {
        await found.close();
      }
    });
  } finally {
    await root.close();
  }
}

async function* pack(root: SafeDirectory, options: ContextOptions): AsyncGenerator<Buffer, void> {
  const ignoreText = (await readWhole(root, ignoreName, maxIgnoreBytes)) ?? '';
  const ignored = ignoreFileOf(ignoreText);
  const dockerfile = await readWhole(root, options.file, maxDockerfileBytes);
  if (dockerfile === undefined) {
    throw new ContextError(`there is no ${options.file} in the context: name the Dockerfile by \`file\``);
  }
  yield* textEntry(sentDockerfile, await options.rewrite(dockerfile));
  // The daemon takes the files that it is told by, and this one itself, out of what `COPY .` sees.
  yield* textEntry(ignoreName, `${ignoreText}\n${ignoreName}\n${sentDockerfile}\n`);
  const { signal } = options;
  const directories: Entry[] = [];
  const enter = (entry: Entry): boolean => {
    const leftOut = ignored.leavesOut(entry.path);
    if (!leftOut) directories.push(entry);
    return !leftOut || ignored.hasExceptions;
  };
  const block = Buffer.allocUnsafeSlow(contentBlockBytes);
  for await (const entry of safeWalk(root, { maxEntries, enter, signal })) {
    for (const { path, mode, modifiedMs } of directories.splice(0))
      yield directoryHeader(path, mode, modifiedMs);
    if (isOurs(entry.path) || ignored.leavesOut(entry.path)) continue;
    yield* entryOf(root, entry, { block, options });
  }
  for (const { path, mode, modifiedMs } of directories) yield directoryHeader(path, mode, modifiedMs);
  yield tarEnd();
}

const isOurs = (path: Buffer): boolean =>
  path.equals(Buffer.from(ignoreName)) || path.equals(Buffer.from(sentDockerfile));

function ignoreFileOf(text: string): IgnoreFile {
  try {
    return new IgnoreFile(text);
  } catch (error) {
    if (error instanceof GlobError)
      throw new ContextError(`${ignoreName}: ${error.message}`, { cause: error });
    throw error;
  }
}

async function* entryOf(
  root: SafeDirectory,
  { path, kind }: Entry,
  { block, options }: { readonly block: Buffer; readonly options: ContextOptions },
): AsyncGenerator<Buffer, void> {
  if (kind === 'link') {
    const target = await withParent(root, path, (parent, name) => parent.readLink(name));
    yield encodeTarHeader({ kind: 'link', path, mode: 0o777, size: 0, mtimeMs: 0, target });
  } else if (kind === 'file') {
    // What it is now: nothing writes to it any more, and its length is that of its header.
    const { fd, entry } = await withParent(root, path, (parent, name) => parent.openFile(name));
    const { mode, size, modifiedMs: mtimeMs } = entry;
    const state = { read: false };
    const take = (): Promise<{ readonly fd: number }> => {
      state.read = true;
      return Promise.resolve({ fd });
    };
    try {
      yield encodeTarHeader({ kind: 'file', path, mode, size, mtimeMs });
      yield* contentOfInput({ kind: 'file', path, mode, size, open: take }, block);
      yield tarPadding(size);
    } finally {
      if (!state.read) await closeFile(fd);
    }
  } else options.onSkipped(showPath(path), `a ${kind} cannot be sent`);
}

const directoryHeader = (path: Buffer, mode: number, mtimeMs: number): Buffer =>
  encodeTarHeader({ kind: 'directory', path, mode, size: 0, mtimeMs });

function* textEntry(name: string, text: string): Generator<Buffer, void> {
  const content = Buffer.from(text);
  const header: TarHeader = {
    kind: 'file',
    path: Buffer.from(name),
    mode: 0o644,
    size: content.length,
    mtimeMs: 0,
  };
  yield encodeTarHeader(header);
  yield content;
  yield tarPadding(content.length);
}

/** A small file of the tree; undefined where there is none. */
async function readWhole(root: SafeDirectory, path: string, maxBytes: number): Promise<string | undefined> {
  return withParent(root, Buffer.from(path), async (parent, name) => {
    if ((await parent.look(name)) === undefined) return undefined;
    const { fd, entry } = await parent.openFile(name);
    if (entry.size > maxBytes) {
      await closeFile(fd);
      throw new ContextError(`${path} is larger than ${maxBytes / 1024} KiB`);
    }
    const block = Buffer.allocUnsafe(maxBytes + 1);
    const input = { kind: 'file', path: entry.path, mode: 0, size: entry.size } as const;
    const chunks: Buffer[] = [];
    for await (const chunk of contentOfInput({ ...input, open: () => Promise.resolve({ fd }) }, block)) {
      chunks.push(Buffer.from(chunk));
    }
    return Buffer.concat(chunks).toString('utf8');
  }).catch((error: unknown) => {
    // A directory above it is not there.
    if (error instanceof TreeAccessError && hasCode(error.cause, 'ENOENT')) return undefined;
    throw error;
  });
}

/** Copies: the blocks that files are read into are used again. */
async function* inChunks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let chunk = Buffer.allocUnsafeSlow(chunkBytes);
  let filled = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length;) {
      const copied = piece.copy(chunk, filled, at);
      at += copied;
      filled += copied;
      if (filled < chunk.length) continue;
      yield chunk;
      chunk = Buffer.allocUnsafeSlow(chunkBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}
