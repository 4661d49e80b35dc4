/** What an effect is about: the same key is the same effect, asked for once until its outcome or its time comes. */
import type { GateEntryId } from '../../shared/model/gate.js';
import type { CommitId, RunId } from '../../shared/model/ids.js';

export const keyOf = {
  fetch: (doubt: number): string => `fetch/${doubt}`,
  merge: (entry: GateEntryId, base: CommitId): string => `merge/${entry}/${base}`,
  /** While it is to be started, and while it goes on. */
  run: (run: RunId): string => `run/${run}`,
  push: (commit: CommitId): string => `push/${commit}`,
  chore: (chore: number): string => `chore/${chore}`,
} as const;
