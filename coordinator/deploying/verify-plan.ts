import { createHash } from 'node:crypto';
import { base32Of, parseRunId, type RunId } from '../../shared/model/ids.js';
import type { PlannedStage, PlannedStep } from '../../shared/model/pipeline.js';
import type { DeliveryEffect } from '../delivery/command.js';
import { nameOf } from '../pipeline/shell-words.js';
import { pinned, pinsOf } from './images.js';
import { inputsOf } from './inputs.js';
import type { Planned } from './rollback-plan.js';
import type { KnownRun } from './runs.js';

export type Verify = Extract<DeliveryEffect, { kind: 'Verify' }>;

/** One try of one verification is one run, however often it is asked for. */
export function verifyRunId(effect: Verify): RunId {
  const { project, environment, deployment, run: of, stage, verification, failures } = effect;
  // The numbers alone begin anew when an environment is removed and added again, and its former verifies are on record.
  const identity = ['verify', project, environment, deployment, of, stage, verification, failures].join('\0');
  const run = parseRunId(base32Of(createHash('sha256').update(identity).digest()));
  if (run === undefined) throw new Error('base32Of made something that is no run id');
  return run;
}

/** The commands that say whether a deployment is good, in what its stage ran in, and with what that had. */
export function verifyPlan(
  effect: Verify,
  deployed: Pick<KnownRun, 'plan' | 'results' | 'events'>,
  url: string | undefined,
): Planned {
  const { environment, deployment, verification, commit, run } = effect;
  const { plan } = deployed;
  const found = plan.stages.find(({ number }) => number === effect.stage);
  if (found === undefined) {
    return { kind: 'impossible', message: `run ${run} has no stage ${effect.stage}` };
  }
  const { before: _before, force: _force, ...facts } = plan.facts;
  const title = `verify deployment ${deployment} of ${environment} (${commit.slice(0, 12)})`;
  return {
    kind: 'plan',
    plan: {
      v: 1,
      run: verifyRunId(effect),
      facts: {
        ...facts,
        event: 'manual',
        trust: 'branch',
        commit,
        title: Array.from(title).slice(0, 200).join(''),
        verifies: { environment, deployment, run, verification },
      },
      source: { ...plan.source, commit },
      stages: [verifyStage(found, { effect, deployed, url })],
      pipelineText: plan.pipelineText,
    },
  };
}

function verifyStage(
  stage: PlannedStage,
  of: {
    readonly effect: Verify;
    readonly deployed: Pick<KnownRun, 'plan' | 'results' | 'events'>;
    readonly url: string | undefined;
  },
): PlannedStage {
  const { effect, deployed, url } = of;
  const { image, user, labels, services, timeoutMs, maxAttempts, secrets } = pinned(
    stage,
    pinsOf(deployed.events),
  );
  const inputs = inputsOf(stage, deployed);
  return {
    number: 1,
    name: 'verify',
    cell: {},
    needs: [],
    ...(image === undefined ? {} : { image }),
    ...(user === undefined ? {} : { user }),
    labels,
    env: {
      ...stage.env,
      GANTRY_ENVIRONMENT: effect.environment,
      ...(url === undefined ? {} : { GANTRY_ENVIRONMENT_URL: url }),
    },
    services,
    timeoutMs,
    allowFailure: false,
    maxAttempts,
    steps: [...(stage.verify ?? []), ...effect.commands].map(stepOf),
    artifacts: [],
    ...(secrets === undefined ? {} : { secrets }),
    ...(inputs.length === 0 ? {} : { inputs }),
  };
}

const stepOf = (run: string, index: number): PlannedStep => ({
  number: index + 1,
  name: nameOf(run),
  run,
  env: {},
});
