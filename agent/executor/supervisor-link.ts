import type { Failure } from '../../shared/model/failure.js';
import type { CgroupCounts } from './cgroup-counts.js';
import type { Process } from './processes.js';

/** What a box's steps need from where their supervisor runs: a container, or a process of the host. */
export interface SupervisorLink {
  /** Hands a line to the supervisor's stdin. Throws ExecutorError (box-broken) when it is gone. */
  send(line: string): Promise<void>;
  /** Why nothing more will come from this supervisor; undefined while it is well. */
  readonly lost: Failure | undefined;
  /** Calls back once when `lost` is set (at once if it is already); returns how to stop listening. */
  onLost(listener: () => void): () => void;
  /** Living processes of the box, without the supervisor and its own. */
  processes(): Promise<readonly Process[]>;
  /** What the kernel has counted in the box so far, as far as that can be known. */
  counts(): CgroupCounts;
  readonly limits: { readonly memoryBytes?: number; readonly pids?: number };
  /** Ends the box with everything in it, at once; `lost` is set afterwards. */
  kill(): Promise<void>;
}
