import { setMaxListeners } from 'node:events';

/**
 * For a signal that ends everything of a process or a connection: as many wait for it as work is under way. Each takes its
 * listener away when its work has ended, so Node's warning of a leak at the eleventh would be wrong.
 */
export function forMany<T extends AbortSignal>(signal: T): T {
  setMaxListeners(0, signal);
  return signal;
}
