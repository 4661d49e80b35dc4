/** Archives the logs of an attempt whose end is acknowledged; nothing but the logs' later readers waits for it. */
import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs, type Backoff } from '../../shared/async/backoff.js';
import type { LogDigest } from '../../shared/model/event.js';
import { archiveLog, findLog } from '../logs/log-archive.js';
import { SessionRefused } from '../session/session.js';
import { presignFor, type AttemptContext } from './context.js';
import { finishedReport } from './attempt-state.js';
import { StageError } from './tools.js';

const backoff: Backoff = { firstMs: 500, maxMs: 60_000 };
/** Storage that is away for so long gets the logs from the coordinator, which has them in LOGS. */
const tries = 60;
const atOnce = 4;

/** Whether all logs are in storage. False where that is not possible any more; throws only when not wanted any more. */
export async function archiveLogs(context: AttemptContext): Promise<boolean> {
  const end = finishedReport(context.record.state)?.report;
  if (end?.kind !== 'AttemptFinished') return false;
  // A stage may have many steps, and each log is a few round trips.
  const rest = [...end.logs];
  const archiveRest = async (): Promise<boolean> => {
    for (let digest = rest.shift(); digest !== undefined; digest = rest.shift()) {
      if (!(await archiveStubbornly(context, digest))) return false;
    }
    return true;
  };
  const done = await Promise.all(Array.from({ length: atOnce }, archiveRest));
  return done.every((each) => each);
}

async function archiveStubbornly(context: AttemptContext, digest: LogDigest): Promise<boolean> {
  const { alive } = context.stop;
  for (let failures = 0; failures < tries; failures += 1) {
    try {
      return await archiveOne(context, digest);
    } catch (error) {
      alive.throwIfAborted();
      const { log } = context.tools;
      // Without its secrets nothing of an attempt may leave this machine: the coordinator archives what it has.
      if (error instanceof SessionRefused || error instanceof StageError) {
        log.info({ attempt: context.key, err: error }, 'the logs are not wanted in storage any more');
        return false;
      }
      log.warn({ attempt: context.key, step: digest.step, err: error }, 'a log could not be archived yet');
      await pause(backoffMs(backoff, failures, Math.random()), undefined, { signal: alive });
    }
  }
  return false;
}

async function archiveOne(context: AttemptContext, digest: LogDigest): Promise<boolean> {
  const { record, tools, logs, stop, secrets } = context;
  // Known, unless this process took over an attempt that had ended.
  await secrets.get(stop.alive);
  const { masker } = secrets;
  const open = logs.descriptor(digest.step);
  const found = open === undefined ? await findAgain(context, digest) : undefined;
  const fd = open ?? found?.fd;
  if (fd === undefined) return false;
  try {
    await archiveLog(
      { digest, fd, masker, indexPath: record.indexPath(digest.step) },
      { transfer: tools.transfer, presign: presignFor(context) },
      stop.alive,
    );
    return true;
  } finally {
    await found?.close();
  }
}

async function findAgain(context: AttemptContext, digest: LogDigest): ReturnType<typeof findLog> {
  const { slot } = context.record.state;
  if (!slot) return undefined;
  return findLog(context.tools.workspaces.at(context.ref).out, digest, context.secrets.masker);
}
