import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attemptName, AttemptRecord, loadRecords } from '../../../agent/stage/attempt-record.js';
import type { RecordLine } from '../../../agent/stage/attempt-state.js';
import { assignmentOf, plannedStage } from '../../support/agent-world.js';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'gantry-records-'));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const assignment = assignmentOf(plannedStage());
const first: RecordLine = { kind: 'accepted', v: 1, at: 1000, assignment };
const file = (): string => join(parent, attemptName(assignment), 'record.jsonl');

const lines: readonly RecordLine[] = [
  { kind: 'preparing' },
  { kind: 'ready', image: 'sha256:x', services: [] },
  { kind: 'begun', step: 1, at: 2000, handle: { id: 'a' } },
  { kind: 'report', n: 1, at: 2000, report: { kind: 'StepStarted', step: 1, shell: 'sh' } },
  { kind: 'log', step: 1, acknowledged: 77 },
  { kind: 'acknowledged', n: 1 },
];

describe('the record of an attempt', () => {
  it('gives a later process what was written', async () => {
    const record = await AttemptRecord.create(parent, first);
    for (const line of lines) void record.append(line);
    await record.sync();
    const { state } = record;
    await record.close();
    const [loaded] = await loadRecords(parent);
    expect(loaded?.state).toEqual(state);
    expect(loaded?.state).toMatchObject({
      acceptedAt: 1000,
      slot: true,
      acknowledged: 1,
      reports: [{ n: 1, report: { kind: 'StepStarted' } }],
    });
    expect(loaded?.state.steps.get(1)).toEqual({ begunAt: 2000, handle: { id: 'a' } });
    expect(loaded?.state.logs.get(1)).toEqual({ acknowledged: 77 });
    await loaded?.close();
  });

  it('cut at any byte gives the whole lines before it and can be written on', async () => {
    const record = await AttemptRecord.create(parent, first);
    for (const line of lines) await record.append(line);
    await record.close();
    const whole = await readFile(file());
    const ends = [...whole.keys()].filter((at) => whole[at] === 0x0a);
    for (let cut = ends[0]! + 1; cut <= whole.length; cut += 1) {
      await writeFile(file(), whole.subarray(0, cut));
      const [loaded] = await loadRecords(parent);
      await loaded!.append({ kind: 'acknowledged', n: 99 });
      await loaded!.close();
      const after = (await readFile(file(), 'utf8')).trimEnd().split('\n');
      expect(after).toHaveLength(ends.filter((end) => end < cut).length + 1);
      expect(JSON.parse(after.at(-1)!)).toEqual({ kind: 'acknowledged', n: 99 });
    }
  });

  it('whose first line is torn was never accepted and is cleared away', async () => {
    const record = await AttemptRecord.create(parent, first);
    await record.close();
    await writeFile(file(), (await readFile(file())).subarray(0, 20));
    expect(await loadRecords(parent)).toEqual([]);
    await expect(readFile(file())).rejects.toThrow('ENOENT');
  });

  it('forgets what follows a line that cannot be read', async () => {
    const record = await AttemptRecord.create(parent, first);
    await record.close();
    await appendFile(file(), '{"kind":"preparing"}\n{"kin\n{"kind":"acknowledged","n":5}\n');
    const [loaded] = await loadRecords(parent);
    expect(loaded?.state).toMatchObject({ slot: true, acknowledged: 0 });
    await loaded?.close();
  });

  it('starts over when the workspace is prepared anew', async () => {
    const record = await AttemptRecord.create(parent, first);
    for (const line of lines) await record.append(line);
    await record.append({ kind: 'preparing' });
    expect(record.state).toMatchObject({
      ready: undefined,
      steps: new Map(),
      logs: new Map(),
      acknowledged: 1,
    });
    await record.delete();
    expect(await loadRecords(parent)).toEqual([]);
  });
});
