/**
 * Everything that can go wrong with a stage, as one union. *The step failed*, *it was canceled* and *we failed* are
 * three different things: `whose` says which, and `retried` whether Gantry tries again by itself.
 */
export type Failure =
  | { readonly kind: 'exit-code'; readonly step: number; readonly exitCode: number }
  | { readonly kind: 'timed-out'; readonly step?: number; readonly limitMs: number }
  | { readonly kind: 'out-of-memory'; readonly step: number; readonly limitBytes?: number }
  | { readonly kind: 'canceled'; readonly by: string }
  /** The step wrote more log than the agent accepts. */
  | { readonly kind: 'log-limit'; readonly step: number; readonly limitBytes: number }
  | { readonly kind: 'invalid-pipeline'; readonly message: string }
  /** The commit, the repository or the credentials: git's own words are in `message`. */
  | { readonly kind: 'checkout-failed'; readonly message: string; readonly transient: boolean }
  /** `transient`: the registry was away; otherwise no such image or no access. */
  | {
      readonly kind: 'image-unavailable';
      readonly image: string;
      readonly message: string;
      readonly transient: boolean;
    }
  /** An image could not be built: the Dockerfile or the context. A command of it that fails is `exit-code`. */
  | { readonly kind: 'build-failed'; readonly step: number; readonly message: string }
  | { readonly kind: 'service-failed'; readonly service: string; readonly message: string }
  /** A pattern matched nothing and the artifact is not optional. */
  | { readonly kind: 'artifact-missing'; readonly artifact: string; readonly pattern: string }
  /** A path or link that leaves the workspace, something that is not a file, or a file that changed while packed. */
  | { readonly kind: 'artifact-refused'; readonly artifact: string; readonly message: string }
  /** Two needed stages bring the same path. */
  | { readonly kind: 'artifact-conflict'; readonly path: string; readonly message: string }
  /** A secret that the stage names: there is none, or this run may not see it. */
  | { readonly kind: 'secret-unavailable'; readonly secret: string; readonly message: string }
  | { readonly kind: 'agent-lost'; readonly agent: string; readonly message: string }
  | { readonly kind: 'agent-stopped'; readonly agent: string }
  | { readonly kind: 'storage-unavailable'; readonly message: string }
  | { readonly kind: 'disk-full'; readonly agent: string; readonly message: string }
  /** The container or its supervisor ended under the step, or the executor's daemon is away. */
  | { readonly kind: 'box-broken'; readonly message: string }
  /** The stage's environment did not take it, or it did not come out well there; `message` is a sentence. */
  | { readonly kind: 'not-deployed'; readonly message: string }
  /** No agent offered the labels for seven days. */
  | { readonly kind: 'no-agent'; readonly message: string }
  | { readonly kind: 'internal'; readonly message: string };

export type FailureKind = Failure['kind'];

/** Whose failure it is. `theirs`: of the change or its pipeline; `ours`: of Gantry and its machines. */
export type Blame = 'theirs' | 'canceled' | 'ours';

export function blameOf(failure: Failure): Blame {
  switch (failure.kind) {
    case 'exit-code':
    case 'timed-out':
    case 'out-of-memory':
    case 'log-limit':
    case 'invalid-pipeline':
    case 'build-failed':
    case 'service-failed':
    case 'artifact-missing':
    case 'artifact-refused':
    case 'artifact-conflict':
    case 'secret-unavailable':
    case 'not-deployed':
      return 'theirs';
    case 'checkout-failed':
    case 'image-unavailable':
      return failure.transient ? 'ours' : 'theirs';
    case 'canceled':
      return 'canceled';
    case 'agent-lost':
    case 'agent-stopped':
    case 'storage-unavailable':
    case 'disk-full':
    case 'box-broken':
    case 'no-agent':
    case 'internal':
      return 'ours';
  }
}

/** Whether the stage gets another attempt by itself (up to its `maxAttempts`). */
export function isRetried(failure: Failure): boolean {
  return blameOf(failure) === 'ours' && failure.kind !== 'no-agent';
}

const seconds = (ms: number): string =>
  ms % 60_000 === 0 && ms > 0 ? `${ms / 60_000} min` : `${ms / 1000} s`;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;

/** One sentence for people: what happened, and where it helps, what to do. */
export function describeFailure(failure: Failure): string {
  switch (failure.kind) {
    case 'exit-code':
      return `step ${failure.step} exited with code ${failure.exitCode}`;
    case 'timed-out':
      return failure.step === undefined
        ? `the stage ran longer than ${seconds(failure.limitMs)} (raise \`timeout\` of the stage if it needs more)`
        : `step ${failure.step} ran longer than ${seconds(failure.limitMs)} (raise its \`timeout\` if it needs more)`;
    case 'out-of-memory':
      return `step ${failure.step} was killed for using more memory than ${failure.limitBytes === undefined ? 'its limit' : mebibytes(failure.limitBytes)}`;
    case 'canceled':
      return `canceled by ${failure.by}`;
    case 'log-limit':
      return `step ${failure.step} wrote more than ${mebibytes(failure.limitBytes)} of output and was stopped`;
    case 'artifact-missing':
      return `artifact ${failure.artifact}: nothing matches ${failure.pattern} (write \`optional: true\` if that is right)`;
    case 'artifact-refused':
      return `artifact ${failure.artifact}: ${failure.message}`;
    case 'artifact-conflict':
      return `${failure.path}: ${failure.message}`;
    case 'service-failed':
      return `service ${failure.service}: ${failure.message}`;
    case 'image-unavailable':
      return `image ${failure.image}: ${failure.message}`;
    case 'build-failed':
      return `step ${failure.step} could not build its image: ${failure.message}`;
    case 'secret-unavailable':
      return `secret ${failure.secret}: ${failure.message}`;
    case 'agent-lost':
      return `agent ${failure.agent} was lost: ${failure.message}`;
    case 'agent-stopped':
      return `agent ${failure.agent} was stopped`;
    case 'disk-full':
      return `agent ${failure.agent}: ${failure.message}`;
    case 'invalid-pipeline':
    case 'not-deployed':
    case 'checkout-failed':
    case 'storage-unavailable':
    case 'box-broken':
    case 'no-agent':
    case 'internal':
      return failure.message;
  }
}
