/** How a deployment came out: by its verify, by a person, or by an agent that comes back late. */
import { describeFailure } from '../../shared/model/failure.js';
import { stepAfterEnd } from './after-lock.js';
import type { AttemptEnd, DeliveryCommand, DeliveryHandled } from './command.js';
import { eventOf } from './event-of.js';
import { keyOf } from './keys.js';
import { presenceOf, rest } from './presence.js';
import { accept, done, findDeployment, refuse, type World } from './respond.js';
import { endOf } from './rollback.js';
import { begunBy, findEnded, findOpen, findPlace, refOf } from './state.js';

type Of<K extends DeliveryCommand['kind']> = Extract<DeliveryCommand, { readonly kind: K }>;

/** An answer to an earlier verification speaks of an environment that has changed since. */
export function verifyAnswered(world: World, command: Of<'VerifyAnswered'>): DeliveryHandled {
  const found = findDeployment(world, command);
  if (found.kind === 'not-open') return done;
  const { environment, deployment } = found;
  const { verification, answer } = command;
  const { kind } = deployment.phase;
  if ((kind !== 'verifying' && kind !== 'unknown') || verification !== deployment.verification) return done;
  switch (answer.kind) {
    case 'good':
      return accept([endOf(environment, deployment, { kind: 'verified' })]);
    case 'bad':
      return accept([endOf(environment, deployment, { kind: 'verify-failed', reason: answer.reason })]);
    case 'unavailable': {
      const at = { nowMs: world.context.now.monotonicMs, problem: answer.message };
      rest(presenceOf(world.presence, environment), keyOf.verify(deployment.deployment, verification), at);
      return done;
    }
  }
}

/** A person's *bad* rolls nothing back: who says so sees the environment, and `gantry rollback` is at hand. */
export function settle(world: World, command: Of<'Settle'>): DeliveryHandled {
  const found = findDeployment(world, command);
  if (found.kind === 'not-open') return found.handled;
  const { environment, deployment } = found;
  const { outcome, by, reason } = command;
  const { kind } = deployment.phase;
  if (kind !== 'unknown' && kind !== 'verifying') {
    const what = kind === 'running' ? 'runs: its agent reports how it comes out' : 'has not begun';
    return refuse(`deployment ${deployment.deployment} of ${environment.environment} ${what}`);
  }
  const end =
    outcome === 'good'
      ? ({ kind: 'verified', by } as const)
      : ({ kind: 'settled-bad', by, ...(reason === undefined ? {} : { reason }) } as const);
  return accept([endOf(environment, deployment, end)]);
}

/**
 * The stage has ended, so the scheduler has no use for the report; the environment has, as long as nobody has settled the
 * deployment. Afterwards it is noted, and changes nothing.
 */
export function agentReturned({ deliveries }: World, command: Of<'AgentReturned'>): DeliveryHandled {
  const place = findPlace(deliveries, command);
  if (place === undefined) return done;
  const { environment, deployment: number } = place;
  const { token, end } = command;
  const ended = findEnded(environment, number);
  if (ended !== undefined) {
    if (ended.begun?.token !== token || ended.late !== undefined) return done;
    const message = inWords(end);
    return accept([{ kind: 'DeployEndedLate', ...refOf(environment), deployment: number, message }]);
  }
  const deployment = findOpen(environment, number);
  if (deployment === undefined || begunBy(deployment)?.token !== token) return done;
  if (deployment.phase.kind !== 'unknown' && deployment.phase.kind !== 'running') return done;
  const step = stepAfterEnd(environment, deployment, end);
  if (step.kind === 'unknown' && deployment.phase.kind === 'unknown') return done;
  const event = eventOf(environment, deployment, step);
  return event === undefined ? done : accept([event]);
}

function inWords({ status, failure }: AttemptEnd): string {
  const why = failure === undefined ? '' : ` (${describeFailure(failure)})`;
  return `its agent came back and says that it ${status === 'succeeded' ? 'succeeded' : `ended ${status}${why}`}`;
}
