/** What the end of an attempt means for its stage: which failure is tried again, how often, and after how long. */
import { isRetried, type Failure } from '../../shared/model/failure.js';
import { canceledFailure } from './ready.js';
import type { AttemptState } from './state.js';

export type Verdict =
  | { readonly kind: 'retry'; readonly failure: Failure }
  | {
      readonly kind: 'end';
      readonly status: 'succeeded' | 'failed' | 'canceled';
      readonly failure?: Failure;
    };

/** Of an attempt that is finished or lost. Depends on the state alone, so that replay comes to the same. */
export function verdictOn(attempt: AttemptState): Verdict {
  const { phase, stage } = attempt;
  switch (phase.kind) {
    case 'leased':
    case 'running':
      throw new Error(`attempt ${attempt.number} of stage ${stage.outline.number} has not ended`);
    case 'lost':
      return onFailure(attempt, phase.failure);
    case 'finished':
      switch (phase.status) {
        case 'succeeded':
          return { kind: 'end', status: 'succeeded' };
        case 'canceled':
          return {
            kind: 'end',
            status: 'canceled',
            failure: phase.failure ?? canceledFailure(stage.canceledBy ?? attempt.agentName),
          };
        case 'failed':
          return phase.failure === undefined
            ? { kind: 'end', status: 'failed' }
            : onFailure(attempt, phase.failure);
      }
  }
}

/** What began to deploy is never begun again: see `../delivery`. */
const hasBegunToDeploy = ({ startedAt, stage }: AttemptState): boolean =>
  startedAt !== undefined && stage.outline.environment !== undefined;

/** A failure of ours under a canceled stage ends it as canceled: nobody waits for the next attempt. */
function onFailure(attempt: AttemptState, failure: Failure): Verdict {
  const { stage } = attempt;
  if (!isRetried(failure) || hasBegunToDeploy(attempt)) return { kind: 'end', status: 'failed', failure };
  if (stage.canceledBy !== undefined) {
    return { kind: 'end', status: 'canceled', failure: canceledFailure(stage.canceledBy) };
  }
  if (stage.attempts.length >= stage.outline.maxAttempts) return { kind: 'end', status: 'failed', failure };
  return { kind: 'retry', failure };
}

const firstRetryMs = 1_000;
const longestRetryMs = 60_000;
/** How long a stage rests before its next attempt: doubling from 1 s to a minute, a quarter of it jitter. */
export const retryDelayMs = (attempts: number, seed: string): number =>
  jittered(doubling(firstRetryMs, longestRetryMs, attempts), seed);

/**
 * How long an agent gets nothing after it refused an assignment, so that refusing is no busy loop; and how long the
 * stage rests, for which no attempt was consumed: short at first, because another agent may take it, then longer than
 * the agent does, so that what waits behind the stage comes before it.
 */
export const refusingAgentDelayMs = 1_000;
export const refusedStageDelayMs = (times: number): number =>
  Math.min(60_000, 250 * 8 ** Math.min(9, times - 1));

/** How long until an unanswered assignment is sent again: from 200 ms to a second. */
export const resendDelayMs = (tries: number): number => doubling(200, 1_000, tries);

/** How long until a record that was not confirmed is asked for again: from 10 s to five minutes. */
export const recordDelayMs = (tries: number): number => doubling(10_000, 300_000, tries);

const doubling = (firstMs: number, mostMs: number, times: number): number =>
  Math.min(mostMs, firstMs * 2 ** Math.min(30, Math.max(0, times - 1)));

/** Between 75 and 100 % of it, decided by the seed: FNV-1a, whose bits are mixed enough to spread retries. */
function jittered(ms: number, seed: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < seed.length; index += 1) {
    hash = Math.imul(hash ^ seed.charCodeAt(index), 0x01000193);
  }
  return Math.round(ms * (0.75 + ((hash >>> 0) / 2 ** 32) * 0.25));
}
