/**
 * What a deployment's state calls for: a fact to record, an effect to ask for, or something to wait for. `decideDelivery` does
 * it, and `reasonsOf` puts the waiting into words, so that they cannot disagree.
 */
import { afterLock } from './after-lock.js';
import { beforeLock } from './before-lock.js';
import type { Deployment } from './state.js';
import type { Sight, Step } from './step.js';

export function nextStep(sight: Sight, deployment: Deployment): Step {
  const { phase } = deployment;
  switch (phase.kind) {
    case 'waiting':
    case 'approval':
    case 'ready':
      return beforeLock(sight, deployment, phase);
    case 'locked':
    case 'running':
    case 'verifying':
    case 'unknown':
      return afterLock(sight, deployment, phase);
  }
}
