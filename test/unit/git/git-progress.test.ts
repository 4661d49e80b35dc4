import { describe, expect, test } from 'vitest';
import { parseProgress, StderrReader, type GitProgress } from '../../../shared/git/git-progress.js';

describe('what git writes to stderr', () => {
  test('progress has an activity and a fraction', () => {
    expect(parseProgress('Receiving objects:  45% (9/20), 1.20 MiB | 3.00 MiB/s')).toEqual({
      activity: 'Receiving objects',
      fraction: 0.45,
    });
    expect(parseProgress('remote: Compressing objects: 100% (3/3), done.')).toEqual({
      activity: 'remote: Compressing objects',
      fraction: 1,
    });
    expect(parseProgress("fatal: couldn't find remote ref x")).toBeUndefined();
    expect(parseProgress('Updating files: 5% (0/0)')).toEqual({ activity: 'Updating files' });
  });

  test('is told from words however it is cut', () => {
    const text =
      'remote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\nwarning: odd\nfatal: gone';
    for (let cut = 1; cut < text.length; cut++) {
      const seen: GitProgress[] = [];
      const reader = new StderrReader((progress) => seen.push(progress));
      reader.push(text.slice(0, cut));
      reader.push(text.slice(cut));
      expect(reader.text()).toBe('warning: odd\nfatal: gone');
      expect(seen.map(({ fraction }) => fraction)).toEqual([0.5, 1]);
    }
  });

  test('is kept to a bound, its beginning and its end', () => {
    const reader = new StderrReader(undefined);
    reader.push('fatal: the cause\n');
    for (let line = 0; line < 10_000; line++) reader.push(`error: line ${line} ${'x'.repeat(50)}\n`);
    reader.push(`${'y'.repeat(1_000_000)}\n`);
    reader.push('fatal: the verdict\n');
    const text = reader.text();
    expect(text.length).toBeLessThan(40_000);
    expect(text.startsWith('fatal: the cause')).toBe(true);
    expect(text.endsWith('fatal: the verdict')).toBe(true);
  });
});
