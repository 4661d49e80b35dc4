import { sleep } from '../../shared/async/sleep.js';
import type { Session } from '../session/session.js';

const unregisteredMs = 200;

/**
 * Resolves when the session may take more. One that has not registered yet has no room to wait for: it is asked again,
 * so that an agent that adopted its attempts goes on while no coordinator can be reached.
 */
export async function room(session: Pick<Session, 'drained'>, signal: AbortSignal): Promise<void> {
  try {
    await session.drained(signal);
  } catch {
    await sleep(unregisteredMs, signal);
  }
}
