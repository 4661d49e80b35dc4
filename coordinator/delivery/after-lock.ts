/**
 * A deployment that has its environment for itself. Until an attempt has started it can be let go without a trace. From then
 * on only three may say how it came out: its agent by its own report, its verify, or a person.
 */
import type { DeploymentEnd } from '../../shared/model/deployment.js';
import { blameOf, type Failure } from '../../shared/model/failure.js';
import type { AttemptEnd, StageSight } from './command.js';
import { waitingLimitMs, whyGone } from './before-lock.js';
import { hasVerify, isRollback, type Deployment, type DeploymentPhase, type Environment } from './state.js';
import { wait, type Sight, type Step } from './step.js';

type After = Extract<DeploymentPhase, { kind: 'locked' | 'running' | 'verifying' | 'unknown' }>;

export function afterLock(sight: Sight, deployment: Deployment, phase: After): Step {
  const { environment, context } = sight;
  const stage = context.stage(deployment);
  switch (phase.kind) {
    case 'locked':
      return onLocked(deployment, stage);
    case 'running':
      return onRunning(environment, deployment, stage);
    case 'verifying':
      return toBeSettled(sight, deployment, phase);
    case 'unknown':
      return onUnknown(sight, deployment, { phase, stage });
  }
}

function onLocked(deployment: Deployment, stage: StageSight | undefined): Step {
  if (stage === undefined && isRollback(deployment)) return wait({ kind: 'rollback-run' });
  switch (stage?.kind) {
    case 'started':
    case 'lost':
    case 'finished':
      // Also if it has come to an end already: that it began is a fact of its own.
      return { kind: 'begin', attempt: stage.attempt, token: stage.token };
    case 'waiting':
      // A leased one that is canceled may be starting: the scheduler says which.
      return wait({ kind: 'agent' });
    case 'ended':
    case undefined: {
      const end = whyGone(stage);
      return end === undefined ? wait({ kind: 'agent' }) : { kind: 'end', end };
    }
  }
}

function onRunning(environment: Environment, deployment: Deployment, stage: StageSight | undefined): Step {
  switch (stage?.kind) {
    case 'started':
      return wait({ kind: 'runs' });
    case 'finished':
      return stepAfterEnd(environment, deployment, stage.end);
    case 'lost':
      return { kind: 'unknown', cause: { kind: 'agent-lost', message: stage.message } };
    case 'waiting':
    case 'ended':
    case undefined:
      // The scheduler has nothing of an attempt that began. Silence frees nothing.
      return { kind: 'unknown', cause: { kind: 'agent-lost', message: 'its attempt is gone' } };
  }
}

function onUnknown(
  sight: Sight,
  deployment: Deployment,
  {
    phase,
    stage,
  }: { readonly phase: Extract<After, { kind: 'unknown' }>; readonly stage: StageSight | undefined },
): Step {
  if (stage?.kind === 'started') return { kind: 'returned' };
  if (stage?.kind === 'finished') {
    const step = stepAfterEnd(sight.environment, deployment, stage.end);
    // Its agent's last word may be that it does not know either.
    if (step.kind !== 'unknown' || phase.cause.kind === 'agent-lost') return step;
  }
  return toBeSettled(sight, deployment, phase);
}

/** Its verify is asked, if it has one. Its run does not wait for ever, its environment does. */
function toBeSettled({ environment, context }: Sight, deployment: Deployment, { since }: After): Step {
  const untilMs = since + waitingLimitMs;
  const isReleased = deployment.isReleased;
  if (!isReleased && context.now.wallMs >= untilMs) return { kind: 'release-stage' };
  const kind = hasVerify(environment, deployment) ? 'verify' : 'settle';
  return wait({ kind }, isReleased ? undefined : untilMs);
}

/** What an agent's own report of the end says of the environment. */
export function stepAfterEnd(environment: Environment, deployment: Deployment, ended: AttemptEnd): Step {
  const { status, failure, hasBegunSteps, verify } = ended;
  if (status === 'succeeded') {
    if (verify?.kind === 'bad') return end({ kind: 'verify-failed', reason: verify.reason });
    const isVerified = verify?.kind === 'good' || !hasVerify(environment, deployment);
    return isVerified ? end({ kind: 'verified' }) : { kind: 'steps-ended' };
  }
  if (!hasBegunSteps) {
    if (failure?.kind === 'canceled') return end({ kind: 'canceled', by: failure.by });
    return end({ kind: 'failed', isUntouched: true, ...(failure === undefined ? {} : { failure }) });
  }
  return failure !== undefined && status === 'failed' && isOfStep(failure)
    ? end({ kind: 'failed', failure, isUntouched: false })
    : { kind: 'unknown', cause: { kind: 'cut-off', ...(failure === undefined ? {} : { failure }) } };
}

const end = (how: DeploymentEnd): Step => ({ kind: 'end', end: how });

/** A step said itself that it failed. One that was stopped from outside was perhaps nearly done, or in the middle of it. */
const isOfStep = (failure: Failure): boolean =>
  blameOf(failure) === 'theirs' && failure.kind !== 'timed-out' && failure.kind !== 'log-limit';
