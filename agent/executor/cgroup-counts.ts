/** What the kernel counts in a box's control group, version 1 or 2, as the host sees it. */
import { readFile } from 'node:fs/promises';

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

const read = (file: string): Promise<string> => readFile(file, 'latin1').catch(() => '');

/** The directory of a controller's group in `/proc/<pid>/cgroup`, below /sys/fs/cgroup. */
export function groupDirectory(groups: string, controller: string): string | undefined {
  const own = new RegExp(String.raw`^\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, 'm').exec(groups)?.[1];
  if (own !== undefined) return `/sys/fs/cgroup/${controller}${own}`;
  const unified = /^0::(.*)$/m.exec(groups)?.[1];
  return unified === undefined ? undefined : `/sys/fs/cgroup${unified}`;
}

/** Empty where the agent does not see the machine's groups. */
export async function findCgroupFiles(pid: number): Promise<CgroupFiles> {
  const groups = await read(`/proc/${pid}/cgroup`);
  const memory = groupDirectory(groups, 'memory');
  const pids = groupDirectory(groups, 'pids');
  const first = async (files: readonly string[], name: string): Promise<string | undefined> => {
    for (const file of files) if (countIn(await read(file), name) !== undefined) return file;
    return undefined;
  };
  const memoryFile =
    memory && (await first([`${memory}/memory.oom_control`, `${memory}/memory.events`], 'oom_kill'));
  const pidsFile = pids && (await first([`${pids}/pids.events`], 'max'));
  return {
    ...(memoryFile === undefined ? {} : { memory: memoryFile }),
    ...(pidsFile === undefined ? {} : { pids: pidsFile }),
  };
}

export async function readCgroupCounts(files: CgroupFiles): Promise<CgroupCounts> {
  const [memory, pids] = await Promise.all([
    files.memory === undefined ? '' : read(files.memory),
    files.pids === undefined ? '' : read(files.pids),
  ]);
  const oomKills = countIn(memory, 'oom_kill');
  const forksRefused = countIn(pids, 'max');
  return {
    ...(oomKills === undefined ? {} : { oomKills }),
    ...(forksRefused === undefined ? {} : { forksRefused }),
  };
}
