/** Whether an agent holds what it speaks about. A token number alone proves nothing: the caller must be the holder. */
import type { AgentId, AttemptRef, Token } from '../../shared/model/ids.js';
import { findAttempt, findStage, acceptedAttempt } from '../scheduler/state.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

export interface Lease {
  readonly ref: AttemptRef;
  readonly token: Token;
  /** The attempt whose artifacts a needed stage brings, by the need's number. */
  readonly needs: ReadonlyMap<number, AttemptRef>;
  /** It has reported its end: only its logs may still be stored. */
  readonly finished: boolean;
}

/** Throws forbidden unless the agent holds this attempt under this token and no newer one was leased. */
export async function checkLease(
  services: Pick<Services, 'coordinator'>,
  agent: AgentId,
  ref: AttemptRef,
  token: Token,
): Promise<Lease> {
  const lease = await services.coordinator.read(({ state }): Lease | undefined => {
    const attempt = findAttempt(state, ref);
    const stage = findStage(state, ref.run, ref.stage);
    if (attempt === undefined || stage === undefined) return undefined;
    if (attempt.agent !== agent || attempt.token !== token) return undefined;
    // Taken over: it was leased in another run, and this one may be given what that was not.
    if (attempt.from !== undefined) return undefined;
    if (stage.attempts.at(-1) !== attempt || attempt.phase.kind === 'lost') return undefined;
    const needs = new Map<number, AttemptRef>();
    for (const need of stage.needs) {
      const accepted = acceptedAttempt(need);
      if (accepted !== undefined) {
        const number = need.outline.number;
        needs.set(number, accepted.from ?? { run: ref.run, stage: number, attempt: accepted.number });
      }
    }
    for (const input of stage.outline.inputs ?? []) needs.set(input.stage, input.from);
    return { ref, token, needs, finished: attempt.phase.kind === 'finished' };
  });
  if (lease === undefined) {
    throw new ApiError(
      'forbidden',
      `agent ${agent} does not hold attempt ${ref.run}/${ref.stage}/${ref.attempt} under token ${token}`,
    );
  }
  return lease;
}
