import { isRollback, type Deployment } from './state.js';

/**
 * What is bound to the settings or the record begins anew; what has the lock was let through. Part of `applyDelivery`. `at`:
 * wall time.
 */
export function checkAgain(deployment: Deployment, at: number): void {
  const { phase } = deployment;
  if (isRollback(deployment) || (phase.kind !== 'approval' && phase.kind !== 'ready')) return;
  deployment.phase = { kind: 'waiting', since: at };
  deployment.approvedBy = undefined;
  deployment.promotedFrom = undefined;
}
