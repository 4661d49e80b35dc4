/**
 * Who calls, and whether the table lets them. Handlers do not call this: they are registered through `guard` of
 * `grpc-door.ts`, which does so before each call and gives them the caller.
 */
import type { AgentCaller, Caller, JoinCaller, UserCaller } from '../access/caller.js';
import { directoryCaller, ownerCaller, standingOf } from '../access/caller.js';
import { includes, type Rule } from '../access/rights.js';
import { TokenError, matchesHash, readToken } from '../access/tokens.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export type { AgentCaller, Caller, JoinCaller, UserCaller } from '../access/caller.js';

/** Throws unauthenticated. `bearer`: what stands behind `Bearer ` in the metadata. */
export async function authenticate(services: Services, bearer: string | undefined): Promise<Caller> {
  if (bearer === undefined || bearer === '') {
    throw new ApiError(
      'unauthenticated',
      'no token: give one by --token, GANTRY_TOKEN, or a context (gantry up makes one)',
    );
  }
  try {
    const now = Date.now();
    const token = readToken(services.tokenKey, bearer, now / 1000);
    switch (token.kind) {
      case 'token': {
        const caller = directoryCaller(services.directory, token, now);
        services.directory.noteUse(token.id, now);
        return caller;
      }
      case 'user':
        return ownerCaller(token);
      case 'join':
        return { kind: 'join', token };
      case 'agent':
        break;
    }
    const known = await services.coordinator.read(({ state }) => state.agents.get(token.agent)?.keyHash);
    if (known === undefined || !matchesHash(token.key, known)) {
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

type Admitted<R extends Rule> = R extends { who: 'people' }
  ? UserCaller
  : R extends { who: 'agent' }
    ? AgentCaller
    : JoinCaller | AgentCaller;

/** The caller, if the rule lets them in. Throws unauthenticated or forbidden. */
export async function admit(
  services: Services,
  rule: Rule,
  bearer: string | undefined,
): Promise<Admitted<Rule>> {
  const caller = await authenticate(services, bearer);
  switch (rule.who) {
    case 'people':
      if (caller.kind !== 'user') {
        throw forbidden('this call is for people and scripts: it needs a user’s token, not an agent’s');
      }
      checkRight(caller, rule);
      return caller;
    case 'agent':
      if (caller.kind === 'agent') return caller;
      throw forbidden('this call is for registered agents: it needs the agent’s own key');
    case 'join':
      if (caller.kind !== 'user') return caller;
      throw forbidden('registration needs a join token (gantry agents token) or the agent’s own key');
  }
}

/** For calls that last: throws unauthenticated once the token that began it has ended. */
export function checkStanding(services: Services, caller: Caller): void {
  if (caller.kind !== 'user') return;
  const now = Date.now();
  try {
    if (caller.tokenId !== undefined) standingOf(services.directory, caller.tokenId, now);
    else if (caller.expiresAt !== undefined && caller.expiresAt <= now) {
      throw new TokenError('the token has expired');
    }
  } catch (error) {
    if (error instanceof TokenError) throw new ApiError('unauthenticated', error.message, { cause: error });
    throw error;
  }
}

function checkRight(caller: UserCaller, rule: Extract<Rule, { who: 'people' }>): void {
  if (!includes(caller.right, rule.right)) {
    throw forbidden(
      `this call needs the right to ${rule.right}; this token of ${caller.name} (${caller.role}) has that to ${caller.right}`,
    );
  }
  if (rule.about === 'installation' && caller.reach.isLimited) {
    throw forbidden(
      `this call concerns all projects; this token of ${caller.name} is limited to ${caller.reach.description}`,
    );
  }
}

const forbidden = (message: string): ApiError => new ApiError('forbidden', message);
