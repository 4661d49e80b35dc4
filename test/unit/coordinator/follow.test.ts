/** `logs --follow` and `watch` end when they should, with every byte, whatever becomes of the attempt. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NamedPiece } from '../../../coordinator/api/log-pieces.js';
import { readLogs } from '../../../coordinator/api/read-logs.js';
import { watchRun, type Watched } from '../../../coordinator/api/watch.js';
import { NotLeading } from '../../../coordinator/coordinator.js';
import { logKey } from '../../../shared/blob/layout.js';
import type { AttemptRef } from '../../../shared/model/ids.js';
import { eventually } from '../../support/eventually.js';
import { outline, runId, sha, token } from '../scheduler/ids.js';
import { World } from './world.js';

let world: World;
const run = runId(1);
const first: AttemptRef = { run, stage: 1, attempt: 1 };

beforeEach(async () => {
  world = await new World().start();
  await world.join(1);
});
afterEach(() => world.stop());

const query = { run, stage: '', cell: {}, step: '', follow: true, attempt: 0, tailBytes: 0 };

interface Reader {
  text: string;
  readonly pieces: NamedPiece[];
  readonly ended: Promise<void>;
}

function read(changes: Partial<typeof query> = {}): Reader {
  const pieces: NamedPiece[] = [];
  const reader = { text: '', pieces, ended: Promise.resolve() };
  const all = async (): Promise<void> => {
    const signal = new AbortController().signal;
    for await (const piece of readLogs(world.services, { ...query, ...changes }, signal)) {
      pieces.push(piece);
      reader.text += Buffer.from(piece.bytes).toString();
    }
  };
  reader.ended = all();
  reader.ended.catch(() => undefined);
  return reader;
}

async function leased(attempt = 1): Promise<{ token: number }> {
  return eventually('the lease', () => world.lease(run, 1, attempt));
}

async function running(): Promise<void> {
  await world.submit(1, [outline(1, { steps: ['one'] })]);
  await leased();
  await world.report(first, { kind: 'AttemptStarted', executor: 'docker' });
}

const finish = (bytes: number): Promise<unknown> =>
  world.report(first, {
    kind: 'AttemptFinished',
    status: 'succeeded',
    logs: [{ step: 1, bytes, sha256: sha(1) }],
  });

describe('logs --follow', () => {
  it('gives what comes and ends with the stage', async () => {
    await running();
    const reader = read();
    world.liveLog.put(first, 1, 0, 'hello ');
    await eventually('the first piece', () => reader.text === 'hello ');
    world.liveLog.put(first, 1, 6, 'world');
    await finish(11);
    await reader.ended;
    expect(reader.text).toBe('hello world');
  });

  it('reads from storage what was purged from LOGS before it came', async () => {
    await running();
    world.blobs.objects.set(logKey(first, 1), Buffer.from('archived'));
    await finish(8);
    await world.report(first, { kind: 'LogsArchived' });
    const reader = read();
    await reader.ended;
    expect(reader.text).toBe('archived');
  });

  it('reads the rest from storage when LOGS gives no more after the end', async () => {
    await running();
    const reader = read();
    world.liveLog.put(first, 1, 0, 'live, ');
    await eventually('the live part', () => reader.text === 'live, ');
    world.blobs.objects.set(logKey(first, 1), Buffer.from('live, stored'));
    await finish(12);
    await reader.ended;
    expect(reader.text).toBe('live, stored');
  });

  it('goes on with the next lease when the first was returned', async () => {
    await world.submit(1, [outline(1, { steps: ['one'] })]);
    const before = await leased();
    const reader = read();
    const { agent } = (await world.lease(run, 1, 1)) ?? {};
    if (agent === undefined) throw new Error('no lease');
    await world.coordinator.perform({
      kind: 'AssignAnswered',
      agent,
      ref: first,
      token: token(before.token),
      answer: { kind: 'refused', reason: 'disk full' },
    });
    world.clock.mono += 2_000;
    await eventually('another lease of the same number', async () => {
      await world.beat(1, []);
      const now = await world.lease(run, 1, 1);
      return now !== undefined && now.token > before.token;
    });
    await world.report(first, { kind: 'AttemptStarted', executor: 'docker' });
    world.liveLog.put(first, 1, 0, 'second lease');
    await finish(12);
    await reader.ended;
    expect(reader.text).toBe('second lease');
  });

  it('of an attempt follows that one and no other', async () => {
    await running();
    const reader = read({ attempt: 1 });
    world.liveLog.put(first, 1, 0, 'this one');
    await finish(8);
    await reader.ended;
    expect(reader.text).toBe('this one');
  });

  it('of a canceled stage ends without a piece', async () => {
    await world.submit(1, [outline(1, { labels: ['gpu'] })]);
    const reader = read();
    await world.coordinator.perform({ kind: 'Cancel', run, by: 'ada' });
    await reader.ended;
    expect(reader.pieces).toEqual([]);
  });

  it('fails, and nothing else does, when the coordinator stops to lead', async () => {
    await running();
    const reader = read();
    world.liveLog.put(first, 1, 0, 'x');
    await eventually('the first piece', () => reader.text === 'x');
    // The look that the next event asks for finds no state any more.
    world.coordinator.read = () => Promise.reject(new NotLeading('another one leads'));
    await world.coordinator.perform({ kind: 'Cancel', run, by: 'ada' });
    await expect(reader.ended).rejects.toThrow('another one leads');
  });
});

describe('watch', () => {
  const watch = (after: number): AsyncGenerator<Watched> =>
    watchRun(world.services, run, after, new AbortController().signal);

  it('gives the state, then every event once, and ends with the run', async () => {
    await world.submit(1, [outline(1, { steps: ['one'] })]);
    await leased();
    const seen: string[] = [];
    const all = (async () => {
      for await (const { change } of watch(0)) {
        seen.push(
          change.kind === 'run' || change.kind === 'attempt'
            ? `${change.kind} ${change.status}`
            : change.kind,
        );
      }
    })();
    await eventually('the state', () => seen.includes('state'));
    await world.report(first, { kind: 'AttemptStarted', executor: 'docker' });
    await finish(0);
    await all;
    expect(seen).toEqual([
      'state',
      'run running',
      'attempt running',
      'attempt succeeded',
      'stage',
      'run succeeded',
    ]);
  });

  it('says why a stage was skipped, as it happens and to who comes back later', async () => {
    await world.submit(1, [
      outline(1, { steps: ['one'] }),
      outline(2, { needs: [1] }),
      outline(3, { needs: [2] }),
    ]);
    await leased();
    const before = world.entries.at(-1)?.sequence ?? 0;
    const skipped = async (after: number): Promise<readonly string[]> => {
      const seen: string[] = [];
      for await (const { change } of watch(after)) {
        if (change.kind === 'stage' && change.status === 'skipped')
          seen.push(`${change.title}: ${change.whySkipped ?? '?'}`);
      }
      return seen;
    };
    const live = skipped(before);
    await world.report(first, { kind: 'AttemptStarted', executor: 'docker' });
    const failure = { kind: 'exit-code', step: 1, exitCode: 1 } as const;
    await world.report(first, { kind: 'AttemptFinished', status: 'failed', failure, logs: [] });
    const why = ['stage2: it needs stage1, which failed', 'stage3: it needs stage2, which was skipped'];
    expect(await live).toEqual(why);
    expect(await skipped(before)).toEqual(why);
  });

  it('cuts a watcher off that does not read, instead of keeping everything for it', async () => {
    await running();
    const watcher = watch(0);
    await watcher.next();
    const waiting = watcher.next();
    const note = { ref: first, activity: 'pulling', at: 1 };
    world.services.progress.put(note);
    await waiting;
    for (let count = 0; count < 10_001; count += 1) world.services.progress.put(note);
    await expect(watcher.next()).rejects.toThrow('too slow');
  });
});
