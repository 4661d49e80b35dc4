/** What finds a step again after a restart; see `StepHandle` of the port. */
import { ExecutorError, type StepHandle } from './executor.js';
import type { StepLine } from './supervisor.js';

export interface StepIdentity extends StepLine {
  /** Processes the kernel had killed for memory in this box before the step. */
  readonly oomKills: number | undefined;
}

/** The ids become file names: checked, although the handle comes from the agent's own disk. */
export function parseHandle(handle: StepHandle): StepIdentity {
  const { number, id, marker, oomKills } = handle;
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
  return { number, id, marker, oomKills: typeof oomKills === 'number' ? oomKills : undefined };
}
