import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  checkStageNames,
  readLocalTree,
  refuseTooMuch,
  treeNotes,
} from '../../../coordinator/cli/submit/local-tree.js';
import type { TreeDescription } from '../../../coordinator/source/git-tree.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gantry-tree-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const read = (): ReturnType<typeof readLocalTree> =>
  readLocalTree(dir, { signal: new AbortController().signal });

const tree = (more: Partial<TreeDescription>): TreeDescription => ({
  kind: 'git',
  root: '/src',
  prefix: '',
  projectName: 'p',
  changed: false,
  untracked: [],
  embedded: [],
  secrets: [],
  ...more,
});

describe('a tree before it is submitted', () => {
  it('needs a pipeline, and says how to get one', async () => {
    await expect(read()).rejects.toMatchObject({
      exitCode: 2,
      remedies: [expect.stringContaining('gantry init')],
    });
  });

  it('is refused with everything that is wrong in its pipeline, each located', async () => {
    writeFileSync(join(dir, '.gantry.yml'), 'image: x\nstages:\n  a: { steps: [], nope: 1 }\n');
    await expect(read()).rejects.toMatchObject({ exitCode: 2 });
    await expect(read()).rejects.toThrow(/nope[\s\S]*\.gantry\.yml:3|\.gantry\.yml:3[\s\S]*nope/);
  });

  it('has only the stages of its pipeline', async () => {
    writeFileSync(join(dir, '.gantry.yml'), 'stages:\n  a: { steps: [x] }\n  b: { steps: [y] }\n');
    const { stages } = await read();
    checkStageNames(['b'], stages);
    expect(() => checkStageNames(['c', 'a'], stages)).toThrow('has no stage c');
  });

  it('is a directory: neither a file nor nothing', async () => {
    await expect(
      readLocalTree(join(dir, 'nope'), { signal: new AbortController().signal }),
    ).rejects.toMatchObject({ exitCode: 2 });
  });

  it('says what is sent besides what was committed', () => {
    const untracked = [{ path: Buffer.from('a'), bytes: 2048 }];
    expect(
      treeNotes(
        tree({ untracked, secrets: [{ path: '.env', reason: 'environment file' }], embedded: ['vendor/x'] }),
      ),
    ).toEqual([
      'sending 1 untracked file, 2 KiB',
      'warning: .env is sent too, and looks like a secret (environment file); ignore it in .gitignore if it is one',
      'warning: vendor/x is a repository of its own; only the commit it is at is sent, not its files',
    ]);
    expect(treeNotes(tree({ kind: 'directory', untracked }))).toEqual([
      'sending 1 file, 2 KiB (/src is no git repository)',
    ]);
  });

  it('does not send more than 100 MB of untracked files unasked', () => {
    refuseTooMuch(tree({ untracked: [{ path: Buffer.from('a'), bytes: 100 * 1024 * 1024 }] }));
    expect(() =>
      refuseTooMuch(tree({ untracked: [{ path: Buffer.from('a'), bytes: 100 * 1024 * 1024 + 1 }] })),
    ).toThrow(/would be sent, more than 100 MiB/);
  });
});
