/**
 * The texts that callers prove themselves with, each known by its beginning:
 *
 *   gantry_token_<id>.<secret>    people and scripts; the directory holds the secret's SHA-256, and what it allows
 *   gantry_user_<payload>.<mac>   the owner: signed with the installation's key, so whoever holds that key can make one.
 *                                 It allows everything and cannot be revoked but with the key
 *   gantry_join_<payload>.<mac>   an agent's first registration; carries what the agent may offer, nothing is stored
 *   gantry_agent_<id>.<key>       an agent that is registered; the state holds the key's SHA-256
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  attemptKey,
  base32Of,
  namePattern,
  parseAgentId,
  parseSha256,
  type AgentId,
  type AttemptRef,
  type Sha256,
  type Token,
} from '../../shared/model/ids.js';
import { sha256Hex } from './keys.js';

/** A token of the directory, as its holder gives it. */
export interface DirectoryBearer {
  readonly kind: 'token';
  readonly id: string;
  readonly secret: string;
}

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

export type Bearer = DirectoryBearer | UserToken | JoinToken | AgentBearer;

export class TokenError extends Error {
  override readonly name = 'TokenError';
}

const signature = (key: Buffer, prefix: string, payload: string): Buffer =>
  createHmac('sha256', key).update(`${prefix}.${payload}`).digest();

export function issueToken(key: Buffer, token: UserToken | JoinToken): string {
  const payload = Buffer.from(JSON.stringify(token)).toString('base64url');
  return `gantry_${token.kind}_${payload}.${signature(key, token.kind, payload).toString('base64url')}`;
}

/** The text is for its holder alone and is not kept: the directory gets `id` and `hash`. */
export function makeDirectoryToken(): { readonly text: string; readonly id: string; readonly hash: Sha256 } {
  const id = base32Of(randomBytes(10));
  const secret = randomBytes(32).toString('base64url');
  const hash = parseSha256(sha256Hex(secret));
  if (hash === undefined) throw new Error('sha256Hex made something that is no SHA-256');
  return { text: `gantry_token_${id}.${secret}`, id, hash };
}

/** In constant time. */
export function matchesHash(secret: string, hash: string): boolean {
  const given = Buffer.from(sha256Hex(secret));
  const known = Buffer.from(hash);
  return given.length === known.length && timingSafeEqual(given, known);
}

/**
 * Proves that an installation leased the token to the agent. It goes with the assignment and comes back in heartbeats,
 * so that an agent can witness a lease that the journal has lost, and cannot make one up.
 */
export const leaseProof = (key: Buffer, { agent, ref, token }: Lease): string =>
  signature(key, 'lease', `${agent}/${attemptKey(ref)}/${token}`).toString('base64url');

interface Lease {
  readonly agent: AgentId;
  readonly ref: AttemptRef;
  readonly token: Token;
}

export function isLeaseProof(key: Buffer, lease: Lease, proof: string | undefined): boolean {
  const expected = Buffer.from(leaseProof(key, lease));
  const given = Buffer.from(proof ?? '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

export const agentBearer = (agent: AgentId, key: string): string => `gantry_agent_${agent}.${key}`;

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/**
 * Checks form, signature and expiry. An agent's key is checked by the caller against the state, a token of the directory
 * by `directoryCaller`. Throws TokenError.
 */
export function readToken(key: Buffer, text: string, nowSeconds: number): Bearer {
  const match = /^gantry_(token|user|join|agent)_([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(text);
  const [, kind, payload, proof] = match ?? [];
  if (kind === undefined || payload === undefined || proof === undefined) {
    throw new TokenError(
      'this is not a Gantry token (they begin with gantry_token_, gantry_user_, gantry_join_ or gantry_agent_)',
    );
  }
  if (kind === 'token') return { kind, id: payload, secret: proof };
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
