/** When waiting ends: for an agent's sign of life, for an attempt's end, for an agent to come at all. */
import type { Failure } from '../../shared/model/failure.js';
import type { Now } from './command.js';
import type { AgentPresence, AttemptPresence } from './presence.js';
import type { AgentState, AttemptState } from './state.js';

/** Agents send a heartbeat each 2 s; seven in a row are missed before one is lost. */
export const heartbeatLimitMs = 15_000;
/** An agent that said it goes away on purpose (upgrade, reboot). */
export const awayLimitMs = 10 * 60_000;
/** Without its link an agent works, but nothing that it reports arrives. */
export const linkLimitMs = 5 * 60_000;
/** Agents unseen for this long must register again. */
export const unseenLimitMs = 24 * 60 * 60_000;
/** A stage that no agent took for this long fails as `no-agent`. Wall time: no restart may prolong it. */
export const waitingLimitMs = 7 * 24 * 60 * 60_000;
/** Timeouts are the agent's to enforce, and cover neither its preparations nor its uploads: the backstop waits longer. */
export const backstopGraceMs = 30 * 60_000;
/** Heartbeats that must have named an attempt and did not. */
export const missingLimit = 2;

export const silenceLimitMs = (seen: AgentPresence): number =>
  seen.beat?.away === true ? awayLimitMs : heartbeatLimitMs;

/** Why nothing can be expected of an agent any more, in a sentence without a subject; undefined while it is well. */
export function whyAgentLost(seen: AgentPresence, now: Now): string | undefined {
  const silentMs = now.monotonicMs - seen.lastHeardMs;
  if (silentMs >= silenceLimitMs(seen)) {
    return `no heartbeat for ${inWords(silentMs)}${seen.beat?.away === true ? ' after it went away on purpose' : ''}`;
  }
  const linkDownMs = now.monotonicMs - (seen.linkDownSinceMs ?? now.monotonicMs);
  if (linkDownMs >= linkLimitMs)
    return `its link to the coordinator has been down for ${inWords(linkDownMs)}`;
  return undefined;
}

/** Why a lease is given up, or undefined while it stands. */
export function whyAttemptLost(
  attempt: AttemptState,
  sent: AttemptPresence | undefined,
  agentLost: string | undefined,
  now: Now,
): Failure | undefined {
  if (agentLost !== undefined) return { kind: 'agent-lost', agent: attempt.agentName, message: agentLost };
  if (sent === undefined) return undefined;
  if (sent.missing >= missingLimit) {
    const message = `it does not hold attempt ${attempt.number} any more`;
    return { kind: 'agent-lost', agent: attempt.agentName, message };
  }
  if (now.monotonicMs >= backstopMs(attempt, sent)) {
    if (attempt.phase.kind === 'leased') {
      const message = `it did not begin attempt ${attempt.number} although it lives`;
      return { kind: 'agent-lost', agent: attempt.agentName, message };
    }
    return { kind: 'timed-out', limitMs: attempt.stage.outline.timeoutMs };
  }
  return undefined;
}

/** Monotonic ms at which an attempt is given up although its agent lives. */
export const backstopMs = (attempt: AttemptState, sent: AttemptPresence): number =>
  sent.sinceMs + attempt.stage.outline.timeoutMs + backstopGraceMs;

export const isForgotten = (agent: AgentState, seen: AgentPresence, now: Now): boolean =>
  agent.leases.size === 0 && now.monotonicMs - seen.lastHeardMs >= unseenLimitMs;

/** When an agent must be looked at again, if nothing is heard of it until then. */
export function nextAgentCheckMs(seen: AgentPresence, now: Now): number {
  const times = [seen.lastHeardMs + silenceLimitMs(seen), seen.lastHeardMs + unseenLimitMs, seen.holdUntilMs];
  if (seen.linkDownSinceMs !== undefined) times.push(seen.linkDownSinceMs + linkLimitMs);
  return Math.min(...times.filter((time) => time > now.monotonicMs));
}

/** `40 s`, `5 min`, `3 h`, `7 d`: whole, rounded down, for sentences. */
export function inWords(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${Math.max(0, seconds)} s`;
  if (seconds < 2 * 60 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 60 * 60) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
