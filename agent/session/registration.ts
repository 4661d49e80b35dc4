/** Registering with the coordinator, and what it tells a registered agent. */
import type { Logger } from '../../shared/log.js';
import type { NatsAccess__Output } from '../../shared/wire/gen/gantry/v1/NatsAccess.js';
import { defaultPrefix } from '../../shared/nats/names.js';
import type { FleetCalls } from './grpc-calls.js';
import { agentBearer, type Identity } from './identity.js';
import { SessionRefused } from './session.js';

export interface NatsAccess {
  readonly servers: readonly string[];
  readonly ca?: string;
  readonly credentials:
    | { readonly kind: 'jwt'; readonly jwt: string; readonly expiresInMs: number }
    | { readonly kind: 'static'; readonly user: string; readonly password: string };
}

export interface Registration {
  readonly nats: NatsAccess;
  readonly prefix: string;
  readonly heartbeatMs: number;
}

export interface Offer {
  readonly name: string;
  readonly labels: readonly string[];
  readonly slots: number;
  readonly version: string;
}

/**
 * With the join token if there is one (a new one may allow other labels), else, or when it has expired, as the agent
 * that has registered before. Waits for a coordinator that is away; throws SessionRefused with what to do.
 */
export async function register(options: {
  readonly calls: FleetCalls;
  readonly identity: Identity;
  readonly offer: Offer;
  readonly joinToken: string | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<Registration> {
  const { calls, identity, offer, joinToken, log, signal } = options;
  const request = {
    agent: identity.agent,
    instance: identity.instance,
    agentKey: identity.key,
    natsUser: identity.natsUser.publicKey,
    name: offer.name,
    labels: [...offer.labels],
    slots: offer.slots,
    version: offer.version,
  };
  const as = async (bearer: string): Promise<Registration> => {
    const answer = await calls.register(request, bearer, signal);
    return {
      nats: natsAccess(answer.nats),
      prefix:
        answer.subjectPrefix === undefined || answer.subjectPrefix === ''
          ? defaultPrefix
          : answer.subjectPrefix,
      heartbeatMs: answer.heartbeatMs === undefined || answer.heartbeatMs < 50 ? 2_000 : answer.heartbeatMs,
    };
  };
  if (joinToken === undefined) return as(agentBearer(identity));
  try {
    return await as(joinToken);
  } catch (error) {
    if (!(error instanceof SessionRefused)) throw error;
    try {
      const registration = await as(agentBearer(identity));
      log.warn({ reason: error.message }, 'the join token was refused; this agent had registered before');
      return registration;
    } catch (second) {
      // The token is what the operator gave: its refusal is what helps.
      if (second instanceof SessionRefused) throw error;
      throw second;
    }
  }
}

export function natsAccess(message: NatsAccess__Output | null | undefined): NatsAccess {
  const servers = message?.servers ?? [];
  if (message === null || message === undefined || servers.length === 0)
    throw new SessionRefused('the coordinator named no NATS server: set its --nats-advertise');
  const ca = message.ca === undefined || message.ca.length === 0 ? undefined : message.ca.toString();
  const { jwt = '', user = '', password = '', expiresInMs = 0 } = message;
  return {
    servers,
    ...(ca === undefined ? {} : { ca }),
    credentials:
      jwt === ''
        ? { kind: 'static', user, password }
        : { kind: 'jwt', jwt, expiresInMs: expiresInMs > 0 ? expiresInMs : 600_000 },
  };
}
