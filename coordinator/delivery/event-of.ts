/** The fact that a step is, if it is one. */
import type { DeliveryEvent } from '../../shared/model/environment.js';
import { endOf } from './rollback.js';
import { refOf, type Deployment, type Environment } from './state.js';
import type { Step } from './step.js';

export function eventOf(
  environment: Environment,
  deployment: Deployment,
  step: Step,
): DeliveryEvent | undefined {
  const of = { ...refOf(environment), deployment: deployment.deployment };
  switch (step.kind) {
    case 'end':
      return endOf(environment, deployment, step.end);
    case 'ask-approval': {
      const { binding, promotedFrom } = step;
      return {
        kind: 'DeployApprovalAsked',
        ...of,
        binding,
        ...(promotedFrom === undefined ? {} : { promotedFrom }),
      };
    }
    case 'clear': {
      const { promotedFrom } = step;
      return { kind: 'DeployCleared', ...of, ...(promotedFrom === undefined ? {} : { promotedFrom }) };
    }
    case 'lock':
      return { kind: 'DeployLocked', ...of };
    case 'begin':
      return { kind: 'DeployBegan', ...of, attempt: step.attempt, token: step.token };
    case 'steps-ended':
      return { kind: 'DeployStepsEnded', ...of };
    case 'unknown':
      return { kind: 'DeployUnknown', ...of, cause: step.cause };
    case 'returned':
      return { kind: 'DeployReturned', ...of };
    case 'release-stage':
      return { kind: 'DeployStageReleased', ...of };
    case 'wait':
      return undefined;
  }
}
