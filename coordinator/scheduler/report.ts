/**
 * Numbered reports of attempts: the last one's number plus one is taken, an older one is confirmed again, a later
 * one makes the leader ask for what is missing. So a report counts once, in order, however often it is sent.
 */
import type { HeldAttempt } from '../../shared/model/agent.js';
import { attemptKey, type AgentId } from '../../shared/model/ids.js';
import type { Command, Handled, Now } from './command.js';
import type { Presence } from './presence.js';
import { findAttempt, type AttemptState, type State } from './state.js';

/**
 * An agent says that it holds a token which this journal never gave out. If it can prove that, the token was given out by
 * an entry that is gone, and a leader must not go on: it would give the same tokens out again. Whether the claim's proof
 * is genuine takes the installation's key, so the loop asks, and refuses what is not.
 */
export class JournalLostTail extends Error {
  override readonly name = 'JournalLostTail';

  constructor(
    readonly agent: AgentId,
    readonly claim: HeldAttempt,
    greatest: number,
  ) {
    super(
      `attempt ${claim.attempt} of stage ${claim.stage} of run ${claim.run} has token ${claim.token}, but the journal ends at token ${greatest}: ` +
        `it lost its last entries (a store that was put back, or a power failure without replicas). ` +
        `This coordinator stops to lead; put the newest copy of the journal back, or stop all agents and remove their held attempts`,
    );
  }
}

/** What the agent is told whose claim is not proven. */
export const notGivenOut = (agent: AgentId, claim: HeldAttempt): string =>
  `agent ${agent} was never leased attempt ${attemptKey(claim)} under token ${claim.token}`;

/** Throws `JournalLostTail`. */
export function checkHeld(state: State, agent: AgentId, held: HeldAttempt): void {
  if (held.token > state.token) throw new JournalLostTail(agent, held, state.token);
}

/** Whether a newer attempt was leased or the stage has ended, so that what this one does no longer counts. */
export function isOvertaken(attempt: AttemptState): boolean {
  return attempt.stage.attempts.at(-1) !== attempt || attempt.stage.phase.kind === 'ended';
}

type ReportCommand = Extract<Command, { kind: 'Report' }>;

export function handleReport(state: State, presence: Presence, command: ReportCommand, now: Now): Handled {
  const { ref, token, n, report, agent, at } = command;
  // Reports carry no proof: should the journal have lost the lease, the agent's next heartbeat says so with one. Until then
  // the attempt must not be called overtaken, or the agent would drop it, and the only witness with it.
  if (token > state.token) {
    return { events: [], answer: { kind: 'refused', message: notGivenOut(agent, { ...ref, token }) } };
  }
  if (!state.runs.has(ref.run)) {
    return report.kind === 'LogsArchived'
      ? { events: [], answer: { kind: 'reported', n } }
      : overtaken(`run ${ref.run} has ended`);
  }
  const attempt = findAttempt(state, ref);
  if (attempt?.token !== token) {
    return overtaken(`token ${token} is not that of attempt ${ref.attempt} of stage ${ref.stage}`);
  }
  if (attempt.agent !== agent) {
    return {
      events: [],
      answer: { kind: 'refused', message: `agent ${agent} does not hold attempt ${ref.attempt}` },
    };
  }
  const { kind } = attempt.phase;
  if (kind !== 'finished' && isOvertaken(attempt)) {
    return overtaken(
      attempt.stage.phase.kind === 'ended'
        ? `stage ${ref.stage} has ended`
        : `attempt ${attempt.stage.attempts.length} of stage ${ref.stage} has been leased`,
    );
  }
  const seen = presence.agents.get(agent);
  if (seen !== undefined) seen.lastHeardMs = now.monotonicMs;
  if (n <= attempt.reports) return { events: [], answer: { kind: 'reported', n: attempt.reports } };
  if (n > attempt.reports + 1)
    return { events: [], answer: { kind: 'report-wanted', n: attempt.reports + 1 } };
  if ((kind === 'finished') !== (report.kind === 'LogsArchived')) {
    return {
      events: [],
      answer: {
        kind: 'refused',
        message: `${report.kind} cannot be report ${n} of an attempt that has ${kind === 'finished' ? '' : 'not '}ended`,
      },
    };
  }
  const { run, stage, attempt: number } = ref;
  // The agent states an age; whatever it states, nothing happened before the lease or after now.
  const happenedAt = Math.min(now.wallMs, Math.max(attempt.leasedAt, at));
  return {
    events: [{ kind: 'AttemptReported', run, stage, attempt: number, token, n, at: happenedAt, report }],
    answer: { kind: 'reported', n },
  };
}

const overtaken = (reason: string): Handled => ({ events: [], answer: { kind: 'overtaken', reason } });
