/** A project: one repository that Gantry builds, with its settings and what is known of its refs. */
import type { GateSettings } from './gate.js';
import type { CommitId, ProjectId, RunId } from './ids.js';

export interface ProjectSettings {
  /** Absent: what the remote's HEAD names. */
  readonly defaultBranch?: string;
  /** How often the repository is asked for its refs; 0: never, pushes come by webhook only. */
  readonly pollMs: number;
  /** A newer push to a branch cancels runs of older pushes to it. */
  readonly cancelSuperseded: boolean;
  /** Mail goes to known users, and to addresses of these domains (lower case). */
  readonly mailDomains: readonly string[];
  /** Whom the project's pipelines may notify by name; the secret of each is in the vault. */
  readonly webhooks: readonly ProjectWebhook[];
  /** What it says of its integration gate, `defaultGateSettings` the rest; absent: it has none. */
  readonly gate?: Partial<GateSettings>;
}

export interface ProjectWebhook {
  readonly name: string;
  /** https, or http to loopback. */
  readonly url: string;
}

export interface Project {
  readonly id: ProjectId;
  /** The normalized URL: what people recognise. `projectOf(name).id` is `id`. */
  readonly name: string;
  /** Normalized, without credentials. */
  readonly url: string;
  readonly settings: ProjectSettings;
}

export const defaultProjectSettings: ProjectSettings = {
  pollMs: 10_000,
  cancelSuperseded: false,
  mailDomains: [],
  webhooks: [],
};

/** What one push did to one ref. */
export interface RefMove {
  /** Full name: `refs/heads/main`. */
  readonly ref: string;
  /** Absent: the ref was made. */
  readonly old?: CommitId;
  /** Absent: the ref was deleted. */
  readonly new?: CommitId;
}

/** A move as it is reported: with the id of the run it may become, a digest of (project, ref, old, new). */
export interface ReportedMove extends RefMove {
  readonly run: RunId;
}

/** A move as the journal has it. */
export interface RecordedMove extends ReportedMove {
  /** A run is wanted of it. */
  readonly asks: boolean;
  /**
   * `tip`: the ref is where the move ended. `guess`: the same, but it did not begin where the ref was known to be, so that
   * what came in between is still to be told, or this came late; a poll will say. `late`: the ref has moved on since.
   */
  readonly place: 'tip' | 'guess' | 'late';
}

/** Who saw the moves. */
export type MoveSource =
  /** `partial`: more of what the same poll saw follows. */
  | { readonly kind: 'poll'; readonly partial?: true }
  /** `delivery`: the sender's id of this message. `pusher`: whom the sender names, not verified beyond its signature. */
  | { readonly kind: 'webhook'; readonly delivery: string; readonly pusher?: string }
  /** The gate pushed it itself. `pusher`: who had it landed. */
  | { readonly kind: 'gate'; readonly pusher: string };

/** How the end of a branch's run relates to those before it. */
export type NewsKind = 'failed' | 'still-failing' | 'fixed';
export const newsKinds: readonly NewsKind[] = ['failed', 'still-failing', 'fixed'];

export interface RunAtCommit {
  readonly run: RunId;
  readonly commit: CommitId;
}

/** Since when a branch fails. */
export interface Failing {
  /** The first run that failed, of those that failed one after the other. */
  readonly since: RunAtCommit;
  /** Absent: no run of the branch was ever green. */
  readonly lastGreen?: RunAtCommit;
}

/** What a project looks like from outside: `gantry projects show --json`. */
export interface ProjectView extends Project {
  readonly refs: number;
  readonly head: string | null;
  /** A sentence when the repository cannot be read now. */
  readonly trouble: string | null;
  readonly fetchCredential: string | null;
  readonly pushCredential: string | null;
  readonly branches: readonly { readonly branch: string; readonly status: string; readonly run: RunId }[];
}
