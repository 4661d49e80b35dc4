/**
 * A short-lived NATS user for each agent, signed here: the server knows only operator and account, and checks the
 * signature. The signing key is scoped: whoever holds it can make nothing but agents, and the permissions are in the
 * account's JWT, for the subjects of the name in the user's JWT.
 */
import { randomUUID } from 'node:crypto';

import { parseAgentId, type AgentId } from '../../shared/model/ids.js';
import { isPublicNkey, type Nkey } from '../../shared/nats/nkey.js';
import { AgentAccessRefused, type AgentAccess } from './agent-access.js';

/** What signs agents' JWTs: a key that the account's JWT names, and the account's public key. */
export interface AgentSigner {
  readonly key: Nkey;
  readonly account: string;
}

export interface AgentJwtClaims {
  readonly id: AgentId;
  /** The agent's public nkey, `U…`. */
  readonly natsUser: string;
  readonly expiresInSeconds: number;
}

const header = Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString('base64url');

/**
 * Takes 0.05 ms by `node:crypto`; NATS' own library blocks for 40 ms. The JWT must state no permissions and no limits:
 * under a scoped key the server refuses one that does.
 */
export function agentJwt(signer: AgentSigner, claims: AgentJwtClaims): string {
  // The name becomes part of subjects: `*` would be every agent. The type says it was checked; here it is proven.
  if (parseAgentId(claims.id) === undefined)
    throw new AgentAccessRefused('an agent id is 16 characters of a-z and 2-7');
  if (!isPublicNkey('user', claims.natsUser))
    throw new AgentAccessRefused('nats_user: expected the public nkey of a user (56 characters, U…)');
  const iat = Math.floor(Date.now() / 1000);
  const body = {
    jti: randomUUID(),
    iat,
    exp: iat + claims.expiresInSeconds,
    iss: signer.key.publicKey,
    sub: claims.natsUser,
    name: claims.id,
    nats: { issuer_account: signer.account, type: 'user', version: 2 },
  };
  const signed = `${header}.${Buffer.from(JSON.stringify(body)).toString('base64url')}`;
  return `${signed}.${signer.key.sign(Buffer.from(signed)).toString('base64url')}`;
}

export function jwtAgentAccess(options: {
  readonly signer: AgentSigner;
  readonly servers: readonly string[];
  readonly ca?: string;
  /** Default 600: an agent that was removed is cut off within that time. */
  readonly expiresInSeconds?: number;
}): AgentAccess {
  const { signer, servers, ca, expiresInSeconds = 600 } = options;
  return {
    grant: (id, natsUser) => ({
      servers,
      ...(ca === undefined ? {} : { ca }),
      credentials: {
        kind: 'jwt',
        jwt: agentJwt(signer, { id, natsUser, expiresInSeconds }),
        expiresInMs: expiresInSeconds * 1000,
      },
    }),
  };
}
