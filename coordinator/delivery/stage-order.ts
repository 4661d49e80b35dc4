/** What the scheduler is to do with a stage that has an `environment`: asked before it leases one, and before it ends one. */
import { describeDeploymentEnd, describeUnknown, type DeploymentEnd } from '../../shared/model/deployment.js';
import type { DeliveryEvent } from '../../shared/model/environment.js';
import type { Failure } from '../../shared/model/failure.js';
import type { Token } from '../../shared/model/ids.js';
import type { StageRef } from './command.js';
import { begunBy, findEnded, findEnvironment, findOpen, findPlace, type Deliveries } from './state.js';

export type StageOrder =
  /** Nobody asked for its deployment yet: once its needs are met, `RequestDeployment`. */
  | { readonly kind: 'request' }
  /** It is not leased. What it waits for says `reasonsOf`. */
  | { readonly kind: 'wait' }
  /** It may be leased, and again if the lease comes to nothing before its attempt starts. */
  | { readonly kind: 'start' }
  /** It began: no attempt is leased any more, and whatever becomes of the one that began, the stage does not end yet. */
  | { readonly kind: 'leave' }
  /** `failure`: that of its attempt, where it had one; else `reason`, a sentence, is the failure. */
  | {
      readonly kind: 'end';
      readonly status: 'succeeded' | 'failed' | 'canceled';
      readonly failure?: Failure;
      readonly reason: string;
    };

export function stageOrder(deliveries: Deliveries, at: StageRef): StageOrder {
  const place = findPlace(deliveries, at);
  if (place === undefined) return { kind: 'request' };
  const { environment, deployment: number } = place;
  const ended = findEnded(environment, number);
  if (ended !== undefined) return orderOfEnd(ended.end);
  const deployment = findOpen(environment, number);
  switch (deployment?.phase.kind) {
    case 'waiting':
    case 'approval':
    case 'ready':
      return { kind: 'wait' };
    case 'locked':
      return { kind: 'start' };
    case 'running':
    case 'verifying':
    case 'unknown':
    case undefined:
      break;
  }
  if (deployment?.isReleased !== true) return { kind: 'leave' };
  const { phase } = deployment;
  const why = phase.kind === 'unknown' ? describeUnknown(phase.cause) : 'its verify does not answer';
  return {
    kind: 'end',
    status: 'failed',
    reason: `nobody knows how it came out: ${why} (\`gantry environments settle ${environment.environment}\`)`,
  };
}

function orderOfEnd(end: DeploymentEnd): StageOrder {
  const reason = describeDeploymentEnd(end);
  switch (end.kind) {
    case 'verified':
      return { kind: 'end', status: 'succeeded', reason };
    case 'canceled':
      return { kind: 'end', status: 'canceled', failure: { kind: 'canceled', by: end.by }, reason };
    case 'superseded':
    case 'expired':
      return { kind: 'end', status: 'canceled', reason };
    case 'failed':
    case 'not-started': {
      const { failure } = end;
      return { kind: 'end', status: 'failed', reason, ...(failure === undefined ? {} : { failure }) };
    }
    case 'verify-failed':
    case 'settled-bad':
    case 'rejected':
    case 'outdated':
    case 'not-landed':
    case 'branch-refused':
    case 'not-promoted':
      return { kind: 'end', status: 'failed', reason };
  }
}

/** The stages whose order these events may have changed: the scheduler looks at them again. */
export function stagesMovedBy(deliveries: Deliveries, events: readonly DeliveryEvent[]): readonly StageRef[] {
  return events.flatMap((event) => {
    if (!('deployment' in event)) return [];
    const environment = findEnvironment(deliveries, event);
    if (environment === undefined) return [];
    const found = findOpen(environment, event.deployment) ?? findEnded(environment, event.deployment);
    return found === undefined ? [] : [{ run: found.run, stage: found.stage }];
  });
}

/**
 * Whether an attempt gets the secrets of the stage's environment: only while its deployment has the environment for itself. An agent
 * that restarts asks again, and may have been taken for lost meanwhile: what began has had them, and masks its log with them.
 */
export function getsEnvironmentSecrets(
  deliveries: Deliveries,
  at: StageRef & { readonly token: Token },
): boolean {
  const place = findPlace(deliveries, at);
  const deployment = place === undefined ? undefined : findOpen(place.environment, place.deployment);
  if (deployment === undefined) return false;
  const { kind } = deployment.phase;
  const begun = begunBy(deployment);
  return kind === 'locked' || ((kind === 'running' || kind === 'unknown') && begun?.token === at.token);
}
