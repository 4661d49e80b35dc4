/** What a `.dockerignore` leaves out. */
import { describe, expect, it } from 'vitest';
import { IgnoreFile } from '../../../agent/workspace/ignore-file.js';

const kept = (text: string, ...paths: readonly string[]) => {
  const file = new IgnoreFile(text);
  return paths.filter((path) => !file.leavesOut(Buffer.from(path)));
};

describe('a .dockerignore', () => {
  it.each<[string, string, readonly string[], readonly string[]]>([
    ['nothing, where it is empty', '\n# a\n  \n', ['# a', 'b'], ['# a', 'b']],
    ['a file at the top, not one further down', 'a', ['a', 'b/a', 'ab'], ['b/a', 'ab']],
    ['all below a directory', 'dir\n', ['dir', 'dir/a/b', 'dirs'], ['dirs']],
    ['with slashes before and behind, and dots', '/a/\n./b/../c', ['a/x', 'b', 'c'], ['b']],
    ['one component by *', '*.o\na/*/c', ['x.o', 'b/x.o', 'a/b/c/d', 'a/b/x/c'], ['b/x.o', 'a/b/x/c']],
    ['any number of them by **', '**/*.o\na/**/z', ['x.o', 'b/c/x.o', 'a/z', 'a/b/c/z', 'az'], ['az']],
    ['** as a part of a name', '**.o', ['x.o', 'b/c/x.o', 'o'], ['o']],
    ['one character by ?, some by []', 'a?\nb[0-9]', ['a', 'ab', 'b7', 'bx'], ['a', 'bx']],
    ['the repository too, as all else', '*', ['.git', '.git/config', 'a'], []],
    ['not what has an exception', '*\n!src', ['a', 'src', 'src/a/b'], ['src', 'src/a/b']],
    ['what comes after its exception', '*.md\n!README.md\nREADME.*', ['a.md', 'README.md'], []],
    ['braces as they are', '{a,b}', ['{a,b}', 'a', 'b'], ['a', 'b']],
    ['nothing above the context, and not all of it by name', '..\n../a\n.\n/', ['a', '..a'], ['a', '..a']],
    ['Windows line ends, a byte order mark', '\uFEFFa\r\nb\r\n', ['a', 'b', 'c'], ['c']],
  ])('leaves out %s', (_, text, paths, left) => {
    expect(kept(text, ...paths)).toEqual(left);
  });

  it('is refused with more patterns than can be asked for each file', () => {
    expect(() => new IgnoreFile('a\n'.repeat(1001))).toThrow('more than 1000 patterns');
    expect(new IgnoreFile('!a\n').hasExceptions).toBe(true);
  });

  it('takes names that are no UTF-8', () => {
    const file = new IgnoreFile('*.o\n');
    expect(file.leavesOut(Buffer.from([0xff, 0x2e, 0x6f]))).toBe(true);
    expect(file.leavesOut(Buffer.from([0xff]))).toBe(false);
  });
});
