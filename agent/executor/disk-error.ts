import { ExecutorError } from './executor.js';

/** A file system error that a full disk explains; undefined for any other. */
export function diskError(error: unknown, agent: string): ExecutorError | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return undefined;
  const message = `its disk is full (${code}): free some space, or give it another data directory`;
  return new ExecutorError({ kind: 'disk-full', agent, message }, { cause: error });
}
