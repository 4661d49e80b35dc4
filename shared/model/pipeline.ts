/** A compiled pipeline: text, matrix and defaults are gone; every value is complete. See `coordinator/pipeline`. */
import type { Force } from './deployment.js';
import type { AttemptRef, CommitId, ProjectId, RunId, Sha256 } from './ids.js';
import type { NewsKind } from './project.js';

/** A secret of the project as a step sees it: the variable, and the secret's name. */
export interface SecretUse {
  readonly variable: string;
  readonly secret: string;
}

/** An `if` that is left when the run begins. */
export type Condition =
  /** It does not hold, whatever happens: the stage is skipped at once. */
  | { readonly kind: 'never'; readonly text: string }
  /** It speaks of the stage's needs or says `always()`: looked at when all needs have ended. */
  | {
      readonly kind: 'after-needs';
      /** CEL, as written. */
      readonly text: string;
      /** What was answered when the run was planned, by its text: `changed(["src/**"])`, `branch.matches("^v")`. */
      readonly answers: Readonly<Record<string, boolean>>;
    };

/** Whom a pipeline wants to be told, beside those who caused a run. */
export interface NotifyRules {
  readonly when: readonly NewsKind[];
  readonly mail: readonly string[];
  /** Names of webhooks of the project. */
  readonly webhooks: readonly string[];
}

/** An image to be built from the workspace. */
export interface PlannedBuild {
  /** Directory in the workspace; absent: the workspace itself. No `..`. */
  readonly context?: string;
  /** Within the context. */
  readonly file: string;
  readonly target?: string;
  readonly args: Readonly<Record<string, string>>;
  /** References without digest, each once. */
  readonly tags: readonly string[];
  /** Whether all tags are pushed to their registries. */
  readonly push: boolean;
}

export interface PlannedStep {
  /** From 1 within the stage; the step's id. */
  readonly number: number;
  /** Free text; the command's first line where the author gave none. */
  readonly name: string;
  /** A script for the box's shell; empty where an image is built. */
  readonly run: string;
  /** The step builds an image, and runs nothing. */
  readonly build?: PlannedBuild;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Relative to the workspace; no `..`. */
  readonly workdir?: string;
  /** Beside those of the stage. */
  readonly secrets?: readonly SecretUse[];
  /** Its `if` does not hold in this run. */
  readonly skipped?: true;
}

export interface PlannedService {
  readonly name: string;
  readonly image: string;
  readonly env: Readonly<Record<string, string>>;
  /** Run in the service each 200 ms until it exits 0, at most 60 s. Absent: running is ready. */
  readonly ready?: string;
  readonly command?: readonly string[];
}

export interface PlannedArtifact {
  /** From 1 within the stage; part of its key in storage. */
  readonly number: number;
  readonly name: string;
  /** Globs relative to the workspace. */
  readonly paths: readonly string[];
  readonly when: 'success' | 'failure' | 'always';
  readonly optional: boolean;
}

export interface PlannedStage {
  /** From 1, in the order of the file, cells of a matrix in order. */
  readonly number: number;
  /** As written: `test`. */
  readonly name: string;
  /** The cell's values; empty without a matrix. Shown as `test (python=3.12)`. */
  readonly cell: Readonly<Record<string, string>>;
  /** Numbers of the stages that must succeed first. */
  readonly needs: readonly number[];
  /** Absent: runs on an agent with a host executor. */
  readonly image?: string;
  readonly user?: string;
  /** Labels an agent must offer, `key=value` or a bare word; sorted, unique. */
  readonly labels: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly services: readonly PlannedService[];
  readonly timeoutMs: number;
  readonly allowFailure: boolean;
  /** How often the stage is tried when the failure is ours. */
  readonly maxAttempts: number;
  readonly steps: readonly PlannedStep[];
  readonly artifacts: readonly PlannedArtifact[];
  /** Variables of all steps. */
  readonly secrets?: readonly SecretUse[];
  readonly condition?: Condition;
  /** Where it deploys to. */
  readonly environment?: string;
  /** Commands that say whether the deployment is good; only with `environment`. */
  readonly verify?: readonly string[];
  /** Artifacts of other runs' stages that arrive in the workspace beside those of `needs`. */
  readonly inputs?: readonly StageInput[];
}

/** What an accepted attempt of another run left. */
export interface StageInput {
  /** Unique among the inputs and needs of a stage: the number that the stage had as a need. */
  readonly stage: number;
  readonly title: string;
  readonly from: AttemptRef;
  readonly manifest: { readonly sha256: Sha256; readonly bytes: number };
}

/** Where the code of a run comes from. */
export type Source =
  | {
      readonly kind: 'git';
      /** Normalized, without credentials. */
      readonly url: string;
      readonly commit: CommitId;
      /** The branch or tag it was found on, if known: fetched so that the step sees it. */
      readonly ref?: string;
    }
  /** A tree sent by hand: `sources/<digest>.bundle` in storage. */
  | {
      readonly kind: 'bundle';
      readonly digest: Sha256;
      readonly bytes: number;
      readonly commit: CommitId;
      /** Commits whose parents are not in the bundle; written to `.git/shallow` before fetching. */
      readonly shallow: readonly CommitId[];
    };

export type Trust = 'branch' | 'submit' | 'change' | 'fork';
export type TriggerKind = 'push' | 'change' | 'gate' | 'tag' | 'schedule' | 'manual' | 'submit';

/** What is known about a run from its start: shown in lists, given to steps as `GANTRY_*`. */
export interface RunFacts {
  readonly event: TriggerKind;
  readonly trust: Trust;
  readonly project: ProjectId;
  /** Normalized URL of `origin`, else the directory: what people recognise. */
  readonly projectName: string;
  /** Where the code comes from. */
  readonly branch?: string;
  /** Of a change or a gate run: the branch it is for. */
  readonly target?: string;
  readonly tag?: string;
  readonly commit: CommitId;
  /** Of a push: where the ref was before. Absent when it was new. */
  readonly before?: CommitId;
  /** For a submitted tree: the commit it was made from, if there was one. */
  readonly baseCommit?: CommitId;
  /** First line of the commit message, at most 200 characters. */
  readonly title: string;
  readonly author?: string;
  /** The commit's whole message, at most 2,000 characters. */
  readonly message?: string;
  /** Who asked for the run: a user's name; of a push, whoever pushed as far as it is known, else its author. */
  readonly by: string;
  /** `by` is the name that the commit's author gave themselves, which may be anybody's: a poll sees nobody push. */
  readonly byAuthor?: true;
  /**
   * Whether its stages get the secrets that they name: derived by the coordinator, from where the commit was found or
   * from the rights of whoever submitted.
   */
  readonly maySeeSecrets?: boolean;
  readonly inputs: Readonly<Record<string, string>>;
  /** Somebody vouches for what its deployments deploy. */
  readonly force?: Force;
  /** It is the verify of a deployment. */
  readonly verifies?: Verifies;
}

/** Which verification of which deployment of an environment of the run's project a run is. */
export interface Verifies {
  readonly environment: string;
  readonly deployment: number;
  /** That of the deployment: an environment that is removed and added again numbers its deployments anew. */
  readonly run: RunId;
  readonly verification: number;
}

/** One run's compiled pipeline, kept in the plan store until the run has left the state. */
export interface Plan {
  readonly v: 1;
  readonly run: RunId;
  readonly facts: RunFacts;
  readonly source: Source;
  readonly stages: readonly PlannedStage[];
  /** The pipeline's text as it was compiled. */
  readonly pipelineText: string;
  readonly notify?: NotifyRules;
}

/** `test`, or `test (python=3.12, os=linux)` for a cell of a matrix. */
export function stageTitle(stage: Pick<PlannedStage, 'name' | 'cell'>): string {
  const cell = Object.entries(stage.cell);
  return cell.length === 0
    ? stage.name
    : `${stage.name} (${cell.map(([key, value]) => `${key}=${value}`).join(', ')})`;
}
