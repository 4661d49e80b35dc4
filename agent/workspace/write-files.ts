import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { lchown, mkdir, symlink, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { componentsOf, hasCode, SafeDirectory, TreeAccessError } from './safe-tree.js';

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const changeOwner = promisify(fs.fchown);
const changeMode = promisify(fs.fchmod);

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface FileToPlace {
  readonly path: Buffer;
  /** Permission bits; set-user-id and the like are dropped. */
  readonly mode: number;
}

/**
 * Puts files into a tree that is not to be trusted: a checkout may hold a link `dist -> /etc`. Directories on the way are
 * entered without following links, and made where they are missing. What is at the path already (of the checkout) is
 * replaced; a directory is not. Throws `TreeAccessError`.
 */
export class FilePlacer {
  private constructor(
    private readonly root: SafeDirectory,
    private readonly owner: Owner | undefined,
  ) {}

  /** With `owner`, files and the directories made for them are handed over to it; that needs root. */
  static async open(directory: string, owner?: Owner): Promise<FilePlacer> {
    return new FilePlacer(await SafeDirectory.open(directory), owner);
  }

  /** `write` gets a descriptor of the new, empty file; it is closed afterwards. */
  async placeFile(file: FileToPlace, write: (fd: number) => Promise<void>): Promise<void> {
    await this.#inParent(file.path, async (parent, name) => {
      await makeRoom(parent, name);
      const fd = await openFile(parent.at(name), newFileFlags, 0o600);
      try {
        await write(fd);
        if (this.owner !== undefined) await changeOwner(fd, this.owner.uid, this.owner.gid);
        await changeMode(fd, file.mode & 0o777);
      } finally {
        await closeFile(fd);
      }
    });
  }

  /** The target is written as it is: what it may be is decided by `linkStaysInside` before. */
  async placeLink(path: Buffer, target: string): Promise<void> {
    await this.#inParent(path, async (parent, name) => {
      await makeRoom(parent, name);
      await symlink(target, parent.at(name));
      if (this.owner !== undefined) await lchown(parent.at(name), this.owner.uid, this.owner.gid);
    });
  }

  close(): Promise<void> {
    return this.root.close();
  }

  async #inParent(path: Buffer, use: (parent: SafeDirectory, name: Buffer) => Promise<void>): Promise<void> {
    const components = componentsOf(path);
    const last = components.pop();
    if (last === undefined) throw new TreeAccessError(path, 'is no path of a file');
    let current = this.root;
    try {
      for (const component of components) {
        const next = await this.#enterOrMake(current, component);
        if (current !== this.root) await current.close();
        current = next;
      }
      await use(current, last);
    } finally {
      if (current !== this.root) await current.close();
    }
  }

  async #enterOrMake(parent: SafeDirectory, name: Buffer): Promise<SafeDirectory> {
    const made = await mkdir(parent.at(name), { mode: 0o755 }).then(
      () => true,
      (error: unknown) => {
        if (hasCode(error, 'EEXIST')) return false;
        throw error;
      },
    );
    const directory = await parent.enter(name);
    if (!made) return directory;
    try {
      // Whatever the agent's umask is: other users in the box may have to get through.
      await changeMode(directory.fd, 0o755);
      if (this.owner !== undefined) await changeOwner(directory.fd, this.owner.uid, this.owner.gid);
      return directory;
    } catch (error) {
      await directory.close();
      throw error;
    }
  }
}

async function makeRoom(parent: SafeDirectory, name: Buffer): Promise<void> {
  const there = await parent.look(name);
  if (there === undefined) return;
  if (there.kind === 'directory') throw new TreeAccessError(there.path, 'is a directory already');
  await unlink(parent.at(name));
}

const newFileFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
