/** What finds a step again after a restart; see `StepHandle` of the port. */
import type { CgroupCounts } from './cgroup-counts.js';
import { ExecutorError, type StepHandle } from './executor.js';
import type { StepLine } from './supervisor.js';

export interface StepIdentity extends StepLine {
  /** What the kernel had counted in this box before the step. */
  readonly before: CgroupCounts;
}

/** The ids become file names: checked, although the handle comes from the agent's own disk. */
export function parseHandle(handle: StepHandle): StepIdentity {
  const { number, id, marker, oomKills, forksRefused } = handle;
  if (
    typeof number !== 'number' ||
    !Number.isSafeInteger(number) ||
    typeof id !== 'string' ||
    !/^\d+-[0-9a-f]{16}$/.test(id) ||
    typeof marker !== 'string' ||
    !/^[0-9a-f]{24}$/.test(marker)
  ) {
    throw new ExecutorError({ kind: 'internal', message: 'this is not the handle of a step' });
  }
  const before: CgroupCounts = {
    ...(typeof oomKills === 'number' ? { oomKills } : {}),
    ...(typeof forksRefused === 'number' ? { forksRefused } : {}),
  };
  return { number, id, marker, before };
}
