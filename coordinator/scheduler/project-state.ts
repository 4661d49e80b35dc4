/** What the state holds of projects: settings, the refs as they were last seen, how branches fare, what is pending. */
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { RunFacts } from '../../shared/model/pipeline.js';
import type {
  Failing,
  MoveSource,
  NewsKind,
  Project,
  RecordedMove,
  ReportedMove,
} from '../../shared/model/project.js';

/** A branch's runs of pushes, as far as they ended green or red; a canceled one says nothing about the code. */
export interface BranchState {
  readonly status: 'green' | 'failing';
  /** The last run that counted, of which commit, and its age: the end of one of an older push is no news. */
  readonly run: RunId;
  readonly commit: CommitId;
  readonly order: number;
  readonly failing?: Failing;
  readonly lastGreen?: { readonly run: RunId; readonly commit: CommitId };
  /** Targets that heard that it fails, while it does: they hear too when it is mended. */
  readonly told: Set<string>;
}

export interface RefState {
  /** Absent: it was deleted, and is remembered for its last moves only. */
  readonly tip?: CommitId;
  /** The tip is what a move said that did not begin at the one before: see `RecordedMove.place`. */
  readonly isGuess: boolean;
  /** Who is said to have pushed the tip; absent where a poll saw it. */
  readonly pusher?: string;
  /** The last moves of it, newest last: who reports one of them late or again brings no news. */
  readonly moves: readonly ReportedMove[];
}

export interface DeliveryState {
  readonly delivery: string;
  readonly at: number;
  readonly pusher?: string;
  readonly moves: readonly RecordedMove[];
}

export interface ProjectState {
  project: Project;
  readonly addedAt: number;
  /** Its refs were recorded once: from now on a move is a push. */
  polled: boolean;
  /** The branch that the remote's HEAD names. */
  head: string | undefined;
  readonly refs: Map<string, RefState>;
  readonly branches: Map<string, BranchState>;
  /** What the last deliveries told, oldest first: for showing. */
  readonly deliveries: Map<string, DeliveryState>;
  /** Ids of more of them, oldest first: against replays while a signature is young enough to count. */
  readonly deliveryIds: Set<string>;
}

/** A push that asks for a run whose pipeline was not read yet. */
export interface TriggerState {
  readonly run: RunId;
  readonly project: ProjectId;
  readonly move: ReportedMove;
  readonly source: MoveSource;
  readonly at: number;
}

/** A run that people must be told about. */
export interface OutboxState {
  readonly run: RunId;
  readonly project: ProjectId;
  readonly news: NewsKind;
  readonly at: number;
  /** The branch that the news is about; absent where it is about this run alone. */
  readonly branch?: string;
  /** Since when the branch fails, or did until this run. */
  readonly failing?: Failing;
  /** Of `fixed`: targets that heard of the failure. */
  readonly told: readonly string[];
  /** Targets that need nothing more. */
  readonly settled: Set<string>;
}

/** Targets remembered of a branch that fails. */
export const keptTold = 200;
/** Moves kept of a ref: more than are on their way at once, but in a burst. */
export const keptMoves = 100;
/** Deleted refs kept of a project, so that a push that is told late does not bring one back. */
export const keptDeletedRefs = 100;
/** Deliveries kept whole of a project: each may tell of 1,000 moves. */
export const keptDeliveries = 100;
/** Ids of deliveries kept of a project. A signature counts for five minutes, and 1,000 may come in a burst. */
export const keptDeliveryIds = 5_000;

export const defaultBranchOf = ({ project, head }: ProjectState): string | undefined =>
  project.settings.defaultBranch ?? head;

export const branchOf = (ref: string): string | undefined =>
  ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : undefined;

/**
 * What the end of a push's run says of its branch: nothing once the branch is gone, nor when it repeats a run of a commit that
 * the branch has left. Without it a branch that is mended would fail again because somebody looks into an old run.
 */
export function speaksForBranch(
  known: ProjectState,
  { facts, retryOf }: { readonly facts: RunFacts; readonly retryOf: RunId | undefined },
): boolean {
  const ref = facts.branch === undefined ? undefined : known.refs.get(`refs/heads/${facts.branch}`);
  if (ref === undefined) return true;
  return ref.tip !== undefined && (retryOf === undefined || ref.tip === facts.commit);
}
