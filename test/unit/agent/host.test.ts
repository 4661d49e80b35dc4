import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Disk } from '../../../agent/host/disk.js';
import { DirectoryInUse, lockDirectory } from '../../../agent/host/instance-lock.js';
import { allLabels } from '../../../agent/host/labels.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-host-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('the lock of a data directory', () => {
  it('lets one process in, names it to others, and can be taken again', async () => {
    const lock = await lockDirectory(directory);
    await expect(lockDirectory(directory)).rejects.toThrow(DirectoryInUse);
    await expect(lockDirectory(directory)).rejects.toThrow(`process ${process.pid}`);
    await lock.release();
    await (await lockDirectory(directory)).release();
  });

  it('ends with the process that held it, however that ended', async () => {
    const holder = spawn(
      'flock',
      ['--exclusive', join(directory, 'lock'), 'sh', '-c', 'echo locked; exec sleep 60'],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
        detached: true,
      },
    );
    await once(holder.stdout, 'data');
    await expect(lockDirectory(directory)).rejects.toThrow(DirectoryInUse);
    process.kill(-holder.pid!, 'SIGKILL');
    await once(holder, 'close');
    await (await lockDirectory(directory)).release();
  });

  it('goes to one of many that start at once', async () => {
    const all = await Promise.allSettled(Array.from({ length: 10 }, () => lockDirectory(directory)));
    const got = all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(got).toHaveLength(1);
    await got[0]?.release();
  });
});

describe('labels', () => {
  it('detect what cannot be claimed and take the rest from the operator', () => {
    const labels = allLabels(['gpu', 'os=plan9', 'zone=eu', 'gpu'], ['executor=docker']);
    expect(labels).toEqual([
      `arch=${process.arch === 'x64' ? 'amd64' : process.arch}`,
      'executor=docker',
      'gpu',
      'os=linux',
      'zone=eu',
    ]);
  });
});

describe('free disk space', () => {
  it('is made by throwing away, and short only when that does not suffice', async () => {
    let free = 1e9;
    let canEvict = true;
    const disk = new Disk({
      directory: '/data',
      minFreeBytes: 2e9,
      freeBytes: () => Promise.resolve(free),
      ensureFree: (bytes) => {
        if (canEvict) free = bytes;
        return Promise.resolve(free >= bytes);
      },
    });
    expect(await disk.check()).toBeUndefined();
    canEvict = false;
    free = 1.25e9;
    expect(await disk.check()).toBe(
      'disk: 1.3 GB free for /data, it takes stages from 2.0 GB on (--min-free)',
    );
    expect(disk.reason).toContain('--min-free');
    free = 3e9;
    expect(await disk.check()).toBeUndefined();
  });
});
