/** Who calls. Made in `api/auth.ts` from the bearer token, and nowhere else. */
import type { AgentId } from '../../shared/model/ids.js';
import type { Directory } from './directory.js';
import { lesser, rightOfRole, type Right, type Role } from './rights.js';
import { Reach } from './reach.js';
import { TokenError, matchesHash, type DirectoryBearer, type JoinToken, type UserToken } from './tokens.js';

export interface UserCaller {
  readonly kind: 'user';
  readonly name: string;
  readonly role: Role;
  /** What this call may do: the lesser of the role's right and the token's scope. */
  readonly right: Right;
  readonly reach: Reach;
  /** Of the user. See `maySeeSecrets` in `secrets-right.ts`. */
  readonly maySeeSecrets: boolean;
  /** Wall time, ms; absent: never. */
  readonly expiresAt?: number;
  /** Absent: the owner's token, which is in no directory. */
  readonly tokenId?: string;
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

/** Signed with the installation's key: whoever has that key may do anything, so its holder is admin. */
export const ownerCaller = ({ name, expires }: UserToken): UserCaller => ({
  kind: 'user',
  name,
  role: 'admin',
  right: 'admin',
  reach: new Reach(),
  maySeeSecrets: true,
  ...(expires === undefined ? {} : { expiresAt: expires * 1000 }),
});

const noHash = '0'.repeat(64);

/**
 * Throws TokenError. An unknown id and a wrong secret are one error and take the same time; what became of a token is
 * told only to whoever has its secret.
 */
export function directoryCaller(
  directory: Pick<Directory, 'user' | 'token'>,
  { id, secret }: DirectoryBearer,
  nowMs: number,
): UserCaller {
  const token = directory.token(id);
  const isIts = matchesHash(secret, token?.hash ?? noHash);
  if (token === undefined || !isIts) {
    throw new TokenError('the token is not known here: get a new one (gantry tokens create)');
  }
  return standingOf(directory, id, nowMs);
}

/** What a token that was accepted before may do now. Throws TokenError when it has ended meanwhile. */
export function standingOf(
  directory: Pick<Directory, 'user' | 'token'>,
  id: string,
  nowMs: number,
): UserCaller {
  const token = directory.token(id);
  if (token === undefined) throw new TokenError('the token is not known here any more');
  const user = directory.user(token.user);
  if (user === undefined || token.ended?.why === 'user-removed') {
    throw new TokenError(`the token is of user ${token.user}, who was removed`);
  }
  if (token.ended !== undefined) {
    throw new TokenError('the token was revoked: get a new one (gantry tokens create)');
  }
  if (token.expiresAt !== undefined && token.expiresAt <= nowMs) {
    const at = new Date(token.expiresAt).toISOString();
    throw new TokenError(`the token expired at ${at}: get a new one (gantry tokens create)`);
  }
  return {
    kind: 'user',
    name: user.name,
    role: user.role,
    right: lesser(rightOfRole[user.role], token.scope),
    reach: new Reach(user.projects, token.projects),
    maySeeSecrets: user.maySeeSecrets,
    tokenId: token.id,
    ...(token.expiresAt === undefined ? {} : { expiresAt: token.expiresAt }),
  };
}
