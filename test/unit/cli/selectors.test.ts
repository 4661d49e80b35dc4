import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { quoted, stageArguments } from '../../../coordinator/cli/follow/next-commands.js';
import { age, duration, shorten, size, table } from '../../../coordinator/cli/format.js';
import { projectNameOf } from '../../../coordinator/cli/project-name.js';
import {
  checkEnvironmentNames,
  parseCell,
  parsePairs,
  selectRun,
} from '../../../coordinator/cli/run-selector.js';

let dir: string;
beforeEach(() => (dir = realpathSync(mkdtempSync(join(tmpdir(), 'gantry-project-')))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const git = (...args: string[]): void => void execFileSync('git', ['-C', dir, ...args]);

describe('the project of a directory', () => {
  it('is the directory outside of git', async () => {
    expect(await projectNameOf(dir)).toBe(dir);
  });
  it('is the root of the repository without an origin', async () => {
    git('init', '-q');
    mkdirSync(join(dir, 'below'));
    expect(await projectNameOf(join(dir, 'below'))).toBe(dir);
  });
  it.each([
    ['https://user:secret@Example.org/team/app.git', 'example.org/team/app'],
    ['git@example.org:team/app.git', 'example.org/team/app'],
    ['git://example.org/app', 'git://example.org/app'],
  ])('is the normalized URL of its origin %s', async (origin, name) => {
    git('init', '-q');
    git('remote', 'add', 'origin', origin);
    expect(await projectNameOf(dir)).toBe(name);
  });
});

describe('what people type', () => {
  it('RUN is an id, a prefix, or the latest of the project here', async () => {
    expect(await selectRun('K3F7')).toEqual({ run: 'k3f7', projectName: '' });
    expect(await selectRun(undefined, dir)).toEqual({ run: '', projectName: dir });
    await expect(selectRun('not a run')).rejects.toThrow('is not a run');
    await expect(selectRun('0189')).rejects.toThrow('is not a run');
  });
  it('cells and pairs', () => {
    expect(parseCell(['python=3.12,os=linux', 'db=pg'])).toEqual({ python: '3.12', os: 'linux', db: 'pg' });
    expect(parsePairs(['A=b=c', 'B='], '--env', 'A=1')).toEqual({ A: 'b=c', B: '' });
    expect(() => parsePairs(['novalue'], '--env', 'A=1')).toThrow(
      '--env "novalue": expected KEY=VALUE, for example --env A=1',
    );
    expect(() => checkEnvironmentNames({ 'A-B': '1' })).toThrow('not a name that a shell can read');
  });
  it('a stage is named so that it can be typed again', () => {
    expect(stageArguments({ name: 'test', cell: { python: '3.12', note: "it's 1" } })).toBe(
      `test --cell python=3.12 --cell 'note=it'\\''s 1'`,
    );
    expect(quoted('a b')).toBe("'a b'");
  });
});

describe('numbers for people', () => {
  it.each([
    [0, '0.0 s'],
    [9_940, '9.9 s'],
    [9_960, '10 s'],
    [59_600, '1 min 00 s'],
    [125_000, '2 min 05 s'],
    [7_260_000, '2 h 01 min'],
    [-5, '0.0 s'],
  ])('%d ms are %s', (ms, text) => expect(duration(ms)).toBe(text));
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [104_857_600, '100 MiB'],
    [5e12, '4.5 TiB'],
  ])('%d bytes are %s', (bytes, text) => expect(size(bytes)).toBe(text));
  it('ages, tables and what is cut', () => {
    expect(age(0, 61_000)).toBe('1 min ago');
    expect(
      table([
        ['a', 'bb'],
        ['\u001b[1mccc\u001b[0m', 'd'],
      ]),
    ).toEqual(['a    bb', '\u001b[1mccc\u001b[0m  d']);
    expect(shorten('🚀🚀🚀', 2)).toBe('🚀…');
  });
});
