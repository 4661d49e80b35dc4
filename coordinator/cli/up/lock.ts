/**
 * One `up` for one data directory. The lock is a file with the identity of its owner, made complete beside itself and
 * linked into place, so nobody sees half of it; one whose owner is gone is moved away first. Of several that do so at
 * once one moves it; whoever then moved a fresh one away puts it back and loses.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { systemCodeOf } from '../cli-error.js';
import { identityOf, isAlive, type ProcessIdentity } from './process-identity.js';

export type Lock =
  { readonly kind: 'held'; release(): void } | { readonly kind: 'taken'; readonly by: ProcessIdentity };

export function takeLock(path: string): Lock {
  const self = identityOf(process.pid);
  if (self === undefined) throw new Error('this process does not find itself in the list of processes');
  const own = `${path}.${process.pid}`;
  writeFileSync(own, JSON.stringify(self), { mode: 0o600 });
  try {
    for (;;) {
      if (tryLink(own, path)) {
        return {
          kind: 'held',
          release: () => {
            if (isSame(readOwner(path), self)) rmSync(path, { force: true });
          },
        };
      }
      const owner = readOwner(path);
      if (owner !== undefined && isAlive(owner)) return { kind: 'taken', by: owner };
      moveAway(path, owner);
    }
  } finally {
    rmSync(own, { force: true });
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function moveAway(path: string, stale: ProcessIdentity | undefined): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return; // another one was faster
    throw error;
  }
  const moved = readOwner(aside);
  if (moved !== undefined && !isSame(moved, stale)) tryLink(aside, path);
  rmSync(aside, { force: true });
}

/** Two that start within one tick of the clock differ by their pids only. */
const isSame = (one: ProcessIdentity | undefined, other: ProcessIdentity | undefined): boolean =>
  one?.pid === other?.pid && one?.started === other?.started;

export function readOwner(path: string): ProcessIdentity | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value))
      return undefined;
    const { pid, started } = value;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : undefined;
  } catch {
    return undefined; // gone, or not one of ours
  }
}
