/**
 * Writing files whose names come from elsewhere below one directory, and nowhere else: names with `..`, absolute ones,
 * and links in the directory that lead out of it are refused. A file appears whole or not at all: it is written beside
 * everything else and renamed once its content was verified.
 */
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, realpath, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { showPath, unsafeReason } from '../../../shared/blob/file-path.js';
import { CliError, systemCodeOf } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';

export class SafeDirectory {
  private constructor(
    /** As it really is: no component of it is a link. */
    private readonly root: Buffer,
    private readonly temporary: Buffer,
  ) {}

  static async open(directory: string): Promise<SafeDirectory> {
    await mkdir(directory, { recursive: true });
    const root = await realpath(directory, { encoding: 'buffer' });
    const temporary = join(root.toString('latin1'), `.gantry-${randomBytes(6).toString('hex')}`);
    const path = Buffer.from(temporary, 'latin1');
    await mkdir(path, { mode: 0o700 });
    return new SafeDirectory(root, path);
  }

  /** Removes what was not finished. */
  async close(): Promise<void> {
    await rm(this.temporary, { recursive: true, force: true });
  }

  async writeFile(path: Buffer, mode: number, content: AsyncIterable<Buffer>): Promise<void> {
    const target = await this.#place(path);
    const temporary = below(this.temporary, Buffer.from(randomBytes(8).toString('hex')));
    const file = await open(temporary, 'wx', 0o600);
    try {
      for await (const chunk of content) {
        for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
      }
    } finally {
      await file.close();
    }
    // Set-user-id and the like have no business in what was fetched.
    await chmod(temporary, mode & 0o777);
    await this.#replace(temporary, target, path);
  }

  /** The link's target is text from elsewhere too: it may lead only to what is below the directory. */
  async writeLink(path: Buffer, target: string): Promise<void> {
    const reason = unsafeLink(path, target);
    if (reason !== undefined) throw refused(path, `is a link to ${JSON.stringify(target)}, which ${reason}`);
    const place = await this.#place(path);
    const temporary = below(this.temporary, Buffer.from(randomBytes(8).toString('hex')));
    await symlink(target, temporary);
    await this.#replace(temporary, place, path);
  }

  /** Makes the directories on the way, one by one and through no link. */
  async #place(path: Buffer): Promise<Buffer> {
    const reason = unsafeReason(path);
    if (reason !== undefined) throw refused(path, `cannot be written below the directory: ${reason}`);
    const components = split(path);
    let at = this.root;
    for (const component of components.slice(0, -1)) {
      at = below(at, component);
      try {
        await mkdir(at);
      } catch (error) {
        if (systemCodeOf(error) !== 'EEXIST') throw error;
      }
      const stats = await lstat(at);
      if (stats.isSymbolicLink()) throw refused(path, `would be written through the link ${showPath(at)}`);
      if (!stats.isDirectory()) throw refused(path, `needs the directory ${showPath(at)}, which is a file`);
    }
    return below(at, components.at(-1) ?? path);
  }

  async #replace(temporary: Buffer, target: Buffer, path: Buffer): Promise<void> {
    try {
      await rename(temporary, target);
    } catch (error) {
      if (systemCodeOf(error) !== 'EISDIR' && systemCodeOf(error) !== 'ENOTEMPTY') throw error;
      throw refused(path, 'is a directory there already');
    }
  }
}

/**
 * Why a link must not be made: only relative targets whose `..` all come first and stay below the directory are safe
 * whatever other links there are.
 */
export function unsafeLink(path: Buffer, target: string): string | undefined {
  if (target === '' || target.includes('\0')) return 'is no path';
  if (target.startsWith('/')) return 'is absolute';
  const components = target.split('/').filter((component) => component !== '' && component !== '.');
  const ups = components.findIndex((component) => component !== '..');
  const leading = ups === -1 ? components.length : ups;
  if (components.slice(leading).includes('..')) return 'goes up after it went down';
  if (leading > split(path).length - 1) return 'leaves the directory';
  return undefined;
}

function split(path: Buffer): Buffer[] {
  return path
    .toString('latin1')
    .split('/')
    .map((component) => Buffer.from(component, 'latin1'));
}

const below = (directory: Buffer, name: Buffer): Buffer => Buffer.concat([directory, Buffer.from('/'), name]);

const refused = (path: Buffer, why: string): CliError =>
  new CliError(exitCodes.refused, `${showPath(path)} ${why}`);
