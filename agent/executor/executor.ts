/**
 * Runs the steps of one attempt somewhere. `docker-executor.ts` does it in containers, `host-executor.ts` as plain
 * processes; both pass `test/contract/executor.test.ts`.
 *
 * Contract. One box per attempt; in a box one step at a time; boxes run side by side. A step's output (stdout and
 * stderr, in the order written) goes to one regular file that the executor opens before the step starts; that file
 * is the spool: it outlives the agent, and reading on from an offset is all it takes to resume. Every method may be
 * called again after it failed. What an executor throws is an `ExecutorError`, which carries the `Failure` to report.
 * After the attempt's first step its workspace and out directory are hostile: nothing in them is followed or trusted.
 */
import type { Failure } from '../../shared/model/failure.js';
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { PlannedBuild, PlannedService } from '../../shared/model/pipeline.js';
import type { RegistryAccess } from '../../shared/model/registry.js';

export class ExecutorError extends Error {
  constructor(
    readonly failure: Failure,
    options?: ErrorOptions,
  ) {
    super('message' in failure ? failure.message : failure.kind, options);
    this.name = 'ExecutorError';
  }
}

export interface PullProgress {
  readonly activity: string;
  /** 0..1 where the registry says sizes. */
  readonly fraction?: number;
}

/** Directories of an attempt on the agent's disk; made by the caller, 0700, used once. */
export interface SlotDirectories {
  /** The slot itself: `DATA/slots/<run>-<stage>-<attempt>`. The executor may put what it needs below it. */
  readonly root: string;
  readonly workspace: string;
  /** Step logs, exit and pid files; written by the box, so hostile. */
  readonly out: string;
}

export interface BoxSpec {
  readonly ref: AttemptRef;
  readonly token: Token;
  readonly slot: SlotDirectories;
  /** Digest or id from `resolveImage`; absent for the host executor. */
  readonly image?: string;
  /** `user:` of the stage; absent: the image's. */
  readonly user?: string;
  /** Services by name, with resolved images. */
  readonly services: readonly PlannedService[];
  readonly onProgress: (progress: PullProgress) => void;
}

export interface StepCommand {
  readonly number: number;
  readonly run: string;
  /** Whole environment beyond the image's own: run facts, stage, `$GANTRY_ENV`, step; later wins. */
  readonly env: Readonly<Record<string, string>>;
  /** Names in `env` whose values may be in no list of processes and on no disk. */
  readonly secretVariables?: readonly string[];
  /** Relative to the workspace. */
  readonly workdir?: string;
  /** More output than this ends the step with `log-limit`. */
  readonly logLimitBytes: number;
}

export interface BuildCommand {
  readonly number: number;
  readonly build: PlannedBuild;
  /**
   * The context as a tar, made bit by bit while nothing runs in the box; `say` writes a line to the log. What it throws is
   * thrown by the build.
   */
  readonly context: (say: (line: string) => void, signal: AbortSignal) => AsyncIterable<Uint8Array>;
  /** Name of the Dockerfile in it. */
  readonly dockerfile: string;
  readonly registries: () => Promise<RegistryAccess>;
  readonly onProgress: (progress: PullProgress) => void;
  readonly logLimitBytes: number;
}

export interface BuiltImage {
  /** What the image is started by: `name@sha256:…` where it was pushed, else its id. */
  readonly reference: string;
  /** What each of its tags means. */
  readonly tags: readonly { readonly image: string; readonly digest: string }[];
}

export type StepExit =
  /** Ended by itself: `exitCode` 0..255 (128 + n for signal n). */
  | { readonly kind: 'exited'; readonly exitCode: number }
  /** By `terminate`. */
  | { readonly kind: 'terminated' }
  | { readonly kind: 'failed'; readonly failure: Failure };

export interface StepResult {
  readonly exit: StepExit;
  /** Exact length of the step's own output; what a leftover process writes after is not part of it. */
  readonly logBytes: number;
  /** Set when output may be missing (the step killed its own supervisor): a sentence. */
  readonly incomplete?: string;
  /** What the author should know although the step did not fail, a sentence each: lines of `$GANTRY_ENV` not taken. */
  readonly notes?: readonly string[];
  /** Of a build. */
  readonly built?: BuiltImage;
}

/** Reads a step's log. The descriptor was opened before the step began; a file swapped afterwards does not matter. */
export interface StepLog {
  /** Bytes that are certainly the step's own output so far (an end marker is held back). */
  available(): Promise<number>;
  /** Reads at most `buffer.length` bytes at `offset`; 0 when nothing is there yet. Never past `available()`. */
  read(offset: number, buffer: Uint8Array): Promise<number>;
  /** Resolves when more may be there, or after about 50 ms. */
  changed(signal: AbortSignal): Promise<void>;
  /** The open descriptor itself, from which the log is uploaded whole; it stays the log's and is closed by `close`. */
  readonly fd: number;
  close(): Promise<void>;
}

/** What it takes to find a step again after the agent restarted; plain JSON, kept by the caller before the step starts. */
export type StepHandle = Readonly<Record<string, string | number>>;

export interface RunningStep {
  readonly log: StepLog;
  /** Settles once, also after `terminate`; rejects with ExecutorError only when the box is broken. */
  readonly finished: Promise<StepResult>;
  /** TERM to the step's process group, KILL after `graceMs`, then everything that carries the step's marker. Idempotent. */
  terminate(graceMs: number): Promise<void>;
}

/**
 * Builds images beside a box's steps: one at a time, each followed like a step. A build ends with the process that began
 * it, for its daemon's connection does.
 */
export interface ImageBuilder {
  startBuild(command: BuildCommand, handle: StepHandle): Promise<RunningStep>;
  /** After a restart of the agent the build is done anew, what is known of it taken from the daemon's cache; its log goes on. */
  resumeBuild(command: BuildCommand, handle: StepHandle): Promise<RunningStep>;
  /** The log of a build that has ended; undefined when it is gone. */
  openLog(command: BuildCommand, handle: StepHandle): Promise<StepLog | undefined>;
}

export interface Box {
  /** `bash` or `sh`: for `StepStarted`. */
  readonly shell: string;
  /** uid and gid that own the workspace: whoever puts files there before a step hands them over to these. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Where the workspace is inside the box: `/workspace`, or its real path on the host executor. */
  readonly workspacePath: string;
  /** Absent: no images can be built here. */
  readonly builder?: ImageBuilder;
  /** Names the step before it runs, so that the handle can be made durable. No side effects on the box. */
  prepareStep(command: Pick<StepCommand, 'number'>): Promise<StepHandle>;
  startStep(command: StepCommand, handle: StepHandle): Promise<RunningStep>;
  /** After a restart of the agent: the step that was started with this handle, running or ended. */
  resumeStep(command: StepCommand, handle: StepHandle): Promise<RunningStep>;
  /** The `$GANTRY_ENV` assignments the steps so far wrote, later wins; read without following links, at most 1 MiB. */
  readEnv(): Promise<Readonly<Record<string, string>>>;
  /** Nothing in the box runs any more: from here on the workspace does not change under the reader. Irrevocable. */
  freeze(): Promise<void>;
  /** Removes containers, services and networks. Idempotent; works frozen. */
  remove(): Promise<void>;
}

export interface FoundBox {
  readonly ref: AttemptRef;
  readonly token: Token;
}

export interface Executor {
  readonly kind: 'docker' | 'host';
  /** Labels that come by themselves: `executor=docker`, and `images` if stages with an image may run here. */
  readonly labels: readonly string[];
  /** Proves at start that stages can run here; throws with what is missing and the remedy. */
  check(): Promise<void>;
  /**
   * Resolves a reference to what boxes are started from, pulling if needed; pulls of one image at once are one pull.
   * `pinned`: the digest or id the run has already; then exactly that, or `image-unavailable`.
   */
  resolveImage(
    image: string,
    options: {
      readonly pinned?: string;
      /** Asked for only where a registry is. */
      readonly registries: () => Promise<RegistryAccess>;
      readonly onProgress: (progress: PullProgress) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<string>;
  /**
   * What `resolveImage` will probably answer, as it did the last time in this process; asks nobody. A box may be opened from
   * it meanwhile, and no step run in it before `resolveImage` has answered the same.
   */
  likelyImage(image: string, pinned: string | undefined): string | undefined;
  /** Starts box and services (waits until those are ready). Aborting removes what was begun. */
  openBox(spec: BoxSpec, signal: AbortSignal): Promise<Box>;
  /** Boxes of this agent that exist, running or not. */
  findBoxes(): Promise<readonly FoundBox[]>;
  /** Takes over a found box; undefined when it is gone. */
  adoptBox(spec: BoxSpec): Promise<Box | undefined>;
  /** Removes boxes, services and networks of this agent that belong to none of `keep` (by attemptKey). */
  sweep(keep: ReadonlySet<string>): Promise<void>;
  /** Removes files of a finished slot, also those that other users own. */
  removeTree(path: string): Promise<void>;
  /**
   * The agent's process ends. Boxes of an executor that adopts run on for the next one, and `finished` of their steps
   * never settles; others are ended.
   */
  close(): Promise<void>;
}
