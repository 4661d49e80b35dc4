/**
 * The only function that changes what is known about environments. It decides nothing and checks nothing: what is in the
 * journal has happened. It is deterministic in its arguments, so that every replay comes to the same.
 */
import {
  defaultEnvironmentSettings,
  type DeliveryEvent,
  type EnvironmentRef,
} from '../../shared/model/environment.js';
import { applyToDeployment } from './apply-deployment.js';
import { checkAgain } from './check-again.js';
import { forgetOrders, orderKey } from './commits.js';
import { makeChore } from './make-chore.js';
import { disavow } from './rollback.js';
import {
  environmentKey,
  findEnvironment,
  findOpen,
  forgetEnvironment,
  refOf,
  type Deliveries,
  type Deployment,
  type Environment,
} from './state.js';

/** `at`: wall time of the event's entry in the journal. */
export function applyDelivery(deliveries: Deliveries, event: DeliveryEvent, at: number): void {
  const known = findEnvironment(deliveries, event);
  if (known === undefined && event.kind !== 'EnvironmentSet') return;
  const environment = known ?? addEnvironment(deliveries, event);
  deliveries.touched.add(environment);
  switch (event.kind) {
    case 'EnvironmentSet':
      environment.settings = event.settings;
      environment.revision += 1;
      for (const deployment of environment.open) checkAgain(deployment, at);
      return;
    case 'EnvironmentRemoved':
      forgetEnvironment(deliveries, environment);
      return;
    case 'EnvironmentHeld':
      environment.held = { by: event.by, reason: event.reason, at };
      return;
    case 'EnvironmentResumed':
      environment.held = undefined;
      environment.rolledBack = undefined;
      // Nor does it come back should what is under way turn out to have changed nothing.
      for (const deployment of environment.open) {
        if (deployment.before !== undefined)
          deployment.before = { ...deployment.before, rolledBack: undefined };
      }
      return;
    case 'EnvironmentCompared':
      environment.orders.set(orderKey(event), event.order);
      forgetOrders(environment);
      return;
    case 'EnvironmentChoreDone':
      environment.chores.delete(event.chore);
      return;
    case 'DeployRequested':
      request(deliveries, environment, event, at);
      return;
    case 'DeployAmended':
    case 'DeployApprovalAsked':
    case 'DeployCleared':
    case 'DeployApproved':
    case 'DeployLocked':
    case 'DeployBegan':
    case 'DeployStepsEnded':
    case 'DeployUnknown':
    case 'DeployReturned':
    case 'DeployStageReleased':
    case 'DeployEnded':
    case 'DeployEndedLate':
      applyToDeployment({ deliveries, environment, at }, event);
      return;
  }
}

function addEnvironment(deliveries: Deliveries, ref: EnvironmentRef): Environment {
  const environment: Environment = {
    ...refOf(ref),
    settings: defaultEnvironmentSettings,
    revision: 0,
    open: [],
    holder: undefined,
    there: undefined,
    held: undefined,
    rolledBack: undefined,
    rollbackDue: undefined,
    requested: 0,
    ended: [],
    orders: new Map(),
    chores: new Map(),
    choresMade: 0,
  };
  deliveries.all.set(environmentKey(ref), environment);
  return environment;
}

function request(
  deliveries: Deliveries,
  environment: Environment,
  event: Extract<DeliveryEvent, { kind: 'DeployRequested' }>,
  at: number,
): void {
  if (findOpen(environment, event.deployment) !== undefined) return;
  const { deployment: number, run, stage, of, source, record, title, by } = event;
  const deployment: Deployment = {
    deployment: number,
    run,
    stage,
    of,
    source,
    title,
    by,
    requestedAt: at,
    // A rollback is of what was let through before, and needs nobody's approval.
    phase: { kind: of.kind === 'rollback' ? 'ready' : 'waiting', since: at },
    record,
    recordRevision: 1,
    approvedBy: undefined,
    promotedFrom: undefined,
    verification: 0,
    isReleased: false,
    before: undefined,
  };
  environment.requested = Math.max(environment.requested, number);
  environment.open.push(deployment);
  deliveries.runs.set(run, [...(deliveries.runs.get(run) ?? []), { environment, deployment: number, stage }]);
  if (of.kind !== 'rollback') return;
  environment.rollbackDue = undefined;
  if (environment.there !== undefined) environment.rolledBack = { from: environment.there.commit, at };
  disavow(deliveries, environment, deployment);
  makeChore(environment, deployment, { kind: 'rolling-back', to: of.of, cause: of.cause });
}
