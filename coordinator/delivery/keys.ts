/** What an effect is about: the same key is the same effect, asked for once until its outcome or its time comes. */
import { orderKey, type Pair } from './commits.js';

export const keyOf = {
  compare: (pair: Pair): string => `compare/${orderKey(pair)}`,
  rollback: (deployment: number): string => `rollback/${deployment}`,
  verify: (deployment: number, verification: number): string => `verify/${deployment}/${verification}`,
  chore: (chore: number): string => `chore/${chore}`,
} as const;
