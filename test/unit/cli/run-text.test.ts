import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runLines, runTable } from '../../../coordinator/cli/run-text.js';
import type { FollowEvent } from '../../../coordinator/cli/follow/watch-event.js';
import { parseCommitId, parseRunId, type CommitId, type RunId } from '../../../shared/model/ids.js';
import type { RunView } from '../../../shared/model/run.js';

function stateOf(name: string): RunView {
  const text = readFileSync(join(import.meta.dirname, 'follow', `${name}.jsonl`), 'utf8');
  for (const line of text.trimEnd().split('\n').reverse()) {
    const event = JSON.parse(line) as FollowEvent;
    if (event.kind === 'state') return event.run;
  }
  throw new Error(`${name} has no state`);
}

const now = Date.parse('2026-11-24T23:31:00.000Z');
const text = (name: string): string => `${runLines(stateOf(name), { color: false, now }).join('\n')}\n`;

describe('a run as text', () => {
  it.each(['an-ended-run', 'interrupted-and-resumed-by-a-state', 'hostile-names'])('%s', async (name) => {
    await expect(text(name)).toMatchFileSnapshot(join(import.meta.dirname, 'show', `${name}.txt`));
  });

  it('says since when its branch fails, and what was green last', () => {
    const commit = (digit: string): CommitId => parseCommitId(digit.repeat(40))!;
    const run = (letter: string): RunId => parseRunId(letter.repeat(16))!;
    const failing = {
      since: { commit: commit('a'), run: run('b') },
      lastGreen: { commit: commit('c'), run: run('d') },
    };
    const lines = runLines({ ...stateOf('an-ended-run'), failing }, { color: false, now });
    expect(lines).toContain(
      '  failing since aaaaaaaaaaaa (run bbbbbbbb), last green cccccccccccc (run dddddddd)',
    );
    const never = { since: failing.since };
    expect(runLines({ ...stateOf('an-ended-run'), failing: never }, { color: false, now })).toContain(
      '  failing since aaaaaaaaaaaa (run bbbbbbbb), never green before',
    );
  });

  it('says why it could not begin, in the lines that say it', () => {
    const message = '.gantry.yml:1:1: no stages\n  1 | a: \u001b[2J\u202e1\n    | ^';
    const failure = { kind: 'invalid-pipeline', message } as const;
    const lines = runLines({ ...stateOf('an-ended-run'), failure, stages: [] }, { color: false, now });
    expect(lines).toEqual(
      expect.arrayContaining([
        '  could not begin: .gantry.yml:1:1: no stages',
        '      1 | a: 1',
        '        | ^',
      ]),
    );
  });

  it('says what is missing of a step’s log', () => {
    const state = stateOf('an-ended-run');
    const stages = state.stages.map((stage) => ({
      ...stage,
      steps: stage.steps.map((step) => ({ ...step, incomplete: 'nothing after byte 7' })),
    }));
    const lines = runLines({ ...state, stages }, { color: false, now });
    expect(lines).toContain('        its log is incomplete: nothing after byte 7');
  });

  it('is one line in a list', () => {
    expect(runTable([stateOf('an-ended-run')], { color: false, now, project: true })).toEqual([
      'tuerfxnq  ✗ failed  4.6 s  50 s ago  example.org/shop  main  1f198f87 Fix the parser',
    ]);
  });
});
