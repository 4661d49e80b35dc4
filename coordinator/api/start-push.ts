import type { Plan } from '../../shared/model/pipeline.js';
import type { PushRun } from '../triggers/triggers.js';
import type { Services } from './services.js';
import { answeredBefore, digestOf, startRun } from './start-run.js';

/** The run of a push. Its id is the push's own, so asking twice starts one. */
export async function startPush(services: Services, push: PushRun): Promise<void> {
  const { run, facts, source, stages, pipelineText, notify, failure } = push;
  const digest = digestOf({ project: facts.project, ref: source, before: facts.before });
  if ((await answeredBefore(services, run, digest)) !== undefined) return;
  const plan: Plan = {
    v: 1,
    run,
    facts,
    source,
    stages,
    pipelineText,
    ...(notify === undefined ? {} : { notify }),
  };
  await startRun(services, { plan, digest, ...(failure === undefined ? {} : { failure }) });
}
