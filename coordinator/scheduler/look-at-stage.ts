import { describeFailure } from '../../shared/model/failure.js';
import type { StageOrder } from '../delivery/stage-order.js';
import { lockedSince, orderFor, refOf } from './deliveries.js';
import { backstopMs, inWords, waitingLimitMs, whyAttemptLost } from './expiry.js';
import { expectFrom, type AttemptPresence } from './presence.js';
import { canceledFailure, conditionOutcome, needsOutcome, type ConditionAfterNeeds } from './ready.js';
import { reasonsToWait } from './reasons.js';
import { retryDelayMs, verdictOn } from './retry.js';
import type { AttemptState, StageState } from './state.js';
import type { Turn } from './turn.js';

/** How long the loop may take to say what became of an assignment before it is sent again unasked. */
const answerLimitMs = 10_000;

/** Moves a stage on, and its place in the queue, its assignment and its timers with it. */
export function lookAtStage(turn: Turn, stage: StageState): void {
  const { presence, state } = turn;
  const { project } = stage.run.facts;
  presence.market.setShare(project, state.shares.get(project) ?? 0);
  switch (stage.phase.kind) {
    case 'pending':
      lookAtPending(turn, stage);
      break;
    case 'waiting':
      lookAtWaiting(turn, stage, stage.phase.since);
      break;
    case 'leased':
      presence.market.removeStage(stage);
      lookAtLeased(turn, stage.phase.attempt);
      break;
    case 'settling': {
      presence.market.removeStage(stage);
      if (stage.outline.environment !== undefined && isLeftToDelivery(turn, stage)) break;
      const verdict = verdictOn(stage.phase.attempt);
      if (verdict.kind === 'retry') break;
      const { status, failure } = verdict;
      end(turn, stage, { status, ...(failure === undefined ? {} : { failure }) });
      break;
    }
    case 'ended':
      presence.market.removeStage(stage);
      presence.stageTimers.delete(stage);
      presence.rests.delete(stage);
      presence.described.delete(stage);
      for (const attempt of stage.attempts) presence.attempts.delete(attempt);
      break;
  }
}

type Ending = Omit<Extract<Turn['events'][number], { kind: 'StageEnded' }>, 'kind' | 'run' | 'stage'>;

function end(turn: Turn, stage: StageState, ending: Ending): void {
  turn.emit({ kind: 'StageEnded', run: stage.run.run, stage: stage.outline.number, ...ending });
}

function lookAtPending(turn: Turn, stage: StageState): void {
  if (stage.canceledBy !== undefined) {
    end(turn, stage, { status: 'canceled', failure: canceledFailure(stage.canceledBy) });
    return;
  }
  const outcome = needsOutcome(stage);
  switch (outcome.kind) {
    case 'unmet':
      end(turn, stage, { status: 'skipped', because: outcome.need.outline.number });
      break;
    case 'never':
      end(turn, stage, { status: 'skipped' });
      break;
    case 'asks':
      askCondition(turn, stage, outcome.condition);
      break;
    case 'met':
    case 'open':
      break;
  }
}

/** Once: what comes of it is in the journal, and the stage is pending no more. */
function askCondition(turn: Turn, stage: StageState, condition: ConditionAfterNeeds): void {
  const outcome = conditionOutcome(stage, condition);
  switch (outcome.kind) {
    case 'holds':
      turn.emit({ kind: 'ConditionHeld', run: stage.run.run, stage: stage.outline.number });
      break;
    case 'holds-not':
      end(turn, stage, { status: 'skipped' });
      break;
    case 'invalid':
      end(turn, stage, {
        status: 'failed',
        failure: { kind: 'invalid-pipeline', message: outcome.message },
      });
      break;
  }
}

/** A stage that deploys: whether it is delivery's to say when it may go on. What delivery has ended is ended. */
function isLeftToDelivery(turn: Turn, stage: StageState): boolean {
  const { state, presence } = turn;
  const order = orderFor(state, stage);
  switch (order.kind) {
    case 'request':
      // That of one that has begun is not known any more: its project is gone.
      if (stage.phase.kind !== 'waiting' || stage.canceledBy !== undefined) return false;
      if (!presence.described.has(stage)) {
        presence.described.add(stage);
        turn.perform({ kind: 'DescribeDeployment', ...refOf(stage) });
      }
      return true;
    case 'wait':
    case 'leave':
      return true;
    case 'start':
      // Its attempt has started, which delivery is about to see: then it is delivery's to say how it ended.
      return stage.phase.kind === 'settling' && stage.phase.attempt.startedAt !== undefined;
    case 'end': {
      const { status, reason } = order;
      end(turn, stage, { status, ...failureOfEnd(order, reason) });
      return true;
    }
  }
}

function failureOfEnd(
  { status, failure }: Extract<StageOrder, { kind: 'end' }>,
  reason: string,
): Pick<Ending, 'failure'> {
  if (status === 'succeeded') return {};
  if (failure !== undefined) return { failure };
  return {
    failure: status === 'canceled' ? canceledFailure(reason) : { kind: 'not-deployed', message: reason },
  };
}

function lookAtWaiting(turn: Turn, stage: StageState, since: number): void {
  const { state, presence, now } = turn;
  if (stage.outline.environment !== undefined && isLeftToDelivery(turn, stage)) {
    presence.market.removeStage(stage);
    return;
  }
  if (stage.canceledBy !== undefined) {
    end(turn, stage, { status: 'canceled', failure: canceledFailure(stage.canceledBy) });
    return;
  }
  if (now.wallMs - (lockedSince(state, stage) ?? since) >= waitingLimitMs) {
    endWithoutAgent(turn, stage);
    return;
  }
  const last = stage.attempts.at(-1);
  for (const attempt of stage.attempts) presence.attempts.delete(attempt);
  let rest = presence.rests.get(stage);
  if (last !== undefined && stage.attempts.length > (rest?.attempts ?? 0)) {
    const attempts = stage.attempts.length;
    const seed = `${state.seed}/${stage.run.run}/${stage.outline.number}/${attempts}`;
    rest = {
      untilMs: now.monotonicMs + retryDelayMs(attempts, seed),
      attempts,
      refusals: 0,
      reason: reasonOf(last),
    };
    presence.rests.set(stage, rest);
  }
  if (rest !== undefined && now.monotonicMs < rest.untilMs) {
    presence.market.removeStage(stage);
    presence.stageTimers.set(stage, rest.untilMs);
  } else if (last !== undefined && presence.agents.get(last.agent)?.claims.has(stage) === true) {
    presence.market.removeStage(stage);
  } else {
    presence.market.addStage(stage, state.shares.get(stage.run.facts.project) ?? 0);
  }
}

function reasonOf({ phase }: AttemptState): string {
  if (phase.kind === 'leased' || phase.kind === 'running' || phase.failure === undefined) return 'it failed';
  return describeFailure(phase.failure);
}

/** Stages that waited too long: the first of the waiting ones is looked at, which costs nothing while it is young. */
export function endUnwanted(turn: Turn): void {
  for (const stage of turn.state.waiting) {
    if (turn.isFull || stage.phase.kind !== 'waiting') return;
    if (turn.now.wallMs - stage.phase.since < waitingLimitMs) return;
    if (stage.outline.environment !== undefined) {
      // While it waits for its environment, the patience is delivery's; an agent has as long as for any other stage.
      const since = lockedSince(turn.state, stage);
      if (since === undefined || turn.now.wallMs - since < waitingLimitMs) continue;
    }
    turn.look();
    endWithoutAgent(turn, stage);
  }
}

function endWithoutAgent(turn: Turn, stage: StageState): void {
  const reasons = reasonsToWait(turn.state, turn.presence, stage, turn.now);
  const message = `no agent took it for ${inWords(waitingLimitMs)}: ${reasons.join('; ')}`;
  end(turn, stage, { status: 'failed', failure: { kind: 'no-agent', message } });
}

function lookAtLeased(turn: Turn, attempt: AttemptState): void {
  const { presence, now } = turn;
  const beat = presence.agents.get(attempt.agent)?.beat;
  const sent = presence.attempts.get(attempt) ?? firstSight(turn, attempt);
  if (attempt.phase.kind === 'running' && !sent.accepted) expectFrom(sent, beat);
  const failure = whyAttemptLost(attempt, sent, undefined, now);
  const { stage, number, token, agent } = attempt;
  const name = { run: stage.run.run, stage: stage.outline.number, attempt: number };
  if (failure !== undefined) {
    turn.emit({ kind: 'AttemptLost', ...name, token, failure });
    return;
  }
  if (!sent.accepted && now.monotonicMs >= sent.assignAtMs) {
    sent.assignAtMs = now.monotonicMs + answerLimitMs;
    turn.perform({ kind: 'Assign', agent, ref: name, token });
  }
  if (stage.canceledBy !== undefined && !sent.isEndSent) {
    sent.isEndSent = true;
    turn.perform({ kind: 'EndAttempt', agent, ref: name, token, why: 'canceled', by: stage.canceledBy });
  }
  const backstop = backstopMs(attempt, sent);
  presence.stageTimers.set(stage, sent.accepted ? backstop : Math.min(backstop, sent.assignAtMs));
}

function firstSight({ presence, now }: Turn, attempt: AttemptState): AttemptPresence {
  const sent: AttemptPresence = {
    sinceMs: now.monotonicMs,
    accepted: false,
    instance: undefined,
    baseline: 0,
    missing: 0,
    tries: 0,
    assignAtMs: now.monotonicMs,
    isEndSent: false,
  };
  presence.attempts.set(attempt, sent);
  return sent;
}
