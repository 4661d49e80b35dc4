/** What is kept of a run's logs: archived once, never replaced by less, and purged only when it is in storage. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LogArchiver } from '../../../coordinator/logs/log-archiver.js';
import { LogKeeper } from '../../../coordinator/logs/log-keeper.js';
import { InTurn } from '../../../shared/async/in-turn.js';
import { logKey } from '../../../shared/blob/layout.js';
import type { Event } from '../../../shared/model/event.js';
import { attemptKey, type AttemptRef } from '../../../shared/model/ids.js';
import { agentId, runId, token } from '../scheduler/ids.js';
import { FakeBlobs, FakeLiveLog, World } from './world.js';

const ref: AttemptRef = { run: runId(1), stage: 1, attempt: 1 };

beforeEach(() => vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => vi.useRealTimers());

it('purges the logs of a lost attempt ten minutes after its run is on record, also after a restart', async () => {
  const live = new FakeLiveLog();
  const keeper = new LogKeeper({ live, log: new World().log });
  const take = (event: Event): void => keeper.take({ v: 1, at: Date.now(), epoch: 1, events: [event] });
  take({ kind: 'StageLeased', ...ref, agent: agentId(1), token: token(1) });
  keeper.begin();
  await vi.advanceTimersByTimeAsync(60 * 60_000);
  expect(live.purged).toEqual([]);
  take({ kind: 'RunRecorded', run: ref.run });
  await vi.advanceTimersByTimeAsync(9 * 60_000);
  expect(live.purged).toEqual([]);
  await vi.advanceTimersByTimeAsync(2 * 60_000);
  expect(live.purged).toEqual([attemptKey(ref)]);
  keeper.close();
});

it('archives what LOGS has, and leaves alone what storage has more of', async () => {
  const live = new FakeLiveLog();
  const blobs = new FakeBlobs();
  live.put(ref, 1, 0, 'from LOGS');
  live.put(ref, 2, 0, 'two');
  blobs.objects.set(logKey(ref, 2), Buffer.from('two, and more from its agent'));
  const archiver = new LogArchiver({ live, blobs: blobs as never });
  const digests = await archiver.archive(ref, new AbortController().signal);
  expect(digests.map(({ step, bytes }) => [step, bytes])).toEqual([
    [1, 9],
    [2, 3],
  ]);
  expect(blobs.objects.get(logKey(ref, 1))?.toString()).toBe('from LOGS');
  expect(blobs.objects.get(logKey(ref, 2))?.toString()).toBe('two, and more from its agent');
});

it('does work on one key in turn, whatever became of the work before', async () => {
  const turns = new InTurn<string>();
  const order: string[] = [];
  const work = (name: string, fails: boolean) => async (): Promise<void> => {
    order.push(`${name} begins`);
    await Promise.resolve();
    order.push(`${name} ends`);
    if (fails) throw new Error(name);
  };
  const done = await Promise.allSettled([
    turns.do('key', work('a', true)),
    turns.do('key', work('b', false)),
  ]);
  expect(done.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
});
