import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runLines, runTable } from '../../../coordinator/cli/run-text.js';
import type { FollowEvent } from '../../../coordinator/cli/follow/watch-event.js';
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

  it('is one line in a list', () => {
    expect(runTable([stateOf('an-ended-run')], { color: false, now, project: true })).toEqual([
      'tuerfxnq  ✗ failed  4.6 s  50 s ago  example.org/shop  main  1f198f87 Fix the parser',
    ]);
  });
});
