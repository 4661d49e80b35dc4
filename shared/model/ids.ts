/**
 * Identifiers. A `RunId` is not a `string`: what has one of these types was checked against its pattern, so it may
 * become part of a NATS subject, an S3 key or a path. Names that people wrote never have one of these types.
 */
declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** 16 random lower-case base32 characters, made by whoever asks for the run; people see the first 8. */
export type RunId = Brand<string, 'RunId'>;
/** 16 base32 characters of the SHA-256 of the project's normalized name. */
export type ProjectId = Brand<string, 'ProjectId'>;
/** 16 random base32 characters, made by an agent once and kept in its data directory. */
export type AgentId = Brand<string, 'AgentId'>;
/** One registration of an agent process; the newest owns the agent's id. 16 random base32 characters. */
export type InstanceId = Brand<string, 'InstanceId'>;
/** 64 lower-case hexadecimal characters. */
export type Sha256 = Brand<string, 'Sha256'>;
/** 40 (or 64) lower-case hexadecimal characters: a git object name. */
export type CommitId = Brand<string, 'CommitId'>;
/** The fencing token of an attempt: a counter in the state, one per lease; greater is newer. */
export type Token = Brand<number, 'Token'>;

const base32Id = /^[a-z2-7]{16}$/;
const sha256Pattern = /^[0-9a-f]{64}$/;
const commitPattern = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

// Each `as` below stands directly behind the check that proves it.
export const parseRunId = (text: string): RunId | undefined =>
  base32Id.test(text) ? (text as RunId) : undefined;
export const parseProjectId = (text: string): ProjectId | undefined =>
  base32Id.test(text) ? (text as ProjectId) : undefined;
export const parseAgentId = (text: string): AgentId | undefined =>
  base32Id.test(text) ? (text as AgentId) : undefined;
export const parseInstanceId = (text: string): InstanceId | undefined =>
  base32Id.test(text) ? (text as InstanceId) : undefined;
export const parseSha256 = (text: string): Sha256 | undefined =>
  sha256Pattern.test(text) ? (text as Sha256) : undefined;
export const parseCommitId = (text: string): CommitId | undefined =>
  commitPattern.test(text) ? (text as CommitId) : undefined;
export const parseToken = (value: number): Token | undefined =>
  Number.isSafeInteger(value) && value > 0 ? (value as Token) : undefined;

/** Names of stages, artifacts and services: short, and safe to show and to type. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const base32Alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** 16 base32 characters (80 bits) of the first 10 bytes given; the caller supplies the randomness or the digest. */
export function base32Of(bytes: Uint8Array): string {
  let bits = 0;
  let value = 0;
  let text = '';
  for (const byte of bytes.subarray(0, 10)) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += base32Alphabet.charAt((value >> bits) & 31);
    }
  }
  return text;
}

/** What people see of a run id. */
export const shortRunId = (run: RunId): string => run.slice(0, 8);

/** Names one attempt; `1`-based numbers. Its text form is used in subjects, keys and paths. */
export interface AttemptRef {
  readonly run: RunId;
  /** The plan numbers stages from 1. */
  readonly stage: number;
  /** Attempts of a stage count from 1. */
  readonly attempt: number;
}

export const attemptKey = (ref: AttemptRef): string => `${ref.run}/${ref.stage}/${ref.attempt}`;
