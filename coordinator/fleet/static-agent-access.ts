import type { AgentAccess } from './agent-access.js';

/**
 * One user for all agents, for an existing server that cannot be set up with Gantry's own credentials. It gives up
 * something: an agent may then forge another agent's heartbeat, read its assignments and answer in its place (the
 * journal, JetStream and inboxes stay closed). The server's configuration must limit that user:
 *
 *     { user: agents, password: "…", permissions: { publish: ["gantry.heartbeat.*"], subscribe: ["gantry.agent.>"],
 *       allow_responses: { max: 1, expires: "1m" } } }
 */
export function staticAgentAccess(options: {
  readonly user: string;
  readonly password: string;
  readonly servers: readonly string[];
  readonly ca?: string;
}): AgentAccess {
  const { user, password, servers, ca } = options;
  return {
    grant: () => ({
      servers,
      ...(ca === undefined ? {} : { ca }),
      credentials: { kind: 'static', user, password },
    }),
  };
}
