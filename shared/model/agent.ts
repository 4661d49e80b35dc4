/** What coordinator and agents tell each other outside the numbered reports. */
import type { AgentId, AttemptRef, InstanceId, RunId, Sha256, Token } from './ids.js';
import type { PlannedStage, RunFacts, Source } from './pipeline.js';

/** Artifacts of a needed stage that must arrive in the workspace before the first step. */
export interface NeededArtifacts {
  readonly stage: number;
  readonly attempt: number;
  /** Name of the needed stage, for messages. */
  readonly title: string;
  readonly manifest: { readonly sha256: Sha256; readonly bytes: number };
}

/** Attempt, token and all that the agent needs to run it. No secret and no presigned URL is in it. */
export interface Assignment extends AttemptRef {
  readonly token: Token;
  /**
   * Proves that this agent was leased this attempt under this token; named with it in each heartbeat. Absent from one that
   * an older coordinator gave out.
   */
  readonly proof?: string;
  readonly stageCount: number;
  readonly plan: Omit<PlannedStage, 'condition' | 'verify' | 'inputs'>;
  readonly facts: RunFacts;
  readonly source: Source;
  readonly needs: readonly NeededArtifacts[];
  /** Image reference -> digest or id, as far as the run has resolved them. */
  readonly images: Readonly<Record<string, string>>;
}

/** An agent's answer to an assignment. It has persisted the assignment before it says `accepted`. */
export type AssignAnswer =
  /** `heartbeat`: number of the agent's latest heartbeat; from two later ones on the attempt must be named in them. */
  | { readonly kind: 'accepted'; readonly heartbeat: number }
  | { readonly kind: 'refused'; readonly reason: string };

/** What an agent holds: leased to it, and not yet acknowledged as ended. */
export interface HeldAttempt extends AttemptRef {
  readonly token: Token;
  /** As the assignment had it. Only where the journal knows nothing of the token is it looked at. */
  readonly proof?: string;
}

/** Published every 2 s, numbered from 1 per instance. */
export interface Heartbeat {
  readonly agent: AgentId;
  readonly instance: InstanceId;
  readonly number: number;
  readonly slots: number;
  /** Whether the agent's gRPC link is up, as it sees it. */
  readonly linked: boolean;
  /** Why the agent takes no stage now (`disk`, `docker`, `stopping`): shown by `why`. Absent: it takes some. */
  readonly refusing?: string;
  /** It goes away on purpose (upgrade, reboot): lost only after ten minutes. */
  readonly away: boolean;
  /** One-minute load average, for choosing the least loaded. */
  readonly load: number;
  /** Projects whose repository mirror it has, newest first, at most 50. */
  readonly mirrors: readonly string[];
  readonly held: readonly HeldAttempt[];
  readonly version: string;
}

/** Objects an agent may ask presigned URLs for; checked against its lease. */
export type PresignObject =
  | { readonly kind: 'source' }
  | { readonly kind: 'put-log'; readonly step: number }
  | { readonly kind: 'put-log-index'; readonly step: number }
  | { readonly kind: 'put-artifact'; readonly number: number; readonly bytes: number }
  | { readonly kind: 'put-manifest' }
  | { readonly kind: 'get-manifest'; readonly stage: number }
  | { readonly kind: 'get-artifact'; readonly stage: number; readonly number: number };

/** A piece of a step's log on its way: `offset` counts bytes from the start of that step's log. */
export interface LogChunk extends AttemptRef {
  readonly step: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Wall time in the coordinator's clock, ms. */
  readonly at: number;
}

/** Shown while something takes long, never archived: image pulls, fetching, uploading. */
export interface Progress extends AttemptRef {
  readonly token: Token;
  readonly activity: string;
  /** 0..1 where known. */
  readonly fraction?: number;
}

export interface RunImages {
  readonly run: RunId;
  readonly images: Readonly<Record<string, string>>;
}
