/** Asking for a deployment, and for going back. */
import {
  mostRecordCharacters,
  mostRecordItems,
  type DeploymentRecord,
} from '../../shared/model/deployment.js';
import type { DeliveryCommand, DeliveryHandled } from './command.js';
import { keyOf } from './keys.js';
import { presenceOf, rest } from './presence.js';
import { accept, answer, done, findDeployment, noEnvironment, refuse, type World } from './respond.js';
import { openRollback, rollbackOf, rollbackTarget } from './rollback.js';
import { findEnvironment, findPlace, refOf, type Environment } from './state.js';

/** A queue this long is a mistake of some script. */
export const mostOpen = 500;

type Of<K extends DeliveryCommand['kind']> = Extract<DeliveryCommand, { readonly kind: K }>;

/** Whether it may go there is not asked here: also one that may not is a deployment, and ends saying why. */
export function request({ deliveries }: World, command: Of<'RequestDeployment'>): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  if (environment === undefined) return noEnvironment(command);
  const { run, stage, source, record, title, by, force } = command;
  const known = findPlace(deliveries, command);
  if (known !== undefined) {
    return known.environment === environment
      ? answer({ kind: 'deployment', deployment: known.deployment, again: true })
      : refuse(`stage ${stage} of run ${run} is a deployment to ${known.environment.environment}`);
  }
  const problem = whyTooMuch(environment, record);
  if (problem !== undefined) return refuse(problem);
  const deployment = environment.requested + 1;
  return accept(
    [
      {
        kind: 'DeployRequested',
        ...refOf(environment),
        deployment,
        run,
        stage,
        of: force === undefined ? { kind: 'stage' } : { kind: 'stage', force },
        source,
        record,
        title,
        by,
      },
    ],
    { kind: 'deployment', deployment, again: false },
  );
}

function whyTooMuch({ open, environment }: Environment, record: DeploymentRecord): string | undefined {
  const { artifacts, images, steps, env, secrets } = record;
  const items = artifacts.length + images.length + steps.length + env.length + secrets.length;
  if (items > mostRecordItems) {
    return `the deployment has ${items} artifacts, images, steps, variables and secrets; at most ${mostRecordItems} are recorded`;
  }
  if (JSON.stringify(record).length > mostRecordCharacters) {
    return `the names of the artifacts, images, steps, variables and secrets of the deployment are too long: at most ${mostRecordCharacters} characters are recorded`;
  }
  return open.length >= mostOpen ? `${open.length} deployments to ${environment} wait already` : undefined;
}

/** Only before it began: then its record is what it was given. */
export function amend(world: World, command: Of<'AmendDeployment'>): DeliveryHandled {
  const found = findDeployment(world, command);
  if (found.kind === 'not-open') return found.handled;
  const { environment, deployment } = found;
  const { env, secrets } = command;
  const { record, phase } = deployment;
  if ('begun' in phase)
    return refuse(`deployment ${deployment.deployment} of ${environment.environment} has begun`);
  const problem = whyTooMuch({ ...environment, open: [] }, { ...record, env, secrets });
  if (problem !== undefined) return refuse(problem);
  if (JSON.stringify([record.env, record.secrets]) === JSON.stringify([env, secrets])) return done;
  return accept([
    { kind: 'DeployAmended', ...refOf(environment), deployment: deployment.deployment, env, secrets },
  ]);
}

/** While a deployment is under way, it waits for the end of that, and comes before all others. */
export function rollback({ deliveries }: World, command: Of<'Rollback'>): DeliveryHandled {
  const environment = findEnvironment(deliveries, command);
  if (environment === undefined) return noEnvironment(command);
  const { run, by } = command;
  const open = openRollback(environment);
  const known = deliveries.runs.get(run)?.find((place) => place.environment === environment)?.deployment;
  const again = known ?? open?.deployment;
  // Two ask at the same time: the environment goes back once.
  if (again !== undefined) return answer({ kind: 'deployment', deployment: again, again: true });
  if (deliveries.runs.has(run))
    return refuse(`run ${run} is another deployment: give the rollback a fresh id`);
  if (environment.rollbackDue !== undefined) return done;
  const target = rollbackTarget(environment);
  if (target === undefined) {
    return refuse(`${environment.environment} has no verified deployment to go back to`);
  }
  const event = rollbackOf(environment, target, { run, by, cause: 'asked' });
  return accept([event], { kind: 'deployment', deployment: event.deployment, again: false });
}

export function rollbackRefused(world: World, command: Of<'RollbackRefused'>): DeliveryHandled {
  const found = findDeployment(world, command);
  if (found.kind === 'not-open') return done;
  const { environment, deployment } = found;
  const { message, isOurs } = command;
  const { deployment: number, phase, of } = deployment;
  // A run that exists is no longer this command's to speak of.
  const isAwaited =
    of.kind === 'rollback' && phase.kind === 'locked' && world.context.stage(deployment) === undefined;
  if (!isAwaited) return done;
  if (isOurs) {
    const at = { nowMs: world.context.now.monotonicMs, problem: message };
    rest(presenceOf(world.presence, environment), keyOf.rollback(number), at);
    return done;
  }
  const end = { kind: 'not-started', reason: `its run cannot be made: ${message}` } as const;
  return accept([{ kind: 'DeployEnded', ...refOf(environment), deployment: number, end }]);
}
