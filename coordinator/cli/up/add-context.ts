import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { sleep } from '../../../shared/async/sleep.js';
import { readContexts, withContext, writeContexts, type Context } from '../context.js';
import { takeLock } from './lock.js';

/** Reading and writing the file takes milliseconds. A lock held for longer is of a process that was stopped. */
const patienceMs = 5_000;

/** Adds a context and makes it the current one. Of several that do so at once none is lost: one writes at a time. */
export async function addContext(file: string, name: string, context: Context): Promise<void> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const lock = takeLock(`${file}.lock`);
    if (lock.kind === 'held' || Date.now() > deadline) {
      try {
        writeContexts(file, withContext(readContexts(file), name, context));
        return;
      } finally {
        if (lock.kind === 'held') lock.release();
      }
    }
    await sleep(20);
  }
}
