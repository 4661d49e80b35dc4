import type { AgentId } from '../../shared/model/ids.js';
import { slotsOf, takenSlots } from './available.js';
import type { Presence } from './presence.js';
import type { Lane } from './queue.js';
import type { StageState, State } from './state.js';

/** So many agents are compared; among ten thousand free ones the best of these is as good. */
const compared = 32;

/** Having the mirror of the repository is worth half of an agent's slots: work spreads before a warm one is full. */
const coldPenalty = 0.5;
const failedPenalty = 10;

/** The agent for a stage: not one where it failed, then warm, then the least loaded, then who waited longest. */
export function choose(state: State, presence: Presence, lane: Lane, stage: StageState): AgentId | undefined {
  let best: AgentId | undefined;
  let bestScore = Infinity;
  for (const id of candidates(presence, lane, stage)) {
    presence.looks += 1;
    const score = scoreOf(state, presence, stage, id);
    if (score >= bestScore) continue;
    best = id;
    bestScore = score;
  }
  return best;
}

function* candidates(presence: Presence, lane: Lane, stage: StageState): Generator<AgentId> {
  let left = compared;
  for (const id of presence.mirrors.get(stage.run.facts.project) ?? []) {
    if (left === 0) break;
    left -= 1;
    if (presence.market.isFreeFor(id, lane)) yield id;
  }
  left = compared;
  for (const offer of lane.free) {
    for (const id of offer.free) {
      if (left === 0) return;
      left -= 1;
      yield id;
    }
  }
}

function scoreOf(state: State, presence: Presence, stage: StageState, id: AgentId): number {
  const agent = state.agents.get(id);
  const seen = presence.agents.get(id);
  if (agent === undefined || seen === undefined) return Infinity;
  const isWarm = presence.mirrors.get(stage.run.facts.project)?.has(id) === true;
  const hasFailed = stage.attempts.some((attempt) => attempt.agent === id);
  return (
    takenSlots(agent, seen) / slotsOf(agent, seen) +
    (isWarm ? 0 : coldPenalty) +
    (hasFailed ? failedPenalty : 0) +
    Math.min(seen.beat?.load ?? 0, 100) / 1_000
  );
}
