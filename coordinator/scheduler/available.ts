/** Whether an agent can take a stage now. Dispatch and the reasons that people read both ask here. */
import type { Now } from './command.js';
import { whyAgentLost } from './expiry.js';
import type { AgentPresence } from './presence.js';
import type { AgentState } from './state.js';

export type Unavailable =
  /** No heartbeat since this leader began, or none for too long, or its link is down for too long. */
  | { readonly kind: 'offline'; readonly reason: string }
  | { readonly kind: 'away'; readonly reason: string }
  | { readonly kind: 'draining'; readonly reason: string }
  | { readonly kind: 'refusing'; readonly reason: string }
  | { readonly kind: 'busy'; readonly reason: string };

export function whyUnavailable(
  agent: AgentState,
  seen: AgentPresence | undefined,
  now: Now,
): Unavailable | undefined {
  if (seen?.beat === undefined) {
    return { kind: 'offline', reason: 'no heartbeat of it since the coordinator began to lead' };
  }
  const lost = whyAgentLost(seen, now);
  if (lost !== undefined) return { kind: 'offline', reason: lost };
  if (seen.beat.away) return { kind: 'away', reason: 'it went away on purpose and says that it comes back' };
  if (agent.draining) return { kind: 'draining', reason: 'it is drained and takes no new stage' };
  if (seen.beat.refusing !== undefined) return { kind: 'refusing', reason: seen.beat.refusing };
  if (!seen.isLinked) return { kind: 'offline', reason: 'its link to the coordinator is down' };
  if (now.monotonicMs < seen.holdUntilMs) {
    return { kind: 'refusing', reason: 'it has just refused a stage and is asked again in a moment' };
  }
  if (takenSlots(agent, seen) >= slotsOf(agent, seen))
    return { kind: 'busy', reason: 'all its slots are taken' };
  return undefined;
}

/** What it registered, or less if it says so. */
export const slotsOf = (agent: AgentState, seen: AgentPresence): number =>
  Math.min(agent.slots, seen.beat?.slots ?? 0);

export const takenSlots = (agent: AgentState, seen: AgentPresence): number =>
  agent.leases.size + seen.strangers;
