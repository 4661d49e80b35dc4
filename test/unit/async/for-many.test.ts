import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { forMany } from '../../../shared/async/for-many.js';
import { sleep } from '../../../shared/async/sleep.js';
import { beforeBreak } from '../../../shared/nats/nats-ask.js';
import type { NatsLink } from '../../../shared/nats/nats-connection.js';

const many = 50;
let warnings: Error[];
const warned = (warning: Error): void => void warnings.push(warning);
beforeEach(() => {
  warnings = [];
  process.on('warning', warned);
});
afterEach(() => void process.off('warning', warned));

/** Node tells of warnings in a turn of its own. */
const told = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const waiting = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

it('a signal that many wait for is taken for a leak by Node', async () => {
  const controller = new AbortController();
  const sleeps = Array.from({ length: many }, () => sleep(60_000, controller.signal));
  await told();
  expect(warnings.map(({ name }) => name)).toEqual(['MaxListenersExceededWarning']);
  controller.abort(new Error('over'));
  await Promise.allSettled(sleeps);
});

it('marked as such it is not, and nobody is left waiting when the work has ended', async () => {
  const controller = new AbortController();
  const signal = forMany(controller.signal);
  const sleeps = Array.from({ length: many }, () => sleep(1, signal));
  // Of a connection to NATS a question asks only when it breaks.
  const link = { disconnected: signal } as NatsLink;
  const questions = Array.from({ length: many }, () => beforeBreak(link, () => sleep(1)));
  expect(waiting(signal)).toBe(2 * many);
  await Promise.all([...sleeps, ...questions]);
  await told();
  expect(warnings).toEqual([]);
  expect(waiting(signal)).toBe(0);
});
