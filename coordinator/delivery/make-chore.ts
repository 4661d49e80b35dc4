/** What people are told is owed from the event on, and until somebody confirms it. Part of `applyDelivery`. */
import { factsOf, type Deployment, type DeliveryNotice, type Environment } from './state.js';

/** Should nobody take them for long, the newest are worth more than the oldest. */
const mostChores = 100;

export function makeChore(environment: Environment, deployment: Deployment, notice: DeliveryNotice): void {
  const { chores } = environment;
  environment.choresMade += 1;
  chores.set(environment.choresMade, {
    facts: factsOf(deployment),
    commit: deployment.record.commit,
    notice,
  });
  for (const oldest of chores.keys()) {
    if (chores.size <= mostChores) return;
    chores.delete(oldest);
  }
}
