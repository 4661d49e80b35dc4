import { blameOf } from '../../../shared/model/failure.js';
import { isEnded, type RunView, type StageView } from '../../../shared/model/run.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';

/** Stages that made the run fail: those that failed and were not allowed to. */
export const decisiveFailures = (run: Pick<RunView, 'stages'>): readonly StageView[] =>
  run.stages.filter((stage) => stage.status === 'failed' && !stage.allowFailure);

/**
 * How a command that waited for the run ends. Ours only when nothing else made it fail: with a failed test beside a
 * lost machine, running it again would fail again.
 */
export function exitCodeOfRun(run: Pick<RunView, 'status' | 'stages'>): ExitCode {
  switch (run.status) {
    case 'succeeded':
    case 'skipped':
      return exitCodes.done;
    case 'canceled':
      return exitCodes.runCanceled;
    case 'failed': {
      const failed = decisiveFailures(run);
      const ours = failed.filter((stage) => stage.failure !== null && blameOf(stage.failure) === 'ours');
      return failed.length > 0 && ours.length === failed.length ? exitCodes.ours : exitCodes.runFailed;
    }
    case 'pending':
    case 'waiting':
    case 'running':
      // Only asked of ended runs; one that goes on has not failed.
      return exitCodes.done;
  }
}

export const hasEnded = (run: Pick<RunView, 'status'>): boolean => isEnded(run.status);
