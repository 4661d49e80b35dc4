import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createEmpty,
  createGuarded,
  openGuardedLog,
  readGuarded,
} from '../../../agent/executor/guarded-file.js';
import { removeTree } from '../../../agent/executor/remove-tree.js';

let directory: string;
const at = (name: string): string => join(directory, name);
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-guarded-'));
  await writeFile(at('secret'), 'secret');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('files in a hostile directory', () => {
  test.each(['link', 'dangling', 'fifo', 'directory', 'socket', 'missing'])(
    'a %s is not read',
    async (what) => {
      await symlink(at('secret'), at('link'));
      await symlink(at('nowhere'), at('dangling'));
      execFileSync('mkfifo', [at('fifo')]);
      await mkdir(at('directory'));
      execFileSync('python3', [
        '-c',
        'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
        at('socket'),
      ]);
      expect(await openGuardedLog(at(what))).toBeUndefined();
      expect(readGuarded(at(what), 100)).toBeUndefined();
    },
  );

  test('at most the bytes wanted are read', () => {
    expect(readGuarded(at('secret'), 3)?.toString()).toBe('sec');
    expect(readGuarded(at('secret'), 100)?.toString()).toBe('secret');
  });

  test('nothing that lies there already is taken for a new file', async () => {
    await symlink(at('nowhere'), at('dangling'));
    await link(at('secret'), at('hard'));
    for (const name of ['secret', 'dangling', 'hard']) {
      await expect(createGuarded(at(name), owner)).rejects.toMatchObject({ code: 'EEXIST' });
      expect(() => createEmpty(at(name), owner)).toThrow(/EEXIST/);
    }
    const file = await createGuarded(at('new'), owner);
    await file.writeFile('x');
    await file.close();
    expect(await readFile(at('new'), 'utf8')).toBe('x');
    createEmpty(at('empty'), owner);
    expect(await readFile(at('empty'), 'utf8')).toBe('');
  });
});

test('a tree is removed without following what is in it', async () => {
  await mkdir(at('tree'));
  await symlink(directory, at('tree/up'));
  await writeFile(at('tree/-rf'), '');
  await removeTree(at('tree'));
  await removeTree(at('tree'));
  expect(await readFile(at('secret'), 'utf8')).toBe('secret');
});
