/** Users and their tokens, as all coordinators of an installation know them. */
import type { MailAddress } from '../../shared/model/mail-address.js';
import type { Sha256 } from '../../shared/model/ids.js';
import type { Right, Role } from './rights.js';

export interface User {
  /** As `namePattern` has it. Names that differ only in case are one name. */
  readonly name: string;
  readonly role: Role;
  readonly mails: readonly MailAddress[];
  /** Runs of trees that this user submits get the secrets that they name. */
  readonly maySeeSecrets: boolean;
  /** Normalized names; empty: all. */
  readonly projects: readonly string[];
  /** Wall time, ms. */
  readonly createdAt: number;
  readonly createdBy: string;
}

export interface AccessToken {
  /** 16 base32 characters: the part of the text that is no secret. */
  readonly id: string;
  readonly user: string;
  /** SHA-256 of the secret part, which has 256 random bits: nothing slower is needed to keep it from being guessed. */
  readonly hash: Sha256;
  /** At most; never more than the user's role allows. */
  readonly scope: Right;
  /** Normalized names; empty: all of the user's. */
  readonly projects: readonly string[];
  readonly createdAt: number;
  readonly createdBy: string;
  /** Absent: never. */
  readonly expiresAt?: number;
  readonly note: string;
  /** To the hour. */
  readonly lastUsedAt?: number;
  /** It is kept for a while, so that whoever still uses it is told what happened. */
  readonly ended?: TokenEnd;
}

export interface TokenEnd {
  readonly at: number;
  readonly why: 'revoked' | 'user-removed';
}

/** What is changed of a user; what is absent stays. */
export type UserChange = Partial<Pick<User, 'role' | 'mails' | 'maySeeSecrets' | 'projects'>>;

/** The directory is full, or one user's share of it. The message says what to do. */
export class DirectoryFull extends Error {
  override readonly name = 'DirectoryFull';
}

/** NATS did not answer, or said no: try again. */
export class DirectoryUnavailable extends Error {
  override readonly name = 'DirectoryUnavailable';
}

/**
 * Reads are synchronous and from memory: each call of the API makes some. What this coordinator changed is durable, and
 * in force here, when the promise resolves; other coordinators follow within milliseconds. A change states the revision
 * that it is made to and is made again to a newer one, so that of two at once none is lost. They reject
 * with DirectoryUnavailable while NATS does not answer, and are then done or not: ask, or do it again.
 */
export interface Directory {
  user(name: string): User | undefined;
  /** By name. */
  users(): readonly User[];
  /** Also one that has ended, for 30 days. Throws DirectoryUnavailable when changes of others are not seen any more. */
  token(id: string): AccessToken | undefined;
  /** Those that have not ended, oldest first. */
  tokens(): readonly AccessToken[];
  /** Rejects with DirectoryFull. */
  addUser(user: User): Promise<'added' | 'exists'>;
  /** Undefined: there is no such user. */
  changeUser(name: string, change: UserChange): Promise<User | undefined>;
  /** Their tokens end with them: how many did. Undefined: there is no such user. */
  removeUser(name: string, at: number): Promise<number | undefined>;
  /** Rejects with DirectoryFull. */
  addToken(token: AccessToken): Promise<'added' | 'no-user'>;
  /** Undefined: there is no such token, or it ended before. */
  revokeToken(id: string, at: number): Promise<AccessToken | undefined>;
  /** Keeps the hour of the last use: in the background, and it may get lost. */
  noteUse(id: string, at: number): void;
  close(): Promise<void>;
}
