/** Which images a Dockerfile builds upon. */
import { describe, expect, it } from 'vitest';
import { basesOf, withBases } from '../../../agent/workspace/dockerfile.js';

const images = (text: string, options: { args?: Record<string, string>; target?: string } = {}) =>
  basesOf(text, { args: {}, ...options }).map(({ image }) => image);

describe('the base images of a Dockerfile', () => {
  it.each<[string, string, readonly string[]]>([
    ['one', 'FROM busybox\nRUN echo FROM other\n', ['busybox']],
    [
      'whatever the case and the spaces',
      '  from  --platform=linux/amd64   busybox:1  as  Base\r\n',
      ['busybox:1'],
    ],
    ['each of several', 'FROM a\nFROM b@sha256:1\n', ['a', 'b@sha256:1']],
    [
      'no former build stage, and not nothing',
      'FROM scratch\nFROM a AS One\nFROM one\nFROM ONE AS x\n',
      ['a'],
    ],
    [
      'those that files are copied from',
      'FROM a\nCOPY --chown=1 --from=b /x /y\nCOPY --from=0 / /\n',
      ['a', 'b'],
    ],
    ['not those in comments', '# FROM x\nFROM a\n#FROM b\n', ['a']],
    [
      'not what goes on from the line before',
      'FROM a\nRUN echo \\\n# a comment\n\nFROM b\nFROM c\n',
      ['a', 'c'],
    ],
    ['not what goes on in the next line', 'FROM \\\n a\nFROM b\n', ['b']],
    ['with another character that goes on', '# escape=`\nFROM a\nRUN dir `\nFROM b\nFROM c\\\n', ['a']],
    [
      'with its variables',
      'ARG V=1\nARG R="reg:5000"\nFROM $R/a:${V}\nFROM b:${W:-2}\n',
      ['reg:5000/a:1', 'b:2'],
    ],
    ['not with unknown ones', 'FROM $X\nFROM a:${Y}\nFROM b:${Z:+c}\n', []],
    ['not with those of a build stage', 'FROM a\nARG V=1\nFROM b:$V\n', ['a']],
  ])('are %s', (_, text, found) => {
    expect(images(text)).toEqual(found);
  });

  it('take arguments of the step before their defaults', () => {
    expect(images('ARG V=1\nARG W\nFROM a:$V$W\n', { args: { V: '2', W: 'x' } })).toEqual(['a:2x']);
    expect(images('FROM a:$V\n', { args: { V: '2' } })).toEqual([]);
  });

  it('are those up to the target, by name or number', () => {
    const text = 'FROM a AS one\nFROM b AS two\nFROM c\n';
    expect(images(text, { target: 'ONE' })).toEqual(['a']);
    expect(images(text, { target: '1' })).toEqual(['a', 'b']);
    expect(images(text, { target: 'none' })).toEqual(['a', 'b', 'c']);
  });

  it('are replaced where they stand, and nothing else is', () => {
    const text = '# a\r\nFROM  a AS one\nCOPY --from=b /a /b\nRUN echo a b';
    expect(withBases(text, basesOf(text, { args: {} }), ['a@sha256:1', 'sha256:2'])).toBe(
      '# a\r\nFROM  a@sha256:1 AS one\nCOPY --from=sha256:2 /a /b\nRUN echo a b',
    );
  });

  it('are found in no time, whatever the text', () => {
    const began = performance.now();
    images(
      `FROM ${'--platform=x '.repeat(50_000)}\nCOPY ${'--x '.repeat(100_000)}--from=\nARG ${'A'.repeat(500_000)}=\n`,
    );
    images(`# \n`.repeat(200_000));
    images(`FROM ${'${A:-'.repeat(100_000)}\n`);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});
