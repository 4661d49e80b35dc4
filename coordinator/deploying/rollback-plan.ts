import type { DeliveryEffect } from '../delivery/command.js';
import type { Plan } from '../../shared/model/pipeline.js';
import { pinned, pinsOf } from './images.js';
import { inputsOf } from './inputs.js';
import type { KnownRun } from './runs.js';

export type StartRollback = Extract<DeliveryEffect, { kind: 'StartRollback' }>;

export type Planned =
  { readonly kind: 'plan'; readonly plan: Plan } | { readonly kind: 'impossible'; readonly message: string };

/** The run that makes a deployment again: its stage as it was, alone, with the artifacts and images that it had. */
export function rollbackPlan(
  {
    environment,
    run,
    ofStage,
    by,
    ofRun,
  }: Pick<StartRollback, 'environment' | 'run' | 'ofStage' | 'by' | 'ofRun'>,
  old: Pick<KnownRun, 'plan' | 'results' | 'events'>,
): Planned {
  const { plan } = old;
  const found = plan.stages.find(({ number }) => number === ofStage);
  if (found?.environment !== environment) {
    return {
      kind: 'impossible',
      message: `stage ${ofStage} of run ${ofRun} deploys nothing to ${environment}`,
    };
  }
  const { condition: _condition, inputs: _inputs, ...stage } = pinned(found, pinsOf(old.events));
  const inputs = inputsOf(found, old);
  const { before: _before, force: _force, ...facts } = plan.facts;
  const title = `roll back ${environment} to ${facts.commit.slice(0, 12)} "${facts.title}"`;
  return {
    kind: 'plan',
    plan: {
      v: 1,
      run,
      facts: {
        ...facts,
        event: 'manual',
        trust: 'branch',
        by,
        title: Array.from(title).slice(0, 200).join(''),
      },
      source: plan.source,
      stages: [{ ...stage, needs: [], ...(inputs.length === 0 ? {} : { inputs }) }],
      pipelineText: plan.pipelineText,
    },
  };
}
