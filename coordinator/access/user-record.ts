/**
 * What is stored of one user: the user and their tokens, whole, so that removing a user and ending their tokens is one
 * change, and no token can be without its user. Pure; `nats-directory.ts` keeps it.
 */
import { z } from 'zod';
import { namePattern, parseSha256, type Sha256 } from '../../shared/model/ids.js';
import { parseMailAddress, type MailAddress } from '../../shared/model/mail-address.js';
import type { AccessToken, TokenEnd, User } from './directory.js';
import { rights, roles } from './rights.js';

export interface UserRecord {
  readonly v: 1;
  readonly user: User;
  readonly tokens: readonly AccessToken[];
  /** The user is gone; the record stays for as long as its tokens do. */
  readonly removedAt?: number;
}

/** How long a token that has ended (or expired) is kept, for the answer to whoever still uses it. */
const keepEndedMs = 30 * 86_400_000;
const hourMs = 3_600_000;
/** Of one user, those that are good. Keeps a record below 100 KB; NATS takes up to 1 MB. */
export const maxTokens = 100;
/** And those that are not: the oldest go first. */
const maxEnded = 50;

export const newRecord = (user: User, before: UserRecord | undefined): UserRecord => ({
  v: 1,
  user,
  // Of a former user of that name: they stay ended.
  tokens: before?.tokens ?? [],
});

export const isGood = (token: AccessToken, at: number): boolean =>
  token.ended === undefined && (token.expiresAt === undefined || token.expiresAt > at);

export const goodTokens = (record: UserRecord, at: number): number =>
  record.tokens.filter((token) => isGood(token, at)).length;

/** Without what has ended long ago. */
export function pruned(record: UserRecord, at: number): UserRecord {
  const endOf = (token: AccessToken): number => token.ended?.at ?? token.expiresAt ?? Infinity;
  const kept = record.tokens.filter((token) => endOf(token) + keepEndedMs > at);
  const ended = kept.filter((token) => !isGood(token, at)).sort((a, b) => endOf(b) - endOf(a));
  const tooMany = new Set(ended.slice(maxEnded));
  return { ...record, tokens: kept.filter((token) => !tooMany.has(token)) };
}

/** Whether nothing of it is needed any more. */
export const isForgettable = (record: UserRecord, at: number): boolean =>
  record.removedAt !== undefined && record.removedAt + keepEndedMs < at;

const end = (token: AccessToken, ended: TokenEnd): AccessToken =>
  token.ended === undefined ? { ...token, ended } : token;

export const removed = (record: UserRecord, at: number): UserRecord => ({
  ...record,
  removedAt: at,
  tokens: record.tokens.map((token) => end(token, { at, why: 'user-removed' })),
});

export const withToken = (record: UserRecord, token: AccessToken): UserRecord => ({
  ...record,
  tokens: [...record.tokens, token],
});

/** Undefined: it is not there, or ended before. */
export function withRevoked(record: UserRecord, id: string, at: number): UserRecord | undefined {
  const token = record.tokens.find((one) => one.id === id);
  if (token === undefined || token.ended !== undefined) return undefined;
  return replaced(record, end(token, { at, why: 'revoked' }));
}

/** Undefined: it says so already, or there is nothing to say. */
export function withUse(record: UserRecord, id: string, at: number): UserRecord | undefined {
  const token = record.tokens.find((one) => one.id === id);
  const hour = at - (at % hourMs);
  if (token === undefined || !isGood(token, at) || (token.lastUsedAt ?? 0) >= hour) return undefined;
  return replaced(record, { ...token, lastUsedAt: hour });
}

const replaced = (record: UserRecord, token: AccessToken): UserRecord => ({
  ...record,
  tokens: record.tokens.map((one) => (one.id === token.id ? token : one)),
});

const time = z.int().min(0);
const text = z.string().max(1_000);
const userSchema = z.object({
  name: z.string().regex(namePattern),
  role: z.enum(roles),
  mails: z.array(
    z.custom<MailAddress>((value) => typeof value === 'string' && parseMailAddress(value) === value),
  ),
  maySeeSecrets: z.boolean(),
  projects: z.array(text),
  createdAt: time,
  createdBy: text,
});
const tokenSchema = z.object({
  id: z.string().regex(/^[a-z2-7]{16}$/),
  user: z.string(),
  hash: z.custom<Sha256>((value) => typeof value === 'string' && parseSha256(value) !== undefined),
  scope: z.enum(rights),
  projects: z.array(text),
  createdAt: time,
  createdBy: text,
  expiresAt: time.exactOptional(),
  note: text,
  lastUsedAt: time.exactOptional(),
  ended: z.object({ at: time, why: z.enum(['revoked', 'user-removed']) }).exactOptional(),
});
const recordSchema = z.object({
  v: z.literal(1),
  user: userSchema,
  tokens: z.array(tokenSchema),
  removedAt: time.exactOptional(),
});

/**
 * Undefined for what another version wrote: its user is then unknown here, which lets nobody in. Half a record (a role or
 * a limit that this version does not know) must not become a whole user.
 */
export function parseRecord(json: string): UserRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined; // no JSON: not ours
  }
}
