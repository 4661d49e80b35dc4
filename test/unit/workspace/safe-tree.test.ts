import { execFile } from 'node:child_process';
import { closeSync, readFileSync, writeSync } from 'node:fs';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  SafeDirectory,
  showPath,
  TreeAccessError,
  withParent,
  type Entry,
} from '../../../agent/workspace/safe-tree.js';
import { safeWalk } from '../../../agent/workspace/safe-walk.js';
import { FilePlacer } from '../../../agent/workspace/write-files.js';

let directory: string;
let tree: string;
let outside: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'gantry-test-tree-'));
  tree = path.join(directory, 'tree');
  outside = path.join(directory, 'outside');
  await mkdir(path.join(tree, 'dir'), { recursive: true });
  await mkdir(outside);
  await writeFile(path.join(tree, 'dir', 'file'), 'inside');
  await writeFile(path.join(outside, 'file'), 'secret');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

async function inTree<T>(use: (root: SafeDirectory) => Promise<T>): Promise<T> {
  const before = await descriptors();
  const root = await SafeDirectory.open(tree);
  try {
    return await use(root);
  } finally {
    await root.close();
    expect(await descriptors()).toBe(before);
  }
}

const read = (name: string): Promise<string> =>
  inTree((root) =>
    withParent(root, Buffer.from(name), async (parent, last) => {
      const { fd } = await parent.openFile(last);
      try {
        return readFileSync(fd, 'utf8');
      } finally {
        closeSync(fd);
      }
    }),
  );

const walk = (options: Partial<Parameters<typeof safeWalk>[1]> = {}): Promise<Entry[]> =>
  inTree(async (root) => {
    const found: Entry[] = [];
    for await (const entry of safeWalk(root, { enter: () => true, maxEntries: 10_000, ...options }))
      found.push(entry);
    return found;
  });

describe('reading a hostile tree', () => {
  test('opens a regular file by its path', async () => {
    expect(await read('dir/file')).toBe('inside');
  });

  test('follows no link, wherever on the path it is', async () => {
    await symlink(outside, path.join(tree, 'link'));
    await symlink(path.join(outside, 'file'), path.join(tree, 'file-link'));
    await symlink('dir', path.join(tree, 'inner-link'));
    await expect(read('link/file')).rejects.toThrow(/link: is a symbolic link or no directory/);
    await expect(read('file-link')).rejects.toThrow(/is a symbolic link/);
    await expect(read('inner-link/file')).rejects.toThrow(TreeAccessError);
  });

  test.each(['..', '.', '../outside/file', 'dir/../../outside/file', '/etc/passwd', '', 'dir//file', 'dir/'])(
    'refuses the path %j',
    async (name) => {
      await expect(read(name)).rejects.toThrow(TreeAccessError);
    },
  );

  test('neither waits for a FIFO nor opens a socket or directory', async () => {
    await promisify(execFile)('mkfifo', [path.join(tree, 'fifo')]);
    const server = createServer().listen(path.join(tree, 'socket'));
    await expect(read('fifo')).rejects.toThrow(/fifo: is a fifo, not a file/);
    await expect(read('socket')).rejects.toThrow(TreeAccessError);
    await expect(read('dir')).rejects.toThrow(/is a directory, not a file/);
    expect((await walk()).map(({ path: at, kind }) => [at.toString(), kind])).toEqual([
      ['dir/file', 'file'],
      ['fifo', 'fifo'],
      ['socket', 'socket'],
    ]);
    await new Promise((resolve) => server.close(resolve));
  });

  test('walks in the order of bytes and gives links as links', async () => {
    await symlink(outside, path.join(tree, 'link'));
    await writeFile(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff])]), 'x');
    await writeFile(path.join(tree, 'ä"\n'), '');
    await chmod(path.join(tree, 'dir', 'file'), 0o750);
    const found = await walk();
    expect(found.map((entry) => [entry.path.toString('latin1'), entry.kind])).toEqual([
      ['dir/file', 'file'],
      ['link', 'link'],
      [Buffer.from('ä"\n').toString('latin1'), 'file'],
      ['\xff', 'file'],
    ]);
    expect(found[0]).toMatchObject({ mode: 0o750, size: 6 });
  });

  test('enters only what it is told to', async () => {
    await mkdir(path.join(tree, 'node_modules'));
    await writeFile(path.join(tree, 'node_modules', 'x'), '');
    const asked: string[] = [];
    const found = await walk({
      enter: (entry) => {
        asked.push(entry.path.toString());
        return entry.path.toString() !== 'node_modules';
      },
    });
    expect(found.map((entry) => entry.path.toString())).toEqual(['dir/file']);
    expect(asked).toEqual(['dir', 'node_modules']);
  });

  test('ends at a bound of entries and of depth', async () => {
    for (let n = 0; n < 20; n++) await writeFile(path.join(tree, `f${n}`), '');
    await expect(walk({ maxEntries: 10 })).rejects.toThrow(/more than 10 entries/);
    await promisify(execFile)('sh', ['-c', 'for i in $(seq 260); do mkdir d && cd d; done'], { cwd: tree });
    await expect(walk()).rejects.toThrow(/more than 200 directories deep/);
  });

  test('stops at an abort', async () => {
    const reason = new Error('not wanted');
    await expect(walk({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('never leaves the tree while a directory is swapped for a link again and again', async () => {
    const dir = path.join(tree, 'dir');
    const aside = path.join(tree, 'aside');
    const state = { running: true };
    const swapping = (async () => {
      while (state.running) {
        await rename(dir, aside);
        await symlink(outside, dir);
        await unlink(dir);
        await rename(aside, dir);
      }
    })();
    const outcomes = { read: 0, refused: 0 };
    try {
      for (let n = 0; n < 3000; n++) {
        try {
          expect(await read('dir/file')).toBe('inside');
          outcomes.read += 1;
        } catch (error) {
          expect(error).toBeInstanceOf(TreeAccessError);
          outcomes.refused += 1;
        }
      }
    } finally {
      state.running = false;
      await swapping;
    }
    expect(outcomes.read).toBeGreaterThan(0);
    expect(outcomes.refused).toBeGreaterThan(0);
  });
});

describe('writing into a hostile tree', () => {
  const place = async (name: string, content: string, mode = 0o644): Promise<void> => {
    const before = await descriptors();
    const placer = await FilePlacer.open(tree);
    try {
      await placer.placeFile({ path: Buffer.from(name), mode }, (fd) => {
        writeSync(fd, content);
        return Promise.resolve();
      });
    } finally {
      await placer.close();
      expect(await descriptors()).toBe(before);
    }
  };

  test('makes directories and files with their mode, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      await place('new/deep/run.sh', '#!', 0o755);
    } finally {
      process.umask(before);
    }
    expect((await stat(path.join(tree, 'new', 'deep', 'run.sh'))).mode & 0o7777).toBe(0o755);
    expect((await stat(path.join(tree, 'new'))).mode & 0o7777).toBe(0o755);
  });

  test('drops set-user-id', async () => {
    await place('suid', 'x', 0o4755);
    expect((await stat(path.join(tree, 'suid'))).mode & 0o7777).toBe(0o755);
  });

  test('replaces a file or link at the path, and never what it is linked to', async () => {
    await place('dir/file', 'new');
    expect(await readFile(path.join(tree, 'dir', 'file'), 'utf8')).toBe('new');
    await symlink(path.join(outside, 'file'), path.join(tree, 'link'));
    await place('link', 'new');
    await link(path.join(outside, 'file'), path.join(tree, 'hard'));
    await place('hard', 'new');
    expect(await readFile(path.join(outside, 'file'), 'utf8')).toBe('secret');
    expect(await readFile(path.join(tree, 'link'), 'utf8')).toBe('new');
  });

  test('refuses to go through a link or a file, or to replace a directory', async () => {
    await symlink(outside, path.join(tree, 'link'));
    await expect(place('link/owned', 'x')).rejects.toThrow(/link: is a symbolic link/);
    await expect(place('dir/file/x', 'x')).rejects.toThrow(TreeAccessError);
    await expect(place('dir', 'x')).rejects.toThrow(/is a directory already/);
    await expect(place('../outside/owned', 'x')).rejects.toThrow(TreeAccessError);
    expect(await readdir(outside)).toEqual(['file']);
  });

  test('hands files, links and new directories over, and leaves old directories alone', async () => {
    const placer = await FilePlacer.open(tree, { uid: 1000, gid: 1001 });
    await placer.placeFile({ path: Buffer.from('new/file'), mode: 0o600 }, () => Promise.resolve());
    await placer.placeFile({ path: Buffer.from('dir/other'), mode: 0o600 }, () => Promise.resolve());
    await placer.placeLink(Buffer.from('new/link'), 'file');
    await placer.close();
    const { stdout } = await promisify(execFile)(
      'stat',
      ['-c', '%u:%g', 'new', 'new/file', 'new/link', 'dir/other', 'dir'],
      { cwd: tree },
    );
    expect(stdout.trim().split('\n')).toEqual(['1000:1001', '1000:1001', '1000:1001', '1000:1001', '0:0']);
  });
});

describe('a path for people', () => {
  test('is readable and harmless', () => {
    expect(showPath(Buffer.from('dir/ü 🏗️'))).toBe('dir/ü 🏗️');
    expect(showPath(Buffer.from('a\nb\u001b[31m\\\u009b'))).toBe('a\\nb\\x1b[31m\\\\\\x9b');
    expect(showPath(Buffer.from([0x61, 0xff]))).toBe('a\\xff');
  });
});
