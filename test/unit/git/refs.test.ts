import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isBranchName, isRefName } from '../../../shared/git/refs.js';

const gitTakes = (ref: string): boolean => {
  try {
    execFileSync('git', ['check-ref-format', ref], { stdio: 'ignore' });
    return true;
  } catch {
    return false; // exit code 1
  }
};

describe('the name of a ref', () => {
  test.each([
    'refs/heads/main',
    'refs/heads/feature/x',
    'refs/heads/@',
    'refs/heads/a@b',
    'refs/heads/ü🏗️',
    'refs/heads/$(touch x)'.replace(' ', '_'),
    'refs/heads/a..b',
    'refs/heads/a.lock',
    'refs/heads/a.lock/b',
    'refs/heads/.a',
    'refs/heads/a/.b',
    'refs/heads/a.',
    'refs/heads/a b',
    'refs/heads/a~1',
    'refs/heads/a@{1}',
    'refs/heads/a\\b',
    'refs/heads//a',
    'refs/heads/a/',
    '/refs/heads/a',
    'refs/heads/a\u007f',
    'refs/heads/a\n',
    'main',
  ])('%j is one where git says so', (ref) => {
    expect(isRefName(ref)).toBe(gitTakes(ref));
  });

  test('is one where git says so, whatever it is made of', () => {
    const part = fc.constantFrom(
      'a',
      '.',
      '..',
      '/',
      '@',
      '{',
      '@{',
      '~',
      '^',
      ':',
      '?',
      '*',
      '[',
      '\\',
      ' ',
      '.lock',
      '-',
      '\t',
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const ref = `refs/${parts.join('')}`;
        expect(isRefName(ref)).toBe(gitTakes(ref));
      }),
      { numRuns: 60 },
    );
  });

  test('of a branch is neither an option nor HEAD', () => {
    expect(['main', 'feature/x', '@'].every(isBranchName)).toBe(true);
    expect(['', '-f', '--upload-pack=x', 'HEAD', 'a..b', '../x'].some(isBranchName)).toBe(false);
  });
});
