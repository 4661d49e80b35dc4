import fc from 'fast-check';
import { expect, test } from 'vitest';

import { createRunTable } from '../../../coordinator/history/run-table.js';
import type { FinishedRun } from '../../../coordinator/history/run-index.js';
import { projectId, runId } from '../../support/ids.js';

const row = (
  n: number,
  submitted: number,
  sequence: number,
  status = 'succeeded',
): Parameters<ReturnType<typeof createRunTable>['take']>[0] => ({
  run: runId(n),
  project: projectId(n % 2),
  sequence,
  json: Buffer.from(
    JSON.stringify({ run: runId(n), submittedAt: new Date(submitted).toISOString(), status, n }),
  ),
});
const numberOf = (run: FinishedRun): unknown => Reflect.get(run, 'n');

test('pages give every run once, newest first, in whatever order they came and whatever their size', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(40), { maxLength: 30 }),
      fc.array(fc.nat(5), { minLength: 30, maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      fc.option(fc.nat(1)),
      (runs, times, limit, project) => {
        const table = createRunTable();
        const submitted = new Map(runs.map((n, index) => [n, 1_000 * (times[index] ?? 0)]));
        runs.forEach((n, index) => table.take(row(n, submitted.get(n) ?? 0, index + 1)));
        const seen: unknown[] = [];
        let before: string | undefined;
        do {
          const page = table.list({
            limit,
            filter: () => true,
            ...(before === undefined ? {} : { before }),
            ...(project === null ? {} : { project: projectId(project) }),
          });
          seen.push(...page.runs.map(numberOf));
          before = page.cursor;
        } while (before !== undefined);
        const expected = runs
          .filter((n) => project === null || n % 2 === project)
          .sort(
            (a, b) => (submitted.get(b) ?? 0) - (submitted.get(a) ?? 0) || (runId(a) < runId(b) ? 1 : -1),
          );
        expect(seen).toEqual(expected);
      },
    ),
  );
});

test('of two rows of a run the one with the greater sequence counts, also when it comes first', () => {
  for (const rows of [
    [row(1, 1_000, 5, 'failed'), row(1, 2_000, 9, 'succeeded')],
    [row(1, 2_000, 9, 'succeeded'), row(1, 1_000, 5, 'failed')],
  ]) {
    const table = createRunTable();
    for (const each of rows) table.take(each);
    expect(table.get(runId(1))?.status).toBe('succeeded');
    expect(table.sequenceOf(runId(1))).toBe(9);
    expect(table.list({ limit: 5, filter: () => true }).runs).toHaveLength(1);
    expect(table.size).toBe(1);
  }
});

test('what is no row is passed over', () => {
  const table = createRunTable();
  for (const json of [
    '',
    'x',
    'null',
    '{}',
    `{"run":"${runId(2)}","submittedAt":"2024-01-01T00:00:00Z"}`,
    `{"run":"${runId(1)}","submittedAt":"soon"}`,
  ])
    table.take({ ...row(1, 0, 1), json: Buffer.from(json) });
  expect(table.size).toBe(0);
});
