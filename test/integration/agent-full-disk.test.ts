/** A data directory without a free byte, on a small file system of its own. */
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AttemptRecord } from '../../agent/stage/attempt-record.js';
import { AgentWorld, assignmentOf, plannedStage, plannedStep } from '../support/agent-world.js';
import { runId } from '../support/ids.js';

const run = promisify(execFile);
let mount: string;
let world: AgentWorld;

beforeEach(async () => {
  mount = await mkdtemp(join(tmpdir(), 'gantry-full-'));
  await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', mount]);
  world = await AgentWorld.make(mount);
});
afterEach(async () => {
  await world.dispose();
  await run('umount', [mount]);
  await rm(mount, { recursive: true });
});

/** Writes until nothing fits any more. */
async function fill(): Promise<{ free: () => Promise<void> }> {
  const path = join(mount, 'ballast');
  const file = await open(path, 'w');
  try {
    for (;;) await file.write(Buffer.alloc(512, 'x'));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  }
  await file.close();
  return { free: () => rm(path) };
}

describe('on a full disk', () => {
  it('an assignment is refused', async () => {
    await world.start();
    const { free } = await fill();
    const answer = await world.coordinator.session.assign(assignmentOf(plannedStage()));
    expect(answer).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('disk: ENOSPC') as string,
    });
    await free();
    const next = assignmentOf(plannedStage(), { run: runId(2) });
    expect(await world.coordinator.session.assign(next)).toMatchObject({ kind: 'accepted' });
  });

  it('a running attempt ends as failed by the disk, and the coordinator hears of it', async () => {
    await world.start();
    // So many steps that the record needs more room than the last block of its file has.
    const steps = Array.from({ length: 40 }, (_, index) => plannedStep(index + 1));
    const assignment = assignmentOf(plannedStage({ steps }));
    await world.coordinator.session.assign(assignment);
    const first = await world.machine.step(1);
    const { free } = await fill();
    world.machine.onStart = (step) => step.exit(0);
    first.exit(0);
    expect(await world.coordinator.end(assignment)).toMatchObject({
      status: 'failed',
      failure: { kind: 'disk-full', agent: 'build-7' },
    });
    await free();
  });

  it('no line of a record is missing among later ones', async () => {
    const record = await AttemptRecord.create(join(world.directory), {
      kind: 'accepted',
      v: 1,
      at: 1,
      assignment: assignmentOf(plannedStage()),
    });
    const { free } = await fill();
    let n = 0;
    const append = (): Promise<void> => {
      n += 1;
      return record.append({ kind: 'report', n, at: n, report: { kind: 'LogsArchived' } });
    };
    await expect(
      (async () => {
        for (;;) await append();
      })(),
    ).rejects.toThrow('ENOSPC');
    await expect(append()).rejects.toThrow('ENOSPC');
    await free();
    await append();
    await record.close();
    const loaded = await AttemptRecord.load(record.directory);
    expect(loaded?.state.reports.map((report) => report.n)).toEqual(
      Array.from({ length: n }, (_, index) => index + 1),
    );
    await loaded?.close();
  });
});
