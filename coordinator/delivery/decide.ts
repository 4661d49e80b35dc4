/**
 * What to do now in the environments. It is part of the coordinator's turn (see `coordinator/scheduler/decide.ts`): its events
 * go into the turn's entry, and its effects are performed when that is durable.
 *
 * An environment is looked at when an event touched it, when something about the stage of a deployment is new, or when its time
 * has come. Each look asks `nextStep` what each open deployment's state calls for, oldest first, and begins anew after every
 * fact. When no fact is left, the effects that are wanted are asked for.
 *
 * A deployment is at-most-once, because:
 *  - its stage is leased only while it is `locked` (`stageOrder`), and one deployment of an environment is, at most;
 *  - `DeployBegan` follows from the scheduler's own record of `AttemptStarted`, which is durable before the first step, so
 *    that a leader that finds a `locked` deployment whose attempt has started knows that it began;
 *  - what began is never `locked` again, and holds its environment until its agent, its verify or a person says how it came out.
 */
import type { DeliveryEvent } from '../../shared/model/environment.js';
import { chooseEffects } from './choose-effects.js';
import type { DeliveryContext, DeliveryDecision } from './command.js';
import { eventOf } from './event-of.js';
import { nextStep } from './next-step.js';
import type { DeliveryPresence } from './presence.js';
import { rollbackOf } from './rollback.js';
import { findEnded, findEnvironment, type Deliveries, type Environment } from './state.js';
import type { Sight } from './step.js';
import { DeliveryTurn } from './turn.js';

export function decideDelivery(
  deliveries: Deliveries,
  presence: DeliveryPresence,
  context: DeliveryContext,
): DeliveryDecision {
  const turn = new DeliveryTurn(deliveries, presence, context);
  if (presence.isFresh)
    for (const environment of deliveries.all.values()) deliveries.touched.add(environment);
  presence.isFresh = false;
  for (const [environment, wakeMs] of presence.wakes) {
    if (findEnvironment(deliveries, environment) !== environment) {
      // It was removed.
      presence.wakes.delete(environment);
      presence.environments.delete(environment);
      continue;
    }
    if (wakeMs <= context.now.monotonicMs) deliveries.touched.add(environment);
  }
  // What a look touches elsewhere is looked at in the same loop: a set tells of what is added while it is walked.
  for (const environment of deliveries.touched) {
    if (turn.isFull()) break;
    lookAt(turn, environment);
    // What the look itself changed it has seen; what it had no room for is left.
    if (!turn.isFull()) deliveries.touched.delete(environment);
  }
  const { wakes } = presence;
  const soonest = wakes.size === 0 ? undefined : Math.min(...wakes.values());
  const wakeAtMs = deliveries.touched.size > 0 ? context.now.monotonicMs : soonest;
  return { events: turn.events, effects: turn.effects, ...(wakeAtMs === undefined ? {} : { wakeAtMs }) };
}

function lookAt(turn: DeliveryTurn, environment: Environment): void {
  const { deliveries, context } = turn;
  const sight: Sight = { deliveries, environment, context };
  while (!turn.isFull()) {
    const event = nextFact(sight);
    if (event === undefined) {
      chooseEffects(turn, sight);
      return;
    }
    turn.emit(event);
  }
}

/** The first fact that the state calls for. */
function nextFact(sight: Sight): DeliveryEvent | undefined {
  const { environment, context } = sight;
  const { rollbackDue } = environment;
  if (rollbackDue !== undefined) {
    const target = findEnded(environment, rollbackDue.to);
    const { run, stage } = rollbackDue.leaves;
    if (target !== undefined) {
      const next = context.freshRun(`${run}/${stage}/rollback`);
      return rollbackOf(environment, target, { run: next, by: 'gantry', cause: 'verify-failed' });
    }
  }
  for (const deployment of environment.open) {
    const event = eventOf(environment, deployment, nextStep(sight, deployment));
    if (event !== undefined) return event;
  }
  return undefined;
}
