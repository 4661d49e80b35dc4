/** Who calls: read from the bearer token, checked against the state for agents. */
import { timingSafeEqual } from 'node:crypto';
import type { AgentId } from '../../shared/model/ids.js';
import { sha256Hex } from '../access/keys.js';
import { TokenError, readToken, type JoinToken } from '../access/tokens.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface UserCaller {
  readonly kind: 'user';
  readonly name: string;
}
export interface AgentCaller {
  readonly kind: 'agent';
  readonly agent: AgentId;
}
export interface JoinCaller {
  readonly kind: 'join';
  readonly token: JoinToken;
}
export type Caller = UserCaller | AgentCaller | JoinCaller;

const sameText = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

/** Throws unauthenticated. `bearer`: what stands behind `Bearer ` in the metadata. */
export async function authenticate(services: Services, bearer: string | undefined): Promise<Caller> {
  if (bearer === undefined || bearer === '') {
    throw new ApiError(
      'unauthenticated',
      'no token: give one by --token, GANTRY_TOKEN, or a context (gantry up makes one)',
    );
  }
  try {
    const token = readToken(services.tokenKey, bearer, Date.now() / 1000);
    if (token.kind === 'user') return { kind: 'user', name: token.name };
    if (token.kind === 'join') return { kind: 'join', token };
    const hash = sha256Hex(token.key);
    const known = await services.coordinator.read(({ state }) => state.agents.get(token.agent)?.keyHash);
    if (known === undefined || !sameText(known, hash)) {
      throw new ApiError(
        'unauthenticated',
        `agent ${token.agent} is not registered with this key: start it again with a join token (gantry agents token)`,
      );
    }
    return { kind: 'agent', agent: token.agent };
  } catch (error) {
    if (error instanceof TokenError) throw new ApiError('unauthenticated', error.message, { cause: error });
    throw error;
  }
}

export async function authenticateUser(services: Services, bearer: string | undefined): Promise<UserCaller> {
  const caller = await authenticate(services, bearer);
  if (caller.kind === 'user') return caller;
  throw new ApiError(
    'forbidden',
    'this call is for people and scripts: it needs a user token, not an agent’s',
  );
}

export async function authenticateAgent(
  services: Services,
  bearer: string | undefined,
): Promise<AgentCaller> {
  const caller = await authenticate(services, bearer);
  if (caller.kind === 'agent') return caller;
  throw new ApiError('forbidden', 'this call is for registered agents: it needs the agent’s own key');
}
