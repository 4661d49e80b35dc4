/** What people and scripts see of a run: the shape of `gantry show --json`. Times are ISO 8601 with milliseconds. */
import type { Failure } from './failure.js';
import type { AgentId, RunId, Token } from './ids.js';
import type { Failing } from './project.js';

export const stageStatuses = [
  'pending',
  'waiting',
  'running',
  'succeeded',
  'failed',
  'canceled',
  'skipped',
] as const;
export type StageStatus = (typeof stageStatuses)[number];
export const attemptStatuses = ['leased', 'running', 'succeeded', 'failed', 'canceled', 'lost'] as const;
export type AttemptStatus = (typeof attemptStatuses)[number];
export const stepStatuses = ['pending', 'running', 'succeeded', 'failed', 'canceled', 'skipped'] as const;
export type StepStatus = (typeof stepStatuses)[number];
export const agentStatuses = ['idle', 'busy', 'draining', 'away', 'offline', 'refusing'] as const;
export type AgentStatus = (typeof agentStatuses)[number];
export type RunStatus = StageStatus;

export const isEnded = (status: StageStatus): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'canceled' || status === 'skipped';

export interface StepView {
  readonly number: number;
  readonly name: string;
  readonly status: StepStatus;
  readonly exitCode: number | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** What is missing of its log, in a sentence; null: nothing. */
  readonly incomplete: string | null;
}

export interface AttemptView {
  readonly attempt: number;
  readonly agent: AgentId;
  readonly agentName: string;
  readonly token: Token;
  readonly status: AttemptStatus;
  /** Why it ended as it did, in a sentence; null while it is well. */
  readonly reason: string | null;
  readonly failure: Failure | null;
  readonly leasedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** The run that it was taken over from, with all that it left; null: it was made in this one. */
  readonly takenFrom: RunId | null;
}

export interface StageView {
  readonly number: number;
  readonly name: string;
  readonly cell: Readonly<Record<string, string>>;
  /** `test (python=3.12)` */
  readonly title: string;
  readonly status: StageStatus;
  readonly allowFailure: boolean;
  readonly needs: readonly number[];
  /** What it waits for, one sentence each; empty when it does not wait. */
  readonly waitingFor: readonly string[];
  readonly failure: Failure | null;
  /** Of a skipped stage: because of which need, or that its condition does not hold, in a sentence. */
  readonly whySkipped: string | null;
  readonly attempts: readonly AttemptView[];
  /** Of the latest attempt. */
  readonly steps: readonly StepView[];
}

export interface ArtifactView {
  /** Title of the stage. */
  readonly stage: string;
  readonly stageNumber: number;
  readonly name: string;
  readonly files: readonly {
    readonly path: string;
    readonly mode: number;
    readonly size: number;
    readonly sha256: string;
  }[];
}

export interface RunView {
  readonly run: RunId;
  readonly status: RunStatus;
  readonly project: string;
  readonly branch: string | null;
  readonly commit: string;
  readonly title: string;
  readonly author: string | null;
  readonly by: string;
  readonly event: string;
  readonly retryOf: RunId | null;
  readonly submittedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Why the run could not begin. */
  readonly failure: Failure | null;
  /** Since when its branch fails. */
  readonly failing: Failing | null;
  readonly stages: readonly StageView[];
  readonly artifacts: readonly ArtifactView[];
}

/** A row of `gantry runs`. */
export type RunSummary = Omit<RunView, 'stages' | 'artifacts'>;

export interface AgentView {
  readonly id: AgentId;
  readonly name: string;
  readonly status: AgentStatus;
  readonly reason: string | null;
  readonly labels: readonly string[];
  readonly slots: number;
  readonly running: readonly string[];
  readonly version: string;
  readonly lastSeenMs: number | null;
}
