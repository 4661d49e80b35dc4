/**
 * The coordinator as an agent sees it: assignments and cancels come in over NATS, reports and logs go out over the
 * gRPC link, URLs are asked for by unary calls. Connections break and come back below this port; what it promises:
 *
 * - `report` and `log` are kept by the caller until acknowledged; after a break the session asks for them again through
 *   `onLinkUp`, and whatever was acknowledged once stays acknowledged.
 * - An assignment may be given twice; the handler answers the same both times.
 * - Nothing is thrown at the caller for a connection that is away: calls wait (until their signal aborts).
 */
import type {
  AssignAnswer,
  Assignment,
  Heartbeat,
  HeldAttempt,
  PresignObject,
} from '../../shared/model/agent.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { Report } from '../../shared/model/event.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { RegistryAccess } from '../../shared/model/registry.js';
import type { PresignedUrl } from '../../shared/blob/presigned-url.js';

/** Multipart as the session offers it: URLs of parts in batches, then `finish` with the ETags in order, or `abort`. */
export interface UploadGrant {
  /** A single PUT, for objects up to 64 MB. */
  single(signal: AbortSignal): Promise<PresignedUrl>;
  /** URLs of parts `first … first+count-1` (from 1); begins the upload at the first call. */
  parts(first: number, count: number, signal: AbortSignal): Promise<readonly PresignedUrl[]>;
  finish(etags: readonly string[], signal: AbortSignal): Promise<void>;
  abort(): Promise<void>;
}

/** What an attempt may know that its assignment does not carry. Never written down, never logged. */
export interface AttemptSecrets {
  /** By the secret's name. */
  readonly values: ReadonlyMap<string, string>;
  /** For fetching the code from the project's own repository, where it needs one. */
  readonly checkout?: GitCredential;
  /** For images that the agent's daemon pulls and pushes; absent: none. */
  readonly registries?: RegistryAccess;
  /** A secret that the stage names and does not get, and what to do about it: a sentence. */
  readonly refused?: { readonly secret: string; readonly why: string };
}

export interface SessionHandlers {
  /** The assignment must be durable before this resolves to `accepted`. */
  assign(assignment: Assignment): Promise<AssignAnswer>;
  end(ref: AttemptRef, token: Token, why: 'canceled' | 'overtaken', by: string): void;
  drain(draining: boolean): void;
  /** The stream is new: send every report and log byte again that is not acknowledged. */
  linkUp(): void;
  linkDown(): void;
  /** All reports up to and with `n` are durable. */
  reportsAcknowledged(ref: AttemptRef, n: number): void;
  /** Send the reports from `n` on again. */
  reportsWanted(ref: AttemptRef, n: number): void;
  /** The attempt is overtaken: stop and forget it. */
  overtaken(ref: AttemptRef, reason: string): void;
  /** Every byte of the step's log before `offset` is durable. */
  logAcknowledged(ref: AttemptRef, step: number, offset: number): void;
  /** What the heartbeat says; called each time one is due. */
  heartbeat(): Omit<Heartbeat, 'agent' | 'instance' | 'number'>;
  held(): readonly HeldAttempt[];
  /** The coordinator does not know this agent any more, or another process took its id: a sentence. The agent stops. */
  refused(reason: string): void;
}

export interface Session {
  /** Registers, connects NATS, opens the link, begins to send heartbeats. Retries for ever while the coordinator is away; rejects when it refuses (wrong token). */
  start(handlers: SessionHandlers, signal: AbortSignal): Promise<void>;
  readonly linked: boolean;
  /** False when the link is down or its buffer is full: `drained` tells when to go on. Never buffers more than 4 MB. */
  report(what: { ref: AttemptRef; token: Token; n: number; at: number; report: Report }): boolean;
  log(what: {
    ref: AttemptRef;
    token: Token;
    step: number;
    offset: number;
    bytes: Uint8Array;
    at: number;
  }): boolean;
  /** Best effort; dropped when the link is down or busy. */
  progress(what: { ref: AttemptRef; token: Token; activity: string; fraction?: number }): void;
  drained(signal: AbortSignal): Promise<void>;
  /** One presigned URL for reading or a small put. Throws SessionRefused when the lease does not allow it. */
  presign(ref: AttemptRef, token: Token, object: PresignObject, signal: AbortSignal): Promise<PresignedUrl>;
  /** Waits while the coordinator is away. Throws SessionRefused when the lease, or how the agent is connected, does not allow it. */
  secrets(ref: AttemptRef, token: Token, signal: AbortSignal): Promise<AttemptSecrets>;
  upload(ref: AttemptRef, token: Token, artifact: { number: number; bytes: number }): UploadGrant;
  /** Sends a heartbeat now (a slot became free, disk is low). */
  heartbeatNow(): void;
  /** The last heartbeat's number. */
  readonly heartbeatNumber: number;
  close(): Promise<void>;
}

/** The coordinator answered no: the lease is not held any more, or never was. */
export class SessionRefused extends Error {
  override readonly name = 'SessionRefused';
}
