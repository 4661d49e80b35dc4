/** What people and scripts see of an environment: `gantry environments show --json`. Times are ISO 8601 with milliseconds. */
import type { DeploymentRecord } from './deployment.js';
import type { Binding, EnvironmentSettings } from './environment.js';
import type { CommitId, ProjectId, RunId } from './ids.js';

export const deploymentStatuses = [
  'waiting',
  'approval',
  'queued',
  'starting',
  'running',
  'verifying',
  'unknown',
  'verified',
  'failed',
  'canceled',
  'refused',
  'rejected',
  'superseded',
  'expired',
] as const;
export type DeploymentStatus = (typeof deploymentStatuses)[number];

export interface DeploymentView {
  readonly deployment: number;
  readonly status: DeploymentStatus;
  readonly run: RunId;
  readonly stage: number;
  readonly commit: CommitId;
  readonly title: string;
  readonly branch: string | null;
  readonly by: string;
  readonly approvedBy: string | null;
  /** The deployment that it makes again; null when it is no rollback. */
  readonly rollbackOf: number | null;
  /** Why it was let through though the environment before had not verified it. */
  readonly forced: string | null;
  readonly requestedAt: string;
  readonly beganAt: string | null;
  readonly endedAt: string | null;
  /** What it waits for, a sentence each; empty when it has ended. */
  readonly waitingFor: readonly string[];
  /** How it ended, in a sentence. */
  readonly reason: string | null;
  /** Its agent's own word, when that came after it had been settled. */
  readonly late: string | null;
  /** While it waits for approval: what is approved. `gantry approve` sends it back. */
  readonly binding: Binding | null;
  /** A rollback went back behind it. */
  readonly isDisavowed: boolean;
  readonly record: DeploymentRecord;
}

export interface EnvironmentView {
  readonly project: ProjectId;
  readonly environment: string;
  /** `free`: the next deployment begins at once. `unknown`: blocked until the deployment is settled. */
  readonly status: 'free' | 'busy' | 'unknown' | 'held';
  readonly settings: EnvironmentSettings;
  /** The deployment that touched the environment last, whatever became of it. */
  readonly current: DeploymentView | null;
  /** The last one that was verified, if that is not the current one. */
  readonly lastVerified: DeploymentView | null;
  /** Why no automatic deployment goes there, a sentence each. */
  readonly holds: readonly string[];
  /** Oldest first. */
  readonly open: readonly DeploymentView[];
  /** The last ones that ended, newest first. */
  readonly history: readonly DeploymentView[];
}

/** One thing in which two deployments differ. Null: the one has no such thing. */
export interface RecordDifference {
  readonly what: 'commit' | 'artifact' | 'image' | 'step' | 'env' | 'secret';
  readonly name: string;
  /** Digests and keyed hashes, never values. */
  readonly left: string | null;
  readonly right: string | null;
}

export interface RecordDiff {
  readonly isIdentical: boolean;
  readonly differences: readonly RecordDifference[];
  /** What differs and was declared to. */
  readonly declared: readonly RecordDifference[];
}
