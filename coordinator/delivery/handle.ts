/**
 * A request from outside, or the outcome of an effect, becomes events or a refusal. What it returns has been applied; see
 * `decide.ts` for the turn it is part of. It is given the presence because some outcomes are no facts: that something could
 * not be done yet.
 */
import { applyDelivery } from './apply.js';
import type { DeliveryCommand, DeliveryContext, DeliveryHandled } from './command.js';
import { approve, reject } from './handle-approval.js';
import { hold, remove, resume, set } from './handle-environment.js';
import { agentReturned, settle, verifyAnswered } from './handle-outcome.js';
import { amend, request, rollback, rollbackRefused } from './handle-request.js';
import { keyOf } from './keys.js';
import { presenceOf, rest, type DeliveryPresence } from './presence.js';
import { accept, done, type World } from './respond.js';
import { findEnvironment, refOf, type Deliveries } from './state.js';

export function handleDelivery(
  deliveries: Deliveries,
  command: DeliveryCommand,
  beside: { readonly presence: DeliveryPresence; readonly context: DeliveryContext },
): DeliveryHandled {
  const handled = respond({ deliveries, ...beside }, command);
  for (const event of handled.events) applyDelivery(deliveries, event, beside.context.now.wallMs);
  // Also what changed in the presence alone is to be looked at.
  const environment = 'environment' in command ? findEnvironment(deliveries, command) : undefined;
  if (environment !== undefined) deliveries.touched.add(environment);
  return handled;
}

function respond(world: World, command: DeliveryCommand): DeliveryHandled {
  switch (command.kind) {
    case 'SetEnvironment':
      return set(world, command);
    case 'RemoveEnvironment':
      return remove(world, command);
    case 'HoldEnvironment':
      return hold(world, command);
    case 'ResumeEnvironment':
      return resume(world, command);
    case 'RequestDeployment':
      return request(world, command);
    case 'AmendDeployment':
      return amend(world, command);
    case 'Approve':
      return approve(world, command);
    case 'Reject':
      return reject(world, command);
    case 'Rollback':
      return rollback(world, command);
    case 'Settle':
      return settle(world, command);
    case 'CommitsCompared':
      return compared(world, command);
    case 'VerifyAnswered':
      return verifyAnswered(world, command);
    case 'RollbackRefused':
      return rollbackRefused(world, command);
    case 'AgentReturned':
      return agentReturned(world, command);
    case 'DeliveryChoreDone':
      return choreDone(world, command);
  }
}

function compared(
  { deliveries, presence, context }: World,
  command: Extract<DeliveryCommand, { kind: 'CommitsCompared' }>,
): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  if (environment === undefined) return done;
  const { one, other, answer } = command;
  if (answer.kind === 'unavailable') {
    const at = { nowMs: context.now.monotonicMs, problem: answer.message };
    rest(presenceOf(presence, environment), keyOf.compare({ one, other }), at);
    return done;
  }
  return accept([{ kind: 'EnvironmentCompared', ...refOf(environment), one, other, order: answer.order }]);
}

function choreDone(
  { deliveries }: World,
  command: Extract<DeliveryCommand, { kind: 'DeliveryChoreDone' }>,
): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  const { chore, message } = command;
  if (environment?.chores.has(chore) !== true) return done;
  const event = { kind: 'EnvironmentChoreDone', ...refOf(environment), chore } as const;
  return accept([message === undefined ? event : { ...event, message }]);
}
