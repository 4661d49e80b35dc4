/**
 * Numbered reports of attempts: the last one's number plus one is taken, an older one is confirmed again, a later
 * one makes the leader ask for what is missing. So a report counts once, in order, however often it is sent.
 */
import type { AttemptRef, Token } from '../../shared/model/ids.js';
import type { Command, Handled, Now } from './command.js';
import type { Presence } from './presence.js';
import { findAttempt, type AttemptState, type State } from './state.js';

/**
 * An agent holds a token that this journal never gave out: it was given out by an entry that is gone. A leader
 * must not go on, because it would give the same tokens out again.
 */
export class JournalLostTail extends Error {
  readonly kind = 'journal-lost-tail';
  readonly answer: { readonly kind: 'refused'; readonly message: string };

  constructor(ref: AttemptRef, token: number, greatest: number) {
    const message =
      `attempt ${ref.attempt} of stage ${ref.stage} of run ${ref.run} has token ${token}, but the journal ends at token ${greatest}: ` +
      `it lost its last entries (a store that was put back, or a power failure without replicas). ` +
      `This coordinator stops to lead; put the newest copy of the journal back, or stop all agents and remove their held attempts`;
    super(message);
    this.name = 'JournalLostTail';
    this.answer = { kind: 'refused', message };
  }
}

/** Throws `JournalLostTail`. */
export function checkToken(state: State, ref: AttemptRef, token: Token): void {
  if (token > state.token) throw new JournalLostTail(ref, token, state.token);
}

/** Whether a newer attempt was leased or the stage has ended, so that what this one does no longer counts. */
export function isOvertaken(attempt: AttemptState): boolean {
  return attempt.stage.attempts.at(-1) !== attempt || attempt.stage.phase.kind === 'ended';
}

type ReportCommand = Extract<Command, { kind: 'Report' }>;

export function handleReport(state: State, presence: Presence, command: ReportCommand, now: Now): Handled {
  const { ref, token, n, report, agent, at } = command;
  checkToken(state, ref, token);
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
