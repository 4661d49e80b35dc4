/**
 * What a notification tells, gathered once for all who are told. Every text in it is one line that is safe to show (see
 * `printable`), whatever people wrote into branch names, commit messages and logs; how it is put into a mail, a page or
 * JSON is the renderers' business.
 */
import type { Failure } from '../../shared/model/failure.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { Failing, NewsKind } from '../../shared/model/project.js';
import type { StageStatus } from '../../shared/model/run.js';

export interface Story {
  readonly news: NewsKind;
  readonly run: RunId;
  readonly project: { readonly id: ProjectId; readonly name: string; readonly short: string };
  readonly event: string;
  readonly status: StageStatus;
  readonly branch: string | null;
  readonly tag: string | null;
  readonly commit: CommitId;
  readonly title: string;
  readonly author: string | null;
  readonly by: string;
  readonly submittedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Why the run could not begin: lines, an excerpt of the pipeline among them. */
  readonly failure: { readonly kind: Failure['kind']; readonly lines: readonly string[] } | null;
  /** Those that failed and count, in the plan's order, at most `maxStages`. */
  readonly failed: readonly FailedStage[];
  readonly moreFailed: number;
  /** Stages that did not run because of it. */
  readonly skipped: number;
  /** Since when the branch fails; of `fixed`: since when it did. */
  readonly failing: Failing | null;
  readonly commits: readonly StoryCommit[];
  /** There are more than are named. */
  readonly moreCommits: boolean;
}

export interface StoryCommit {
  readonly commit: CommitId;
  readonly title: string;
  readonly author: string;
}

export interface FailedStage {
  readonly number: number;
  /** `test (python=3.12)` */
  readonly title: string;
  readonly kind: Failure['kind'] | null;
  /** A sentence. */
  readonly reason: string;
  /** Gantry and its machines failed, not the change. */
  readonly isOurs: boolean;
  readonly step: { readonly number: number; readonly name: string } | null;
  readonly agent: string | null;
  readonly log: StoryLog | null;
}

export interface StoryLog {
  /** The last lines, oldest first. */
  readonly lines: readonly string[];
  /** There is more before them. */
  readonly isCut: boolean;
  /** What of it is missing, in a sentence. */
  readonly missing: string | null;
}

export const maxStages = 10;
/** Stages whose log is in a message; the rest is named. */
export const maxLogs = 3;
export const maxLogLines = 30;
/** Of a line of a log, and of any other text. */
export const maxLineLength = 500;
