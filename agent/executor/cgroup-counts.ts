/** What the kernel counts in a box's control group, version 1 or 2, as the host sees it. */
import { readFileSync } from 'node:fs';

export interface CgroupCounts {
  /** Processes killed for memory. */
  readonly oomKills?: number;
  /** Processes or threads not made because of the limit. */
  readonly forksRefused?: number;
}

export interface CgroupFiles {
  readonly memory?: string;
  readonly pids?: string;
}

const countIn = (text: string, name: string): number | undefined => {
  const found = new RegExp(String.raw`^${name} (\d+)$`, 'm').exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
};

/** The kernel answers at once: the thread pool would make it ten times slower, twice for each step. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** The directory of a controller's group in `/proc/<pid>/cgroup`, below /sys/fs/cgroup. */
export function groupDirectory(groups: string, controller: string): string | undefined {
  const own = new RegExp(String.raw`^\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, 'm').exec(groups)?.[1];
  if (own !== undefined) return `/sys/fs/cgroup/${controller}${own}`;
  const unified = /^0::(.*)$/m.exec(groups)?.[1];
  return unified === undefined ? undefined : `/sys/fs/cgroup${unified}`;
}

/** Empty where the agent does not see the machine's groups. */
export function findCgroupFiles(pid: number): CgroupFiles {
  const groups = read(`/proc/${pid}/cgroup`);
  const memory = groupDirectory(groups, 'memory');
  const pids = groupDirectory(groups, 'pids');
  const first = (files: readonly string[], name: string): string | undefined =>
    files.find((file) => countIn(read(file), name) !== undefined);
  const memoryFile = memory && first([`${memory}/memory.oom_control`, `${memory}/memory.events`], 'oom_kill');
  const pidsFile = pids && first([`${pids}/pids.events`], 'max');
  return {
    ...(memoryFile === undefined ? {} : { memory: memoryFile }),
    ...(pidsFile === undefined ? {} : { pids: pidsFile }),
  };
}

export function readCgroupCounts(files: CgroupFiles): CgroupCounts {
  const oomKills = files.memory === undefined ? undefined : countIn(read(files.memory), 'oom_kill');
  const forksRefused = files.pids === undefined ? undefined : countIn(read(files.pids), 'max');
  return {
    ...(oomKills === undefined ? {} : { oomKills }),
    ...(forksRefused === undefined ? {} : { forksRefused }),
  };
}
