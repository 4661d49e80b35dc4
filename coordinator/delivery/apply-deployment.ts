/** What an event changes of one deployment. Part of `applyDelivery`. */
import { isUntouched } from '../../shared/model/deployment.js';
import type { DeliveryEvent, OfDeployment } from '../../shared/model/environment.js';
import { checkAgain } from './check-again.js';
import { makeChore } from './make-chore.js';
import { remembered } from './remembered.js';
import { disavow, openRollback } from './rollback.js';
import {
  begunBy,
  factsOf,
  findEnded,
  findOpen,
  forgetPlaces,
  hasVerify,
  isRollback,
  type Deliveries,
  type Deployment,
  type Environment,
} from './state.js';

interface Scene {
  readonly deliveries: Deliveries;
  readonly environment: Environment;
  /** Wall time. */
  readonly at: number;
}

type DeploymentEvent = Exclude<Extract<DeliveryEvent, OfDeployment>, { readonly kind: 'DeployRequested' }>;

export function applyToDeployment(scene: Scene, event: DeploymentEvent): void {
  const { environment, at } = scene;
  if (event.kind === 'DeployEndedLate') {
    const ended = findEnded(environment, event.deployment);
    if (ended !== undefined) ended.late = event.message;
    return;
  }
  const deployment = findOpen(environment, event.deployment);
  if (deployment === undefined) return;
  const { phase } = deployment;
  switch (event.kind) {
    case 'DeployAmended': {
      const { env, secrets } = event;
      deployment.record = { ...deployment.record, env, secrets };
      deployment.recordRevision += 1;
      checkAgain(deployment, at);
      return;
    }
    case 'DeployApprovalAsked':
      deployment.promotedFrom = event.promotedFrom;
      deployment.phase = { kind: 'approval', since: at, binding: event.binding };
      makeChore(environment, deployment, {
        kind: 'approval-wanted',
        approvers: environment.settings.approval?.by ?? [],
      });
      return;
    case 'DeployCleared':
      deployment.promotedFrom = event.promotedFrom;
      deployment.phase = { kind: 'ready', since: at };
      return;
    case 'DeployApproved':
      deployment.approvedBy = event.by;
      deployment.phase = { kind: 'ready', since: at };
      return;
    case 'DeployLocked':
      environment.holder = deployment.deployment;
      deployment.phase = { kind: 'locked', since: at };
      return;
    case 'DeployBegan': {
      const { attempt, token } = event;
      deployment.phase = { kind: 'running', since: at, begun: { attempt, token, at } };
      begin(scene, deployment);
      return;
    }
    case 'DeployStepsEnded':
      if (phase.kind !== 'running' && phase.kind !== 'unknown') return;
      deployment.phase = { kind: 'verifying', since: at, begun: phase.begun };
      deployment.verification += 1;
      return;
    case 'DeployUnknown':
      if (phase.kind !== 'running' && phase.kind !== 'unknown') return;
      deployment.phase = { kind: 'unknown', since: at, begun: phase.begun, cause: event.cause };
      if (hasVerify(environment, deployment)) deployment.verification += 1;
      makeChore(environment, deployment, { kind: 'unknown', cause: event.cause });
      return;
    case 'DeployReturned':
      if (phase.kind === 'unknown') {
        deployment.phase = { kind: 'running', since: phase.begun.at, begun: phase.begun };
      }
      return;
    case 'DeployStageReleased':
      deployment.isReleased = true;
      return;
    case 'DeployEnded':
      end(scene, deployment, event);
      return;
  }
}

function begin({ deliveries, environment, at }: Scene, deployment: Deployment): void {
  const { there, rolledBack } = environment;
  deployment.before = { there, rolledBack };
  environment.there = { deployment: deployment.deployment, commit: deployment.record.commit, since: at };
  if (isRollback(deployment)) disavow(deliveries, environment, deployment);
  // It is newer than what was left: from now on being outdated keeps that away.
  else environment.rolledBack = undefined;
}

function end(
  { deliveries, environment, at }: Scene,
  deployment: Deployment,
  event: Extract<DeploymentEvent, { kind: 'DeployEnded' }>,
): void {
  const { record, approvedBy, before } = deployment;
  const begun = begunBy(deployment);
  const { end: how, rollsBackTo } = event;
  environment.open = environment.open.filter((other) => other !== deployment);
  if (environment.holder === deployment.deployment) environment.holder = undefined;
  if (before !== undefined && isUntouched(how)) {
    environment.there = before.there;
    // A rollback may have been asked for meanwhile.
    if (!isRollback(deployment)) environment.rolledBack ??= before.rolledBack;
  }
  const rollback = openRollback(environment);
  environment.ended.push({
    ...factsOf(deployment),
    record,
    approvedBy,
    begun,
    end: how,
    endedAt: at,
    isDisavowed: rollback !== undefined && begun !== undefined,
    late: undefined,
  });
  if (rollsBackTo !== undefined) {
    environment.rollbackDue = { to: rollsBackTo, leaves: { run: deployment.run, stage: deployment.stage } };
    environment.rolledBack = { from: record.commit, at };
  }
  if (begun !== undefined) makeChore(environment, deployment, { kind: 'ended', end: how });
  const kept = remembered(environment);
  for (const { run, deployment: number } of environment.ended) {
    if (!kept.has(number)) forgetPlaces(deliveries, run, { environment, deployment: number });
  }
  environment.ended = environment.ended.filter(({ deployment: number }) => kept.has(number));
}
