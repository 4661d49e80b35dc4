import { describe, expect, it } from 'vitest';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import {
  describeTriggers,
  whyNoRun,
  type TriggerRules,
} from '../../../coordinator/pipeline/trigger-rules.js';
import { PatternList, Work, wrongPattern } from '../../../coordinator/pipeline/patterns.js';

function rules(on: string): TriggerRules {
  const compiled = compilePipeline(`${on}\nstages: { a: { steps: [x] } }`, { file: 'f' });
  if (!compiled.ok) throw new Error(compiled.diagnostics.map(({ message }) => message).join('; '));
  return compiled.on;
}

const push = (branch: string, changed?: readonly string[]) =>
  ({ event: 'push', branch, ...(changed === undefined ? {} : { changed }) }) as const;
const tag = (name: string) => ({ event: 'tag', tag: name }) as const;
const change = (branch: string, target: string) => ({ event: 'change', branch, target }) as const;

describe('`on`', () => {
  it.each<[string, TriggerRules]>([
    ['', { events: ['push', 'change'] }],
    ['on: push', { events: ['push'] }],
    ['on: [push, tag, push]', { events: ['push', 'tag'] }],
    ['on: { events: change }', { events: ['change'] }],
    ['on: { tags: v* }', { events: ['push', 'change', 'tag'], tags: ['v*'] }],
    ['on: { events: [tag], tags: ["v*", "!v0*"] }', { events: ['tag'], tags: ['v*', '!v0*'] }],
    [
      'on: { branches: [main], paths: src }',
      { events: ['push', 'change'], branches: ['main'], paths: ['src'] },
    ],
    [
      'on: { branches: [3.10] }'.replace('3.10', '"3.10"'),
      { events: ['push', 'change'], branches: ['3.10'] },
    ],
  ])('%s', (written, expected) => {
    expect(rules(written)).toEqual(expected);
  });

  const none = expect.any(String) as unknown as string;
  it.each<[string, Parameters<typeof whyNoRun>[1], string | undefined]>([
    ['', push('main'), undefined],
    ['', change('topic', 'main'), undefined],
    ['', tag('v1'), 'the pipeline is not for tags: `on` is pushes to branches or changes'],
    ['on: tag', push('main'), 'the pipeline is not for pushes to branches: `on` is tags'],
    ['on: tag', tag('v1'), undefined],
    [
      'on: manual',
      push('main'),
      'the pipeline is not for pushes to branches: `on` is runs that people start',
    ],
    ['on: manual', { event: 'manual' }, undefined],
    ['on: tag', { event: 'submit', branch: 'main' }, undefined],
    ['on: { branches: x }', { event: 'gate', branch: 'y' }, undefined],
    ['on: { branches: [main, "release/*"] }', push('release/1'), undefined],
    ['on: { branches: [main, "release/*"] }', push('release/1/x'), none],
    ['on: { branches: [main, "release/**"] }', push('release/1/x'), undefined],
    ['on: { branches: main }', push('main2'), 'branch "main2" does not match main (`branches` of `on`)'],
    ['on: { branches: main }', push('x/main'), none],
    ['on: { branches: main }', push('main/x'), none],
    ['on: { branches: "!dependabot/**" }', push('main'), undefined],
    ['on: { branches: "!dependabot/**" }', push('dependabot/npm/x'), none],
    ['on: { branches: ["release/**", "!release/old/**", "release/old/1"] }', push('release/old/2'), none],
    [
      'on: { branches: ["release/**", "!release/old/**", "release/old/1"] }',
      push('release/old/1'),
      undefined,
    ],
    ['on: { branches: main }', change('topic', 'main'), undefined],
    ['on: { branches: main }', change('main', 'next'), none],
    ['on: { tags: v* }', tag('v1.2'), undefined],
    ['on: { tags: v* }', tag('x'), 'tag "x" does not match v* (`tags` of `on`)'],
    ['on: { tags: v*, branches: main, paths: src }', tag('v1'), undefined],
    ['on: { paths: ["src/**", "*.md"] }', push('main', ['src/a/b', 'x']), undefined],
    [
      'on: { paths: ["src/**", "*.md"] }',
      push('main', ['doc/a.md']),
      'the changed path "doc/a.md" does not match src/**, *.md (`paths` of `on`)',
    ],
    ['on: { paths: src }', push('main', ['a', 'b']), 'none of 2 changed paths matches src (`paths` of `on`)'],
    ['on: { paths: src }', push('main', []), 'it changes no files, and `on` has `paths`'],
    ['on: { paths: src }', push('main'), undefined],
    ['on: { paths: "!**/*.md" }', push('main', ['a.md', 'b/c.md']), none],
    ['on: { paths: "!**/*.md" }', push('main', ['a.md', 'b/c.txt']), undefined],
  ])('%s and %j', (written, pushed, expected) => {
    expect(whyNoRun(rules(written), pushed)).toEqual(expected);
  });

  it.each([
    ['', 'pushes and changes to all branches'],
    ['on: tag', 'all tags'],
    ['on: manual', 'nothing but people'],
    [
      'on: { events: push, branches: [main, next], tags: v*, paths: src }',
      'pushes to main, next, of paths src; tags v*',
    ],
  ])('%s is told to people', (written, expected) => {
    expect(describeTriggers(rules(written))).toBe(expected);
  });
});

describe('patterns', () => {
  const work = () => new Work(1_000_000);
  it.each<[string, string, boolean]>([
    ['*', 'a', true],
    ['*', '.a', true],
    ['*', 'a/b', false],
    ['**', 'a/b/c', true],
    ['**/c', 'c', true],
    ['**/c', 'a/b/c', true],
    ['a/**/c', 'a/c', true],
    ['a/**/c', 'a/b/b/c', true],
    ['a/**/c', 'a/b/cc', false],
    ['a/**', 'a', false],
    ['a/', 'a/b', true],
    ['a/', 'a', false],
    ['a', 'a/b/c', true],
    ['a', 'b/a', false],
    ['*.{js,ts}', 'x.ts', true],
    ['*.{js,ts}', 'x.go', false],
    ['{a,b/{c,d}}/x', 'b/d/x', true],
    ['{a}', '{a}', true],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[!a-c]x', 'dx', true],
    ['[]]', ']', true],
    ['[a', '[a', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['?', '😀', true],
    ['?', 'ab', false],
    ['a*b*c', 'aXbYbZc', true],
    ['**/a/**/b/**', 'x/a/y/a/b/z', true],
  ])('%s and the path %s: %s', (pattern, path, expected) => {
    expect(wrongPattern(pattern, 'paths')).toBeUndefined();
    expect(new PatternList([pattern], 'paths').matches(path, work())).toBe(expected);
  });

  it('are matched in bounded steps, and match when these are used up', () => {
    const budget = new Work(10_000);
    const list = new PatternList([`${'*a'.repeat(100)}b`], 'paths');
    let tried = 0;
    while (!list.matches('a'.repeat(1000), budget)) tried += 1;
    expect(tried).toBeLessThan(10);
    expect(budget.left).toBeGreaterThan(-1_000_000);
  });
});
