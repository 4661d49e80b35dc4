import { NatsError } from 'nats';

import { backoffMs } from '../async/backoff.js';
import { deferred } from '../async/deferred.js';
import { sleep } from '../async/sleep.js';
import type { NatsLink } from './nats-connection.js';

const backoff = { firstMs: 50, maxMs: 1_000 };
const patienceMs = 60_000;

/**
 * Asks JetStream again while it does not answer: over a break of the connection, a restart of the server, and the 4 to 6
 * seconds in which a cluster elects a stream's leader. For questions, and for what is harmless to do twice. An answer
 * that says no is thrown at once.
 */
export async function askAgain<T>(link: NatsLink, ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const began = performance.now();
  for (let failures = 0; ; failures++) {
    await link.whenUp(signal);
    try {
      return await beforeBreak(link, ask);
    } catch (error) {
      if (!isTransient(error) || performance.now() - began > patienceMs) throw error;
      await sleep(backoffMs(backoff, failures, Math.random()), signal);
    }
  }
}

/** Rejects as soon as the connection breaks: the answer will not come, and the client would wait for its timeout. */
export async function beforeBreak<T>(link: NatsLink, ask: () => Promise<T>): Promise<T> {
  const { disconnected } = link;
  const broken = deferred<never>();
  const onBreak = (): void => broken.reject(NatsError.errorForCode('DISCONNECT'));
  if (disconnected.aborted) onBreak();
  disconnected.addEventListener('abort', onBreak, { once: true });
  try {
    const asked = ask();
    asked.catch(() => undefined); // when the break came first, its timeout interests nobody
    return await Promise.race([asked, broken.promise]);
  } finally {
    disconnected.removeEventListener('abort', onBreak);
  }
}

/** `err_code` of JetStream's answer, if it was one. */
export const errorCode = (error: unknown): number | undefined =>
  error instanceof NatsError ? error.api_error?.err_code : undefined;

/** JetStream's `err_code`s that questions are answered with. */
export const notFound = { stream: 10059, message: 10037 } as const;

function isTransient(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  const { api_error: answer } = error;
  if (answer === undefined) return error.code !== 'PERMISSIONS_VIOLATION';
  // JetStream temporarily unavailable, a cluster without a leader: 503s all of them, but so is "not enabled".
  return answer.code === 503 && answer.err_code !== 10039 && answer.err_code !== 10076;
}
