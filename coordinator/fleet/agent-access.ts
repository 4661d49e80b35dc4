import type { AgentId } from '../../shared/model/ids.js';

/** What an agent needs to reach NATS: fields of the message `NatsAccess`. */
export interface NatsGrant {
  /** Advertised addresses. */
  readonly servers: readonly string[];
  /** PEM, when the server's certificate is of our own making. */
  readonly ca?: string;
  readonly credentials:
    /** For the nkey it was asked for; to be renewed at half its life. */
    | { readonly kind: 'jwt'; readonly jwt: string; readonly expiresInMs: number }
    | { readonly kind: 'static'; readonly user: string; readonly password: string };
}

/** Who agents are to NATS. Registration and renewal ask it, once they know that the caller is this agent. */
export interface AgentAccess {
  /**
   * `natsUser`: the agent's public nkey; its seed never leaves the agent. Throws AgentAccessRefused when it is none.
   */
  grant(agent: AgentId, natsUser: string): NatsGrant;
}

/** The caller sent something that no agent sends. */
export class AgentAccessRefused extends Error {
  override readonly name = 'AgentAccessRefused';
}
