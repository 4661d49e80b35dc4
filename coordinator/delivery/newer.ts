/**
 * A newer deployment that has come as far takes the place of an older one that waits: at the same approval, or behind the same
 * lock. What a person approved is not put aside by what still waits for approval.
 */
import { orderOf, type Pair } from './commits.js';
import { isRollback, type Deployment, type Environment } from './state.js';

const reach = ({ phase }: Deployment): number =>
  phase.kind === 'approval' ? 1 : phase.kind === 'ready' ? 2 : 0;

/** Those that take its place if they are newer. Stages of one run go there one after the other: none of them is. */
function rivals(environment: Environment, deployment: Deployment): readonly Deployment[] {
  const reached = reach(deployment);
  if (reached === 0 || isRollback(deployment)) return [];
  return environment.open.filter(
    (other) => other.run !== deployment.run && !isRollback(other) && reach(other) >= reached,
  );
}

/** Between commits of which neither contains the other, the later request is the newer one. */
export function newerThan(environment: Environment, deployment: Deployment): Deployment | undefined {
  return rivals(environment, deployment).find((other) => {
    switch (orderOf(environment, pairOf(other, deployment))) {
      case 'newer':
        return true;
      case 'same':
      case 'diverged':
        return other.deployment > deployment.deployment;
      case 'older':
      case undefined:
        return false;
    }
  });
}

/**
 * What is to be known next to say whether it is the newest of those that wait. The one that was requested last comes first, for it
 * mostly is: so a question for each answers who is, and not one for each two.
 */
export function pairOfRivals(environment: Environment, deployment: Deployment): Pair | undefined {
  const rival = rivals(environment, deployment).findLast(
    (other) => orderOf(environment, pairOf(other, deployment)) === undefined,
  );
  return rival === undefined ? undefined : pairOf(rival, deployment);
}

const pairOf = (one: Deployment, other: Deployment): Pair => ({
  one: one.record.commit,
  other: other.record.commit,
});
