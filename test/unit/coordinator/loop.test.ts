/** The loop: what is answered, shown and done, and when, whatever becomes of an append. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NotLeading } from '../../../coordinator/coordinator.js';
import { maxEntryBytes } from '../../../coordinator/journal/journal.js';
import { eventually } from '../../support/eventually.js';
import { outline, runId, submission } from '../scheduler/ids.js';
import { World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await new World().start();
});
afterEach(() => world.stop());

const runs = (): Promise<number> => world.coordinator.read(({ state }) => state.runs.size);

/** Holds the journal and waits until an append is under way. */
async function held(begin: () => void): Promise<void> {
  const before = world.journal.appends.length;
  world.journal.hold();
  begin();
  await eventually('an append is under way', () => world.journal.appends.length > before);
}

describe('a turn', () => {
  it('puts what came during an append into one entry', async () => {
    const answers: Promise<unknown>[] = [];
    await held(() => answers.push(world.submit(1, [outline(1)])));
    for (const n of [2, 3, 4]) answers.push(world.submit(n, [outline(1)]));
    const before = world.journal.appends.length;
    world.journal.release();
    await Promise.all(answers);
    expect(world.journal.appends.slice(before).map(({ events }) => events.length)).toEqual([3]);
  });

  it('answers and shows nothing before it is durable', async () => {
    let answered = false;
    let seen: number | undefined;
    await held(() => void world.submit(1, [outline(1)]).then(() => (answered = true)));
    void runs().then((count) => (seen = count));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect({ answered, seen }).toEqual({ answered: false, seen: undefined });
    world.journal.release();
    await eventually('the answer', () => answered && seen === 1);
  });

  // The answer is given before the effect is performed; whoever awaits it goes on after the turn.
  it('tells listeners first, then answers and performs', async () => {
    await world.join(1);
    world.order.length = 0;
    await world.submit(1, [outline(1)]).then(() => world.order.push('answer'));
    await eventually('the effect', () => world.effects.length > 0);
    expect(world.order).toEqual(['entry RunAccepted+StageLeased', 'effect Assign', 'answer']);
  });

  it('refuses a command that fits no entry, and goes on', async () => {
    const inputs = { huge: 'x'.repeat(maxEntryBytes) };
    const answer = await world.coordinator.perform(submission(1, [outline(1)], { inputs }));
    expect(answer).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('fit the journal') as string,
    });
    await world.submit(2, [outline(1)]);
    expect(await runs()).toBe(1);
  });

  it('splits what does not fit one entry, and each command stands in one', async () => {
    const answers: Promise<unknown>[] = [];
    await held(() => answers.push(world.submit(1, [outline(1)])));
    for (const n of [2, 3, 4]) {
      answers.push(
        world.coordinator.perform(submission(n, [outline(1)], { inputs: { big: 'x'.repeat(200_000) } })),
      );
    }
    const before = world.journal.appends.length;
    world.journal.release();
    await Promise.all(answers);
    expect(world.journal.appends.slice(before).map(({ events }) => events.length)).toEqual([2, 1]);
  });
});

describe.each([
  [
    'refused',
    (): void => void world.store.entries.push(JSON.stringify({ v: 1, at: 0, epoch: 99, events: [] })),
  ],
  ['lost', (): void => void (world.fate = 'lost')],
  ['dropped', (): void => void (world.fate = 'dropped')],
])('an append that is %s', (_what, spoil) => {
  it('answers nobody, and all who wait hear that this coordinator does not lead', async () => {
    const outcomes: Promise<unknown>[] = [];
    const caught = (one: Promise<unknown>): void => void outcomes.push(one.catch((error: unknown) => error));
    await held(() => caught(world.submit(1, [outline(1)])));
    caught(world.submit(2, [outline(1)]));
    caught(runs());
    const effects = world.effects.length;
    spoil();
    world.journal.release();
    for (const outcome of await Promise.all(outcomes)) expect(outcome).toBeInstanceOf(NotLeading);
    await expect(world.running).rejects.toThrow(NotLeading);
    await expect(world.submit(3, [outline(1)])).rejects.toThrow(NotLeading);
    expect(world.effects).toHaveLength(effects);
    expect(world.entries.flatMap(({ entry }) => entry.events.map(({ kind }) => kind))).toEqual([
      'EpochBegan',
    ]);
  });
});

describe('the next leader', () => {
  it('has what was stored although its answer was lost', async () => {
    world.fate = 'lost';
    await expect(world.submit(1, [outline(1)])).rejects.toThrow(NotLeading);
    const next = new World();
    next.store.entries.push(...world.store.entries);
    await next.start();
    expect(await next.coordinator.read(({ state }) => [...state.runs.keys()])).toEqual([runId(1)]);
    expect(await next.submit(1, [outline(1)])).toMatchObject({ kind: 'accepted', again: true });
    await next.stop();
  });

  it('neither applies nor shows what a deposed leader wrote', async () => {
    await world.submit(1, [outline(1)]);
    const mine = world.store.entries.at(-1) ?? '';
    const next = new World();
    const late = mine.replaceAll(runId(1), runId(2));
    const began = JSON.stringify({
      v: 1,
      at: 0,
      epoch: 3,
      events: [{ kind: 'EpochBegan', epoch: 3, seed: '' }],
    });
    next.store.entries.push(...world.store.entries, began, late);
    await next.start();
    expect(await next.coordinator.read(({ state }) => [...state.runs.keys()])).toEqual([runId(1)]);
    expect(next.events.of(runId(2))).toEqual([]);
    expect(next.entries.map(({ sequence }) => sequence)).not.toContain(4);
    await next.stop();
  });
});

describe('time', () => {
  it('that stood still takes no agent away, whichever timer comes first afterwards', async () => {
    await world.join(1);
    await world.submit(1, [outline(1)]);
    await eventually('the lease', () => world.lease(runId(1), 1, 1));
    // The process sleeps for a minute: the loop's timers are all overdue, and no heartbeat could be heard.
    world.clock.mono += 60_000;
    await new Promise((resolve) => setTimeout(resolve, 2_300));
    expect(world.entries.flatMap(({ entry }) => entry.events.map(({ kind }) => kind))).not.toContain(
      'AttemptLost',
    );
  });
});
