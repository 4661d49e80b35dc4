import { choose } from './choose.js';
import { orderFor } from './deliveries.js';
import { servedBefore } from './fairness.js';
import type { Lane } from './queue.js';
import type { Token } from '../../shared/model/ids.js';
import type { Turn } from './turn.js';

/** Leases the next stage, if there is one that a free agent suits. */
export function dispatchNext(turn: Turn): boolean {
  const { state, presence } = turn;
  const lane = nextLane(turn);
  const stage = lane?.next?.first;
  if (lane === undefined || stage === undefined) return false;
  if (stage.outline.environment !== undefined && orderFor(state, stage).kind !== 'start') {
    // A look at it is due, and takes it out too.
    presence.market.removeStage(stage);
    return true;
  }
  const agent = choose(state, presence, lane, stage);
  if (agent === undefined) return false;
  turn.emit({
    kind: 'StageLeased',
    run: stage.run.run,
    stage: stage.outline.number,
    attempt: stage.attempts.length + 1,
    agent,
    // One above the greatest ever leased: this is where tokens come from.
    token: (state.token + 1) as Token,
  });
  presence.market.served(agent);
  return true;
}

function nextLane(turn: Turn): Lane | undefined {
  let best: Lane | undefined;
  for (const lane of turn.presence.market.active) {
    turn.look();
    if (best?.next === undefined || (lane.next !== undefined && servedBefore(lane.next, best.next)))
      best = lane;
  }
  return best;
}
