import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs';
import { lstat, opendir, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const statFile = promisify(fs.fstat);

/** What is at a path, the last component not followed. */
export type EntryKind = 'file' | 'directory' | 'link' | 'fifo' | 'socket' | 'device';

export interface Entry {
  /** Relative to the tree's root, bytes as on disk. */
  readonly path: Buffer;
  readonly kind: EntryKind;
  /** Permission bits. */
  readonly mode: number;
  readonly size: number;
  /** Last change of its content, ms since 1970. */
  readonly modifiedMs: number;
  /** Together they say which file it is, whatever its name becomes. */
  readonly device: number;
  readonly inode: number;
}

/** A path in a hostile tree is not what it has to be. `reason` is a sentence for people, without the path. */
export class TreeAccessError extends Error {
  override readonly name = 'TreeAccessError';

  constructor(
    readonly path: Buffer,
    readonly reason: string,
    cause?: unknown,
  ) {
    super(`${showPath(path)}: ${reason}`, cause === undefined ? undefined : { cause });
  }
}

/** An open directory, by descriptor. Whoever opened it closes it. */
export class SafeDirectory {
  private constructor(
    /** Of the directory itself: it stays the same directory whatever happens to its name. */
    readonly fd: number,
    /** Relative to the root; empty for the root. */
    readonly path: Buffer,
  ) {}

  /** The root of a tree: its own path is trusted, what is below is not. */
  static async open(directory: string): Promise<SafeDirectory> {
    return new SafeDirectory(await openFile(directory, directoryFlags), Buffer.alloc(0));
  }

  /** A directory in this one. Throws `TreeAccessError` when `name` is none, or a link to one. */
  async enter(name: Buffer): Promise<SafeDirectory> {
    const path = this.pathOf(name);
    try {
      return new SafeDirectory(await openFile(this.at(name), directoryFlags), path);
    } catch (error) {
      throw accessError(path, error, 'is a symbolic link or no directory, and links are not followed');
    }
  }

  /** Names in this directory in the order of their bytes; more than `limit` are an error. */
  async names(limit: number): Promise<Buffer[]> {
    const names: Buffer[] = [];
    // `opendir` gives names as buffers where asked so; the type declaration knows strings only.
    const directory = await opendir(`/proc/self/fd/${this.fd}`, { encoding: 'buffer' as BufferEncoding });
    for await (const { name } of directory) {
      if (names.length === limit) throw new TreeAccessError(this.path, `has more than ${limit} entries`);
      names.push(name as unknown as Buffer);
    }
    return names.sort((a, b) => Buffer.compare(a, b));
  }

  /** What `name` is; undefined when it is not there. */
  async look(name: Buffer): Promise<Entry | undefined> {
    const path = this.pathOf(name);
    try {
      return entryOf(path, await lstat(this.at(name)));
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw accessError(path, error, 'cannot be looked at');
    }
  }

  /**
   * Opens a regular file for reading and gives its descriptor, which is the caller's to close. A link, a FIFO or device
   * put in its place is refused without being followed or waited for.
   */
  async openFile(name: Buffer): Promise<{ readonly fd: number; readonly entry: Entry }> {
    const path = this.pathOf(name);
    const fd = await openFile(this.at(name), fileFlags).catch((error: unknown) => {
      throw accessError(path, error, 'is a symbolic link or special file, and those are not read');
    });
    try {
      const entry = entryOf(path, await statFile(fd));
      if (entry.kind !== 'file') throw new TreeAccessError(path, `is a ${entry.kind}, not a file`);
      return { fd, entry };
    } catch (error) {
      await closeFile(fd);
      throw error;
    }
  }

  /** The target of a symbolic link, bytes as on disk. */
  async readLink(name: Buffer): Promise<Buffer> {
    try {
      return await readlink(this.at(name), { encoding: 'buffer' });
    } catch (error) {
      throw accessError(this.pathOf(name), error, 'is no symbolic link any more');
    }
  }

  /** Path of an entry through the descriptor: only the last component is looked up by name. */
  at(name: Buffer): Buffer {
    if (name.length === 0 || name.includes(0x2f) || name.includes(0)) {
      throw new TreeAccessError(name, 'is no name of a file');
    }
    // `..` would leave the directory, `.` would be looked at as something in it.
    if (name.equals(dot) || name.equals(dotDot)) throw new TreeAccessError(name, 'is no name of a file');
    return Buffer.concat([Buffer.from(`/proc/self/fd/${this.fd}/`), name]);
  }

  pathOf(name: Buffer): Buffer {
    return this.path.length === 0 ? name : Buffer.concat([this.path, slash, name]);
  }

  close(): Promise<void> {
    return closeFile(this.fd);
  }
}

/**
 * Opens the directory that holds `path`, descending from `root` one component at a time, and hands it over with the
 * last component. Node has no `openat`; `/proc/self/fd/<directory>/<name>` is the same.
 */
export async function withParent<T>(
  root: SafeDirectory,
  path: Buffer,
  use: (parent: SafeDirectory, name: Buffer) => Promise<T>,
): Promise<T> {
  const components = componentsOf(path);
  const last = components.pop();
  if (last === undefined) throw new TreeAccessError(path, 'is no path of a file');
  let current = root;
  try {
    for (const component of components) {
      const next = await current.enter(component);
      if (current !== root) await current.close();
      current = next;
    }
    return await use(current, last);
  } finally {
    if (current !== root) await current.close();
  }
}

export function componentsOf(path: Buffer): Buffer[] {
  const components: Buffer[] = [];
  let start = 0;
  for (let end = path.indexOf(0x2f, start); end !== -1; end = path.indexOf(0x2f, start)) {
    components.push(path.subarray(start, end));
    start = end + 1;
  }
  components.push(path.subarray(start));
  return components;
}

/** A path for people: what is not UTF-8 or a control character is escaped, so that it cannot disturb a terminal. */
export function showPath(path: Buffer): string {
  const text = path.toString('utf8');
  const readable = Buffer.from(text, 'utf8').equals(path);
  return Array.from(readable ? text : path.toString('latin1'), (char) => {
    const code = char.codePointAt(0) ?? 0;
    if (char === '\n') return '\\n';
    if (char === '\\') return '\\\\';
    const plain = readable
      ? code >= 0x20 && code !== 0x7f && !(code >= 0x80 && code < 0xa0)
      : code >= 0x20 && code < 0x7f;
    return plain ? char : `\\x${code.toString(16).padStart(2, '0')}`;
  }).join('');
}

export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

const dot = Buffer.from('.');
const dotDot = Buffer.from('..');
const slash = Buffer.from('/');
const directoryFlags =
  constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Without O_NONBLOCK, opening a FIFO waits for a writer for ever. */
const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

function entryOf(path: Buffer, stats: Stats): Entry {
  return {
    path,
    kind: kindOf(stats),
    mode: stats.mode & 0o7777,
    size: stats.size,
    modifiedMs: stats.mtimeMs,
    device: stats.dev,
    inode: stats.ino,
  };
}

function kindOf(stats: Stats): EntryKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'link';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return 'device';
}

function accessError(path: Buffer, error: unknown, link: string): TreeAccessError {
  if (
    hasCode(error, 'ELOOP') ||
    hasCode(error, 'ENOTDIR') ||
    hasCode(error, 'EINVAL') ||
    hasCode(error, 'ENXIO')
  ) {
    return new TreeAccessError(path, link, error);
  }
  if (hasCode(error, 'EACCES') || hasCode(error, 'EPERM')) {
    return new TreeAccessError(path, 'may not be read by the agent', error);
  }
  if (hasCode(error, 'ENOENT')) return new TreeAccessError(path, 'is not there any more', error);
  return new TreeAccessError(path, error instanceof Error ? error.message : String(error), error);
}
