import { describe, expect, it } from 'vitest';
import { UnreachableError } from '../../../coordinator/cli/cli-error.js';
import type { FollowEvent } from '../../../coordinator/cli/follow/watch-event.js';
import { watchEvents } from '../../../coordinator/cli/follow/watch-events.js';
import { withQuiet } from '../../../coordinator/cli/follow/quiet.js';
import { runToWire } from '../../../shared/wire/run-view.js';
import { watchEventToWire } from '../../../shared/wire/watch.js';
import type { RunView } from '../../../shared/model/run.js';
import type { WatchEvent__Output } from '../../../shared/wire/gen/gantry/v1/WatchEvent.js';
import { runId } from '../../support/ids.js';

const view: RunView = {
  run: runId(1),
  status: 'running',
  project: 'p',
  branch: null,
  commit: 'c',
  title: '',
  author: null,
  by: 'me',
  event: 'submit',
  retryOf: null,
  submittedAt: '2026-01-01T00:00:00.000Z',
  startedAt: null,
  finishedAt: null,
  failure: null,
  failing: null,
  stages: [],
  artifacts: [],
};
// What one side writes is what the other reads: messages of the same shape.
const wire = (message: unknown): WatchEvent__Output => message as WatchEvent__Output;
const state = (sequence: number): WatchEvent__Output =>
  wire({ sequence, at: '2026-01-01T00:00:00.000Z', state: runToWire(view) });
const step = (sequence: number, n: number): WatchEvent__Output =>
  wire(
    watchEventToWire({
      sequence,
      at: 0,
      change: {
        kind: 'step',
        stage: 1,
        title: 's',
        attempt: 1,
        step: n,
        name: 'x',
        status: 'running',
        durationMs: 0,
      },
    }),
  );
const end = (sequence: number): WatchEvent__Output =>
  wire(watchEventToWire({ sequence, at: 0, change: { kind: 'run', status: 'succeeded' } }));
const away = (): UnreachableError =>
  new UnreachableError('away', { remedies: [], cause: undefined, reached: true });

/** Each call of `watch` is one of these; an error ends the stream. */
function scripted(streams: readonly (readonly (WatchEvent__Output | Error)[])[]): {
  readonly asked: (string | number)[][];
  events(signal?: AbortSignal): Promise<FollowEvent[]>;
  readonly notes: string[];
} {
  const asked: (string | number)[][] = [];
  const notes: string[] = [];
  const left = [...streams];
  return {
    asked,
    notes,
    async events(signal = new AbortController().signal) {
      const events: FollowEvent[] = [];
      const all = watchEvents({
        api: {
          watch: async function* (request) {
            asked.push([request.run?.run ?? '', Number(request.afterSequence)]);
            for (const item of left.shift() ?? []) {
              await Promise.resolve();
              if (item instanceof Error) throw item;
              yield item;
            }
          },
        },
        run: { run: '', projectName: 'p' },
        signal,
        output: { note: (text) => notes.push(text) },
        backoff: { firstMs: 1, maxMs: 1 },
      });
      for await (const event of all) events.push(event);
      return events;
    },
  };
}

const shown = (events: readonly FollowEvent[]): string[] =>
  events.map((event) => `${event.sequence} ${event.kind === 'step' ? `step ${event.step}` : event.kind}`);

describe('watching a run', () => {
  it('resumes within an entry of several events: each comes once', async () => {
    const script = scripted([
      [state(10), step(11, 1), step(11, 2), away()],
      [step(11, 1), step(11, 2), step(11, 3), step(12, 4), away()],
      [step(12, 4), end(12)],
    ]);
    expect(shown(await script.events())).toEqual([
      '10 state',
      '11 step 1',
      '11 step 2',
      '11 step 3',
      '12 step 4',
      '12 run',
    ]);
    expect(script.asked).toEqual([
      ['', 0],
      [runId(1), 10],
      [runId(1), 11],
    ]);
    expect(script.notes).toEqual([
      'away; trying again',
      'connected again',
      'away; trying again',
      'connected again',
    ]);
  });

  it('resumes after a state as a whole, and after an end without a word', async () => {
    const script = scripted([[state(10)], [step(11, 1)], [step(11, 1), end(11)]]);
    expect(shown(await script.events())).toEqual(['10 state', '11 step 1', '11 run']);
    expect(script.asked.map(([, after]) => after)).toEqual([0, 10, 10]);
  });

  it('takes a state after a gap instead of what it missed', async () => {
    const script = scripted([
      [state(10), step(11, 1), away()],
      [state(20), end(21)],
    ]);
    expect(shown(await script.events())).toEqual(['10 state', '11 step 1', '20 state', '21 run']);
  });

  it('says at once when nobody answers', async () => {
    await expect(scripted([[away()]]).events()).rejects.toThrow('away');
  });

  it('ends when it is interrupted', async () => {
    expect(await scripted([[state(10)]]).events(AbortSignal.abort())).toEqual([]);
  });
});

describe('a source that is quiet', () => {
  it('says so, again and again, and loses nothing', async () => {
    let go: () => void = () => undefined;
    async function* source(): AsyncIterable<number> {
      yield 1;
      await new Promise<void>((resolve) => (go = resolve));
      yield 2;
    }
    const seen: (number | 'quiet')[] = [];
    for await (const item of withQuiet(source(), 1)) {
      seen.push(item);
      if (seen.filter((one) => one === 'quiet').length === 2) go();
    }
    expect(seen.filter((one) => one !== 'quiet')).toEqual([1, 2]);
    expect(seen[1]).toBe('quiet');
  });
});
