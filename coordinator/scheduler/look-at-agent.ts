import type { HeldAttempt } from '../../shared/model/agent.js';
import type { AgentId, AttemptRef } from '../../shared/model/ids.js';
import { whyUnavailable } from './available.js';
import { isForgotten, nextAgentCheckMs, whyAgentLost, whyAttemptLost } from './expiry.js';
import { forgetMirrors } from './hear.js';
import { agentPresence, type AgentPresence } from './presence.js';
import { isOvertaken } from './report.js';
import { findAttempt, type AgentState, type AttemptState, type StageState } from './state.js';
import type { Turn } from './turn.js';

/** Gives up what is lost with an agent, tells it what to end, and offers it to the waiting stages or not. */
export function lookAtAgent(turn: Turn, id: AgentId): void {
  const { state, presence, now } = turn;
  const agent = state.agents.get(id);
  if (agent === undefined) {
    forgetAgent(turn, id);
    return;
  }
  const seen = agentPresence(presence, id, now);
  const lost = whyAgentLost(seen, now);
  for (const attempt of [...agent.leases]) {
    const failure = whyAttemptLost(attempt, presence.attempts.get(attempt), lost, now);
    if (failure !== undefined) turn.emit({ kind: 'AttemptLost', ...nameOf(attempt), failure });
  }
  if (isForgotten(agent, seen, now)) {
    turn.emit({ kind: 'AgentForgotten', agent: id });
    return;
  }
  if (seen.isBeatNew) endUnwantedAttempts(turn, agent, seen);
  noteClaims(turn, agent, seen, lost === undefined);
  if (seen.beat !== undefined && seen.drainSent !== agent.draining) {
    seen.drainSent = agent.draining;
    turn.perform({ kind: 'Drain', agent: id, draining: agent.draining });
  }
  presence.market.enroll(id, agent, whyUnavailable(agent, seen, now) === undefined);
  presence.agentTimers.set(id, nextAgentCheckMs(seen, now));
}

function forgetAgent({ presence }: Turn, id: AgentId): void {
  presence.market.dismiss(id);
  presence.agentTimers.delete(id);
  const seen = presence.agents.get(id);
  if (seen === undefined) return;
  forgetMirrors(presence, id, seen.mirrors);
  presence.agents.delete(id);
}

const nameOf = (attempt: AttemptState): HeldAttempt => ({
  run: attempt.stage.run.run,
  stage: attempt.stage.outline.number,
  attempt: attempt.number,
  token: attempt.token,
});

/**
 * With each heartbeat that still names one: an order that got lost is repeated by this. What ended by its own report
 * is left alone; the heartbeat was on its way when the report was acknowledged.
 */
function endUnwantedAttempts(turn: Turn, agent: AgentState, seen: AgentPresence): void {
  seen.isBeatNew = false;
  for (const held of seen.beat?.held ?? []) {
    const attempt = findAttempt(turn.state, held);
    const isKnown = attempt?.token === held.token && attempt.agent === agent.agent;
    const order = { kind: 'EndAttempt', agent: agent.agent, ref: refOf(held), token: held.token } as const;
    if (!isKnown) turn.perform({ ...order, why: 'overtaken', by: 'a newer attempt, or the end of its run' });
    else if (attempt.phase.kind === 'lost') {
      if (isOvertaken(attempt)) turn.perform({ ...order, why: 'overtaken', by: 'a newer attempt' });
    } else if (attempt.phase.kind !== 'finished' && attempt.stage.canceledBy !== undefined) {
      turn.perform({ ...order, why: 'canceled', by: attempt.stage.canceledBy });
    }
  }
}

const refOf = ({ run, stage, attempt }: HeldAttempt): AttemptRef => ({ run, stage, attempt });

/** An agent that came back with an attempt given up before may go on with it: a report will revive it. */
function noteClaims(turn: Turn, agent: AgentState, seen: AgentPresence, isWell: boolean): void {
  const claims = new Set<StageState>();
  if (isWell) {
    for (const held of seen.beat?.held ?? []) {
      const attempt = findAttempt(turn.state, held);
      if (attempt?.token !== held.token || attempt.agent !== agent.agent) continue;
      // One that never began has nothing to lose by another attempt.
      if (attempt.startedAt === undefined) continue;
      if (attempt.phase.kind === 'lost' && !isOvertaken(attempt)) claims.add(attempt.stage);
    }
  }
  for (const stage of seen.claims) if (!claims.has(stage)) turn.state.touched.stages.add(stage);
  for (const stage of claims) if (!seen.claims.has(stage)) turn.state.touched.stages.add(stage);
  seen.claims = claims;
}
