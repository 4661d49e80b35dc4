import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FollowPrinter } from '../../../coordinator/cli/follow/printer.js';
import type { FollowEvent } from '../../../coordinator/cli/follow/watch-event.js';

/** Pairs of files: events as `watch --json` prints them, and the lines that a person sees. */
const folder = join(import.meta.dirname, 'follow');
const cases = readdirSync(folder)
  .filter((name) => name.endsWith('.jsonl'))
  .map((name) => name.slice(0, -'.jsonl'.length));

function printed(name: string, color: boolean): string {
  const printer = new FollowPrinter({ color });
  const events = readFileSync(join(folder, `${name}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as FollowEvent);
  return events
    .flatMap((event) => printer.print(event))
    .map(
      ({ text, tail }) =>
        `${text}\n${tail === undefined ? '' : `<end of the log of ${tail.stage}/${tail.attempt}/${tail.step}>\n`}`,
    )
    .join('');
}

describe('a run, line by line', () => {
  it.each(cases)('%s', async (name) => {
    await expect(printed(name, false)).toMatchFileSnapshot(join(folder, `${name}.txt`));
  });

  it('says nothing twice, whatever is repeated', () => {
    expect(printed('every-event-twice', false)).toBe(printed('a-run-with-a-failure', false));
  });

  it('adds nothing but colour on a terminal', () => {
    // eslint-disable-next-line no-control-regex -- colours are what it looks for
    expect(printed('a-run-with-a-failure', true).replaceAll(/\u001b\[\d+m/g, '')).toBe(
      printed('a-run-with-a-failure', false),
    );
  });
});
