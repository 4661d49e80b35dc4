import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Glob, GlobError } from '../../../agent/workspace/glob.js';

const matching = (pattern: string, paths: readonly (string | Buffer)[]): (string | Buffer)[] =>
  paths.filter((path) => new Glob(pattern).test(path));

describe('a glob', () => {
  test.each([
    ['dist/*.whl', ['dist/a.whl', 'dist/.whl'], ['dist/a.tar', 'dist/x/a.whl', 'a.whl', 'dist']],
    ['*', ['a', '.hidden'], ['a/b', '.git']],
    ['**', ['a', 'a/b/c', '.hidden/x'], ['.git', '.git/config']],
    ['**/*.log', ['a.log', 'x/a.log', 'x/y/a.log'], ['a.logs', '.git/a.log']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['a/xb', 'b', 'ab']],
    ['a/**', ['a/b', 'a/b/c'], ['a', 'ab']],
    ['htmlcov', ['htmlcov', 'htmlcov/index.html', 'htmlcov/a/b'], ['htmlcov2', 'x/htmlcov']],
    ['build/out', ['build/out', 'build/out/x'], ['build/outer', 'build']],
    ['htmlcov/', ['htmlcov/index.html'], ['htmlcov', 'x/htmlcov/y']],
    ['./dist/', ['dist/a'], ['dist']],
    ['.', ['a', 'a/b'], ['.git/x']],
    ['file?.txt', ['file1.txt', 'fileü.txt', 'file🏗.txt'], ['file.txt', 'file12.txt', 'file/.txt']],
    ['[a-c]x', ['ax', 'cx'], ['dx', '[a-c]x']],
    ['[!a-c]x', ['dx', 'üx'], ['ax']],
    ['[]x]', [']', 'x'], ['[]x]']],
    ['[', ['['], ['x']],
    ['[ä-ü]', ['ö'], ['o']],
    ['{a,b}/*.{x,y}', ['a/1.x', 'b/1.y'], ['c/1.x', 'a/1.z']],
    ['{a,{b,c}d}', ['a', 'bd', 'cd'], ['b', 'cd,']],
    ['{a}', ['{a}'], ['a']],
    ['{a,b', ['{a,b'], ['a']],
    ['\\*', ['*'], ['a']],
    ['a\\{b,c\\}', ['a{b,c}'], ['ab']],
    ['.git/config', ['.git/config'], ['.git/HEAD']],
    ['sub/**', ['sub/.git/x'], ['.git/sub']],
    ['with space "quoted"', ['with space "quoted"'], ['with']],
  ])('%s', (pattern, yes, no) => {
    expect(matching(pattern, [...yes, ...no])).toEqual(yes);
  });

  test('matches names that are not UTF-8 byte by byte', () => {
    const name = Buffer.from([0x61, 0xff, 0x62]);
    expect(matching('a?b', [name])).toEqual([name]);
    expect(matching('*', [name])).toEqual([name]);
    expect(matching('a*', [name])).toEqual([name]);
    expect(matching('ab', [name])).toEqual([]);
  });

  test.each([
    ['', /empty/],
    ['/etc/passwd', /absolute/],
    ['../x', /leaves/],
    ['a/../b', /leaves/],
    ['{a,..}/b', /leaves/],
    ['a\0', /NUL/],
    ['a\\', /backslash/],
    ['{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}', /more than 256/],
  ])('%j is refused', (pattern, message) => {
    expect(() => new Glob(pattern)).toThrow(GlobError);
    expect(() => new Glob(pattern)).toThrow(message);
  });

  test('tells where going on is of no use', () => {
    const glob = new Glob('dist/*.whl');
    const at = (path: string): boolean => {
      let position = glob.start();
      path.split('/').forEach((name, index) => {
        position = glob.step(position, Buffer.from(name), index === 0);
      });
      return position.mayMatchBelow;
    };
    expect(at('dist')).toBe(true);
    expect(at('node_modules')).toBe(false);
    expect(at('dist/sub')).toBe(false);
  });

  test('takes no longer for a malicious pattern than length by length', () => {
    const pattern = `${'*a'.repeat(200)}b`;
    const path = 'a'.repeat(2000);
    const deep = new Glob(`${'**/a/'.repeat(50)}b`);
    const start = process.cpuUsage().user;
    expect(new Glob(pattern).test(path)).toBe(false);
    expect(deep.test('a/'.repeat(500) + 'c')).toBe(false);
    // Backtracking would take centuries; the bound only has to tell the two apart on a busy machine.
    expect(process.cpuUsage().user - start).toBeLessThan(5_000_000);
  });

  test('says of every path what a plain reading of the rules says', () => {
    const part = fc.constantFrom('a', 'b', '*', '?', '**', 'a*', '*b', 'ab');
    const name = fc.constantFrom('a', 'b', 'ab', 'ba', 'c');
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 5 }),
        fc.array(name, { minLength: 1, maxLength: 5 }),
        (parts, names) => {
          expect(new Glob(parts.join('/')).test(names.join('/'))).toBe(plainly(parts, names));
        },
      ),
      { numRuns: 3000 },
    );
  });
});

/** The rules by recursion, as one would read them. */
function plainly(parts: readonly string[], names: readonly string[]): boolean {
  const last = parts.at(-1) ?? '';
  const patterns = [parts.join('/')];
  if (/^[^*?]+$/.test(last)) patterns.push(`${parts.join('/')}/**`);
  return patterns.some((pattern) => components(pattern.split('/'), names));
}

function components(parts: readonly string[], names: readonly string[]): boolean {
  const [first, ...rest] = parts;
  if (first === undefined) return names.length === 0;
  if (first === '**') {
    if (rest.length === 0) return names.length > 0;
    return components(rest, names) || (names.length > 0 && components(parts, names.slice(1)));
  }
  const [name, ...others] = names;
  if (name === undefined) return false;
  const pattern = new RegExp(`^${first.replaceAll('*', '.*').replaceAll('?', '.')}$`);
  return pattern.test(name) && components(rest, others);
}
