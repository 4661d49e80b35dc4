/** Going back: to which deployment, when by itself, and what is disowned by it. */
import type { DeploymentEnd } from '../../shared/model/deployment.js';
import type { DeliveryEvent } from '../../shared/model/environment.js';
import type { RunId } from '../../shared/model/ids.js';
import {
  findEnded,
  findOpen,
  isRollback,
  refOf,
  type Deliveries,
  type Deployment,
  type DeploymentFacts,
  type EndedDeployment,
  type Environment,
} from './state.js';

export const isGood = ({ end, isDisavowed }: EndedDeployment): boolean =>
  end.kind === 'verified' && !isDisavowed;

/** The deployment whose content it is: of a rollback, the one that was made again. */
const originOf = ({ of, deployment }: DeploymentFacts): number =>
  of.kind === 'rollback' ? of.of : deployment;

/** The run whose content it is. Several of its stages may have gone there. */
const originRunOf = ({ of, run }: DeploymentFacts): RunId => (of.kind === 'rollback' ? of.ofRun : run);

/**
 * The last verified deployment of another run than what is there: who rolls back wants something else. What a rollback that came
 * out badly was to bring may be tried again.
 */
export function rollbackTarget(environment: Environment): EndedDeployment | undefined {
  const left = leftRun(environment);
  return environment.ended.findLast((other) => isGood(other) && originRunOf(other) !== left);
}

function leftRun(environment: Environment): RunId | undefined {
  const { there } = environment;
  if (there === undefined) return undefined;
  const ended = findEnded(environment, there.deployment);
  const current = ended ?? findOpen(environment, there.deployment);
  if (current === undefined) return undefined;
  const isBadRollback = isRollback(current) && (ended === undefined || !isGood(ended));
  return isBadRollback ? undefined : originRunOf(current);
}

export const openRollback = ({ open }: Environment): Deployment | undefined => open.find(isRollback);

/** The end of a deployment, and whether the environment goes back by itself. A rollback that fails never does. */
export function endOf(
  environment: Environment,
  deployment: Deployment,
  end: DeploymentEnd,
): Extract<DeliveryEvent, { kind: 'DeployEnded' }> {
  const event = {
    kind: 'DeployEnded',
    ...refOf(environment),
    deployment: deployment.deployment,
    end,
  } as const;
  const isWanted =
    end.kind === 'verify-failed' &&
    environment.settings.rollsBack &&
    !isRollback(deployment) &&
    openRollback(environment) === undefined;
  const target = isWanted ? rollbackTarget(environment) : undefined;
  return target === undefined ? event : { ...event, rollsBackTo: target.deployment };
}

/** The request for a rollback: the commit, the steps and the artifacts are the target's; variables and secrets are amended. */
export function rollbackOf(
  environment: Environment,
  target: EndedDeployment,
  how: { readonly run: RunId; readonly by: string; readonly cause: 'asked' | 'verify-failed' },
): Extract<DeliveryEvent, { kind: 'DeployRequested' }> {
  const { of } = target;
  const origin =
    of.kind === 'rollback'
      ? { of: of.of, ofRun: of.ofRun, ofStage: of.ofStage }
      : { of: target.deployment, ofRun: target.run, ofStage: target.stage };
  return {
    kind: 'DeployRequested',
    ...refOf(environment),
    deployment: environment.requested + 1,
    run: how.run,
    stage: origin.ofStage,
    of: { kind: 'rollback', ...origin, cause: how.cause },
    source: target.source,
    record: target.record,
    title: target.title,
    by: how.by,
  };
}

/** What came behind the rollback's target is neither promoted nor gone back to. Part of `applyDelivery`. */
export function disavow(deliveries: Deliveries, environment: Environment, rollback: Deployment): void {
  if (rollback.of.kind !== 'rollback') return;
  const target = rollback.of.of;
  for (const other of environment.ended) {
    const isBehind = other.deployment > target && originOf(other) !== target;
    if (isBehind && other.deployment < rollback.deployment) other.isDisavowed = true;
  }
  for (const other of deliveries.all.values()) {
    const isAfter = other.settings.promotesFrom === environment.environment;
    if (isAfter && other.project === environment.project) deliveries.touched.add(other);
  }
}
