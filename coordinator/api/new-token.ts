/** What a token that is asked for may allow. Pure. */
import type { UserCaller } from '../access/caller.js';
import type { User } from '../access/directory.js';
import { Reach } from '../access/reach.js';
import { includes, lesser, rightOfRole, type Right } from '../access/rights.js';
import { ApiError } from './api-error.js';

export interface TokenWish {
  readonly user: User;
  /** Undefined: as much as may be. */
  readonly scope: Right | undefined;
  /** Normalized; empty: as many as may be. */
  readonly projects: readonly string[];
  /** `default`: 90 days, or less where the caller's own ends earlier. */
  readonly lifetime: { readonly seconds: number } | 'default' | 'never';
}

export interface TokenTerms {
  readonly scope: Right;
  readonly projects: readonly string[];
  readonly expiresAt?: number;
}

const defaultSeconds = 90 * 86_400;

/** Whether the caller may do what concerns everybody: then their token limits no other. */
export const isAdministrator = (caller: UserCaller): boolean =>
  caller.right === 'admin' && !caller.reach.isLimited;

/**
 * A token never allows more than its user. One that somebody makes for themselves allows no more than the token that
 * they make it with, and does not outlive it: who finds a token cannot make it stronger, or last. Throws forbidden or
 * invalid.
 */
export function termsOf(wish: TokenWish, caller: UserCaller, nowMs: number): TokenTerms {
  const { user } = wish;
  const administers = isAdministrator(caller);
  if (!administers && user.name !== caller.name) {
    throw forbidden(`a token for ${user.name} can be made by ${user.name}, or by an admin`);
  }
  const roleRight = rightOfRole[user.role];
  const most = administers ? roleRight : lesser(roleRight, caller.right);
  const scope = wish.scope ?? most;
  if (!includes(roleRight, scope)) {
    throw new ApiError(
      'invalid',
      `scope ${scope}: user ${user.name} is ${user.role}, which allows ${roleRight} at most`,
    );
  }
  if (!includes(most, scope)) {
    throw forbidden(
      `scope ${scope}: the token that you use has ${caller.right}, and makes none that may do more`,
    );
  }
  return {
    scope,
    projects: projectsOf(wish, administers ? new Reach(user.projects) : caller.reach),
    ...expiryOf(wish, administers ? undefined : caller.expiresAt, nowMs),
  };
}

function projectsOf({ projects, user }: TokenWish, most: Reach): readonly string[] {
  const { names } = most;
  if (names === undefined) return projects;
  if (names.length === 0) throw forbidden('your token reaches no project, so neither would this one');
  const beyond = projects.find((name) => !names.includes(name));
  if (beyond !== undefined) {
    throw forbidden(
      `project ${beyond}: a token for ${user.name} can reach ${most.description}, and no other`,
    );
  }
  return projects.length === 0 ? names : projects;
}

function expiryOf(
  { lifetime }: TokenWish,
  latest: number | undefined,
  nowMs: number,
): { readonly expiresAt?: number } {
  const until = latest === undefined ? '' : new Date(latest).toISOString();
  if (lifetime === 'never') {
    if (latest === undefined) return {};
    throw forbidden(`the token that you use expires at ${until}, and makes none that lasts longer`);
  }
  const seconds = lifetime === 'default' ? defaultSeconds : lifetime.seconds;
  const wanted = nowMs + seconds * 1000;
  if (latest === undefined || wanted <= latest) return { expiresAt: wanted };
  if (lifetime === 'default') return { expiresAt: latest };
  throw forbidden(`the token that you use expires at ${until}, and makes none that lasts longer`);
}

const forbidden = (message: string): ApiError => new ApiError('forbidden', message);
