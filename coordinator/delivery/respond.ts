/** Short ways to end a command. */
import { describeDeploymentEnd } from '../../shared/model/deployment.js';
import type { DeliveryEvent, EnvironmentRef, OfDeployment } from '../../shared/model/environment.js';
import type { DeliveryAnswer, DeliveryContext, DeliveryHandled } from './command.js';
import type { DeliveryPresence } from './presence.js';
import {
  findEnded,
  findEnvironment,
  findOpen,
  type Deliveries,
  type Deployment,
  type Environment,
} from './state.js';

export interface World {
  readonly deliveries: Deliveries;
  readonly presence: DeliveryPresence;
  readonly context: DeliveryContext;
}

export const answer = (given: DeliveryAnswer): DeliveryHandled => ({ events: [], answer: given });
export const done: DeliveryHandled = answer({ kind: 'done' });
export const refuse = (message: string): DeliveryHandled => answer({ kind: 'refused', message });
export const accept = (
  events: readonly DeliveryEvent[],
  given: DeliveryAnswer = { kind: 'done' },
): DeliveryHandled => ({ events, answer: given });

export const noEnvironment = ({ environment }: EnvironmentRef): DeliveryHandled =>
  answer({
    kind: 'not-found',
    message: `there is no environment ${environment}: add it with \`gantry environments add ${environment}\``,
  });

export type Found =
  | { readonly kind: 'open'; readonly environment: Environment; readonly deployment: Deployment }
  /** Nothing can be done to it any more, and the answer says why. */
  | { readonly kind: 'not-open'; readonly handled: DeliveryHandled };

export function findDeployment({ deliveries }: World, of: OfDeployment): Found {
  const environment = findEnvironment(deliveries, of);
  if (environment === undefined) return { kind: 'not-open', handled: noEnvironment(of) };
  const deployment = findOpen(environment, of.deployment);
  if (deployment !== undefined) return { kind: 'open', environment, deployment };
  const ended = findEnded(environment, of.deployment);
  const name = `deployment ${of.deployment} of ${of.environment}`;
  const handled =
    ended === undefined
      ? answer({ kind: 'not-found', message: `there is no ${name}, or it is long over` })
      : refuse(`${name} has ended: ${describeDeploymentEnd(ended.end)}`);
  return { kind: 'not-open', handled };
}
