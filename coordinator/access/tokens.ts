/**
 * Tokens that carry what they allow, signed with the installation's key: nothing is stored, every coordinator can
 * check them, and they end by themselves. `gantry_user_…` for people and scripts, `gantry_join_…` for an agent's
 * first registration. An agent then proves itself by a key of its own (`gantry_agent_…`), of which the state holds
 * the SHA-256.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { namePattern, parseAgentId, type AgentId } from '../../shared/model/ids.js';

export interface UserToken {
  readonly kind: 'user';
  readonly name: string;
  /** Seconds since 1970; absent: never. */
  readonly expires?: number;
}

export interface JoinToken {
  readonly kind: 'join';
  /** For the audit: who made it, and which it is. */
  readonly id: string;
  readonly by: string;
  /** Labels that the agent may offer beside the detected ones; empty: any. */
  readonly labels: readonly string[];
  /** Projects that it may serve; empty: all. */
  readonly projects: readonly string[];
  readonly expires?: number;
}

export interface AgentBearer {
  readonly kind: 'agent';
  readonly agent: AgentId;
  readonly key: string;
}

export type Bearer = UserToken | JoinToken | AgentBearer;

export class TokenError extends Error {
  override readonly name = 'TokenError';
}

const signature = (key: Buffer, prefix: string, payload: string): Buffer =>
  createHmac('sha256', key).update(`${prefix}.${payload}`).digest();

export function issueToken(key: Buffer, token: UserToken | JoinToken): string {
  const payload = Buffer.from(JSON.stringify(token)).toString('base64url');
  return `gantry_${token.kind}_${payload}.${signature(key, token.kind, payload).toString('base64url')}`;
}

export const agentBearer = (agent: AgentId, key: string): string => `gantry_agent_${agent}.${key}`;

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/** Checks form, signature and expiry. An agent's key is checked by the caller against the state. Throws TokenError. */
export function readToken(key: Buffer, text: string, nowSeconds: number): Bearer {
  const match = /^gantry_(user|join|agent)_([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(text);
  const [, kind, payload, proof] = match ?? [];
  if (kind === undefined || payload === undefined || proof === undefined) {
    throw new TokenError(
      'this is not a Gantry token (they begin with gantry_user_, gantry_join_ or gantry_agent_)',
    );
  }
  if (kind === 'agent') {
    const agent = parseAgentId(payload);
    if (agent === undefined) throw new TokenError('the agent id in the token is malformed');
    return { kind, agent, key: proof };
  }
  const expected = signature(key, kind, payload);
  const given = Buffer.from(proof, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new TokenError(
      'the token was not issued by this coordinator: get a new one from its administrator',
    );
  }
  const parsed: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const token = validToken(kind, parsed);
  if (token.expires !== undefined && token.expires <= nowSeconds) {
    throw new TokenError(
      kind === 'join'
        ? 'the join token has expired: make a new one with `gantry agents token`'
        : 'the token has expired: get a new one from the administrator',
    );
  }
  return token;
}

/** What stands in a payload was signed by us, but by which version? Checked all the same. */
function validToken(kind: string, value: unknown): UserToken | JoinToken {
  if (typeof value !== 'object' || value === null) throw new TokenError('the token has no content');
  const expires = 'expires' in value && typeof value.expires === 'number' ? { expires: value.expires } : {};
  if (kind === 'user' && 'name' in value && typeof value.name === 'string' && namePattern.test(value.name)) {
    return { kind: 'user', name: value.name, ...expires };
  }
  if (
    kind === 'join' &&
    'id' in value &&
    typeof value.id === 'string' &&
    'by' in value &&
    typeof value.by === 'string' &&
    'labels' in value &&
    isStrings(value.labels) &&
    'projects' in value &&
    isStrings(value.projects)
  ) {
    return {
      kind: 'join',
      id: value.id,
      by: value.by,
      labels: value.labels,
      projects: value.projects,
      ...expires,
    };
  }
  throw new TokenError('the token is of another version of Gantry: get a new one');
}
