/** Which commits each deployment brought: ranges from one that began to the next, with a repository in memory. */
import { expect, it } from 'vitest';
import { CommitsBetween } from '../../../coordinator/api/new-commits.js';
import type { CommitId } from '../../../shared/model/ids.js';
import { deployment, environment, waiting } from '../cli/environments/sample.js';
import { app, commitOf } from './deployment-world.js';

const { signal } = new AbortController();
const shown = (n: number, minute: number) =>
  deployment(n, { commit: commitOf(n), beganAt: `2026-11-27T17:0${minute}:00.000Z` });

function repository(commitsOf: (from: CommitId | undefined, to: CommitId) => number | Error) {
  const asked: (readonly [CommitId | undefined, CommitId])[] = [];
  const between = new CommitsBetween(() => ({
    since: (from, to) => {
      asked.push([from, to]);
      const found = commitsOf(from, to);
      if (found instanceof Error) return Promise.reject(found);
      return Promise.resolve(
        Array.from({ length: found }, (_, n) => ({
          commit: commitOf(100 + n),
          title: `change ${n}`,
          authorName: 'Ada',
          authorMail: 'ada@example.org',
        })),
      );
    },
  }));
  return { asked, between };
}

it('are those since the one that began before, whatever its number, and of what waits those since what is there', async () => {
  // Deployment 3 waited for its approval while 4 went there.
  const current = shown(3, 5);
  const view = environment({
    current,
    open: [waiting(5, { commit: commitOf(5) })],
    history: [current, waiting(2, { status: 'superseded' }), shown(4, 4), shown(1, 1)],
  });
  const { asked, between } = repository(() => 1);
  const found = await between.ofAll(app, view, signal);
  expect(asked).toEqual([
    [commitOf(3), commitOf(5)],
    [commitOf(4), commitOf(3)],
    [commitOf(1), commitOf(4)],
    [undefined, commitOf(1)],
  ]);
  expect([...found.keys()]).toEqual([5, 3, 4, 1]);
  expect(found.get(5)).toEqual({
    since: commitOf(3),
    commits: [{ commit: commitOf(100), title: 'change 0' }],
    more: false,
  });
  expect(found.get(1)?.since).toBeNull();
});

it('are looked up once, and at most twenty of them', async () => {
  const view = environment({ current: shown(1, 1), history: [shown(1, 1)] });
  const { asked, between } = repository(() => 21);
  const first = await between.ofAll(app, view, signal);
  expect(first.get(1)?.commits).toHaveLength(20);
  expect(first.get(1)?.more).toBe(true);
  expect(await between.ofAll(app, view, signal)).toEqual(first);
  expect(asked).toHaveLength(1);
});

it('are missing where the repository has one of the two no more, and the others are there', async () => {
  const view = environment({ current: shown(3, 3), history: [shown(3, 3), shown(2, 2), shown(1, 1)] });
  const { between } = repository((from) => (from === commitOf(1) ? new Error('gone') : 1));
  expect([...(await between.ofAll(app, view, signal)).keys()]).toEqual([3, 1]);
});

it('are not waited for by who has hung up', async () => {
  const gone = new AbortController();
  const { between } = repository(() => {
    gone.abort(new Error('hung up'));
    return 1;
  });
  const view = environment({ current: shown(1, 1) });
  await expect(between.ofAll(app, view, gone.signal)).rejects.toThrow('hung up');
});
