import type { AssignAnswer, Assignment, Heartbeat } from '../../shared/model/agent.js';
import type { AgentId, AttemptRef, Token } from '../../shared/model/ids.js';

export type DispatchAnswer =
  | AssignAnswer
  /** Nobody listens on the agent's subject now. */
  | { readonly kind: 'no-responder' }
  /** The request timed out: it may have been received. */
  | { readonly kind: 'silent' };

/**
 * Speaks to agents, and hears their heartbeats. Never answers what an agent published. All sending is safe to
 * repeat: an agent knows an attempt by its key and token.
 */
export interface Dispatcher {
  assign(agent: AgentId, assignment: Assignment): Promise<DispatchAnswer>;
  /** `by`: who canceled, for the message. Resolves whether or not the agent listened. */
  end(
    agent: AgentId,
    what: { ref: AttemptRef; token: Token; why: 'canceled' | 'overtaken'; by: string },
  ): Promise<void>;
  drain(agent: AgentId, draining: boolean): Promise<void>;
  /** Calls back for every well-formed heartbeat whose subject matches the agent it names; others are dropped and counted. */
  onHeartbeat(listener: (heartbeat: Heartbeat) => void): void;
}
