/** What `Watch` tells, as a union: one line of `gantry watch --json` each. */
import type { Failure } from '../../../shared/model/failure.js';
import {
  attemptStatuses,
  stageStatuses,
  stepStatuses,
  type AttemptStatus,
  type RunStatus,
  type RunView,
  type StageStatus,
  type StepView,
} from '../../../shared/model/run.js';
import { failureFromWire } from '../../../shared/wire/failure.js';
import type { Failure__Output } from '../../../shared/wire/gen/gantry/v1/Failure.js';
import type { WatchEvent__Output } from '../../../shared/wire/gen/gantry/v1/WatchEvent.js';
import { runFromWire } from '../../../shared/wire/run-view.js';
import { oneOf } from '../../../shared/wire/wire-error.js';

interface Stamp {
  /** The journal's sequence: resume after it. 0 for what is not journaled. */
  readonly sequence: number;
  /** ISO 8601 with milliseconds. */
  readonly at: string;
}
interface OfStage {
  readonly stage: number;
  readonly title: string;
}

export type FollowEvent = Stamp &
  (
    | { readonly kind: 'state'; readonly run: RunView }
    | ({
        readonly kind: 'stage';
        readonly status: StageStatus;
        readonly failure: Failure | null;
        readonly waitingFor: readonly string[];
        readonly whySkipped: string | null;
      } & OfStage)
    | ({
        readonly kind: 'attempt';
        readonly attempt: number;
        readonly status: AttemptStatus;
        readonly agentName: string;
        readonly reason: string | null;
        readonly failure: Failure | null;
      } & OfStage)
    | ({
        readonly kind: 'step';
        readonly attempt: number;
        readonly step: number;
        readonly name: string;
        readonly status: StepView['status'];
        readonly exitCode: number | null;
        readonly durationMs: number;
        readonly failure: Failure | null;
      } & OfStage)
    | ({ readonly kind: 'progress'; readonly activity: string; readonly fraction: number | null } & OfStage)
    | { readonly kind: 'image'; readonly image: string; readonly digest: string }
    | { readonly kind: 'run'; readonly status: RunStatus }
  );

const failure = (message: Failure__Output | null | undefined): Failure | null =>
  message == null ? null : failureFromWire(message);

/** `undefined` for a kind of event that only a newer coordinator knows: the others still say how the run goes. */
export function followEventFromWire(message: WatchEvent__Output): FollowEvent | undefined {
  const stamp: Stamp = { sequence: message.sequence ?? 0, at: message.at ?? '' };
  if (message.state) return { ...stamp, kind: 'state', run: runFromWire(message.state) };
  if (message.stage) {
    const { stage = 0, title = '', waitingFor = [], whySkipped = '', status } = message.stage;
    return {
      ...stamp,
      kind: 'stage',
      stage,
      title,
      status: oneOf('stage.status', stageStatuses, status),
      failure: failure(message.stage.failure),
      waitingFor,
      whySkipped: whySkipped === '' ? null : whySkipped,
    };
  }
  if (message.attempt) {
    const { stage = 0, title = '', attempt = 0, agentName = '', reason = '', status } = message.attempt;
    return {
      ...stamp,
      kind: 'attempt',
      stage,
      title,
      attempt,
      status: oneOf('attempt.status', attemptStatuses, status),
      agentName,
      reason: reason === '' ? null : reason,
      failure: failure(message.attempt.failure),
    };
  }
  if (message.step) {
    const {
      stage = 0,
      title = '',
      attempt = 0,
      step = 0,
      name = '',
      exitCode,
      durationMs = 0,
    } = message.step;
    return {
      ...stamp,
      kind: 'step',
      stage,
      title,
      attempt,
      step,
      name,
      status: oneOf('step.status', stepStatuses, message.step.status),
      exitCode: exitCode ?? null,
      durationMs,
      failure: failure(message.step.failure),
    };
  }
  if (message.progress) {
    const { stage = 0, title = '', activity = '', fraction } = message.progress;
    return { ...stamp, kind: 'progress', stage, title, activity, fraction: fraction ?? null };
  }
  if (message.image) {
    return { ...stamp, kind: 'image', image: message.image.image ?? '', digest: message.image.digest ?? '' };
  }
  if (message.run)
    return { ...stamp, kind: 'run', status: oneOf('run.status', stageStatuses, message.run.status) };
  return undefined;
}
