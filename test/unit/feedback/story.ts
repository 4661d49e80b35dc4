/** A story for tests of how it is told. */
import type { Story } from '../../../coordinator/feedback/story.js';
import {
  parseCommitId,
  parseProjectId,
  parseRunId,
  type CommitId,
  type RunId,
} from '../../../shared/model/ids.js';

export const commit = (digit: string): CommitId => parseCommitId(digit.repeat(40))!;
export const run = (letter: string): RunId => parseRunId(letter.repeat(16))!;

export const story = (changes: Partial<Story> = {}): Story => ({
  news: 'failed',
  run: run('k'),
  project: { id: parseProjectId('p'.repeat(16))!, name: 'git.example.org/team/app', short: 'app' },
  event: 'push',
  status: 'failed',
  branch: 'main',
  tag: null,
  commit: commit('1'),
  title: 'Fix the parser',
  author: 'Ada Lovelace <ada@example.org>',
  by: 'ada',
  submittedAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:01.000Z',
  finishedAt: '2026-01-01T00:00:09.000Z',
  failure: null,
  failed: [
    {
      number: 3,
      title: 'test (python=3.12)',
      kind: 'exit-code',
      reason: 'step 2 exited with code 1',
      isOurs: false,
      step: { number: 2, name: 'unit tests' },
      agent: 'builder-1',
      log: { lines: ['collected 2 items', '1 failed, 1 passed'], isCut: true, missing: null },
    },
  ],
  moreFailed: 0,
  skipped: 2,
  failing: {
    since: { run: run('k'), commit: commit('1') },
    lastGreen: { run: run('g'), commit: commit('9') },
  },
  commits: [{ commit: commit('1'), title: 'Fix the parser', author: 'Ada Lovelace' }],
  moreCommits: false,
  ...changes,
});
