/** What people and scripts see of a gate: the shape of `gantry gate show --json`. Times are ISO 8601 with milliseconds. */
import type { GateEntryId } from './gate.js';
import type { CommitId, ProjectId, RunId } from './ids.js';

export const gateEntryStatuses = [
  'queued',
  'conflict',
  'contained',
  'starting',
  'testing',
  'green',
  'red',
  'landing',
] as const;
export type GateEntryStatus = (typeof gateEntryStatuses)[number];

interface EntryFactsView {
  readonly entry: GateEntryId;
  readonly commit: CommitId;
  /** `login`, `refs/for/main/login` */
  readonly source: string;
  readonly title: string;
  readonly author: string | null;
  readonly by: string;
  readonly queuedAt: string;
  /** How often it was built again, because the target moved or one ahead of it left. */
  readonly rebuilds: number;
}

export interface GateEntryView extends EntryFactsView {
  /** 1 is the head. */
  readonly place: number;
  readonly status: GateEntryStatus;
  /** The merged result, and what it was merged onto. */
  readonly candidate: CommitId | null;
  readonly base: CommitId | null;
  readonly run: RunId | null;
  /** What it waits for, a sentence each. */
  readonly waitingFor: readonly string[];
}

export interface EndedEntryView extends EntryFactsView {
  readonly status: 'landed' | 'already-landed' | 'ejected';
  /** A sentence. */
  readonly reason: string;
  readonly landedAs: CommitId | null;
  readonly run: RunId | null;
  readonly endedAt: string;
}

export interface GateView {
  readonly project: ProjectId;
  readonly target: string;
  readonly status: 'idle' | 'busy' | 'paused';
  readonly tip: CommitId | null;
  readonly paused: { readonly reason: string; readonly since: string } | null;
  /** What people should know and no entry says: who keeps pushing past the gate, what cannot be reached. */
  readonly notes: readonly string[];
  readonly entries: readonly GateEntryView[];
  /** The last ones, newest first. */
  readonly ended: readonly EndedEntryView[];
}
