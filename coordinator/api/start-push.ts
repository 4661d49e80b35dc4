import type { Plan } from '../../shared/model/pipeline.js';
import type { PushRun } from '../triggers/triggers.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';
import { stagesToTakeOver } from './take-over.js';
import { answeredBefore, digestOf, startRun, type Submitted } from './start-run.js';

/**
 * The run of a push. Its id is the push's own, so asking twice starts one. It may have had its run long ago: the ref went
 * back and forth between two commits, or the project was removed and added again; then the push is settled without one.
 */
export async function startPush(services: Services, push: PushRun): Promise<void> {
  const { run, facts, source, stages, pipelineText, notify, failure } = push;
  const digest = digestOf({ project: facts.project, ref: source, before: facts.before });
  const before = await unlessRefused(answeredBefore(services, run, digest));
  if (before !== undefined) {
    await services.coordinator.perform({
      kind: 'SettleTrigger',
      run,
      reason: `the same move of the same ref had its run before: ${run}`,
    });
    return;
  }
  const plan: Plan = {
    v: 1,
    run,
    facts,
    source,
    stages,
    pipelineText,
    ...(notify === undefined ? {} : { notify }),
  };
  const taken = await stagesToTakeOver(services, plan);
  const problem = await unlessRefused(
    startRun(services, { plan, digest, taken, ...(failure === undefined ? {} : { failure }) }),
  );
  if (!(problem instanceof ApiError)) return;
  // It would be refused for ever, and its author would hear nothing.
  const { message } = problem;
  await startRun(services, {
    plan: { ...plan, stages: [] },
    digest,
    failure: { kind: 'invalid-pipeline', message },
  });
}

/** What will not change by asking again, as a value. */
function unlessRefused<T extends Submitted | boolean | undefined>(asked: Promise<T>): Promise<T | ApiError> {
  return asked.catch((error: unknown) => {
    if (error instanceof ApiError && (error.kind === 'invalid' || error.kind === 'refused')) return error;
    throw error;
  });
}
