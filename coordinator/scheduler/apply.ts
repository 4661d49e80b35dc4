/**
 * The only function that changes a `State`. It decides nothing and checks nothing: what is in the journal has
 * happened. It is deterministic in its arguments, so that every replay comes to the same state.
 */
import type { Entry, Event } from '../../shared/model/event.js';
import {
  applyBranch,
  applyNews,
  applyNotified,
  applyProjectRemoved,
  applyProjectSet,
  applyRefsMoved,
} from './apply-project.js';
import { applyDelivery } from '../delivery/apply.js';
import { touchStage } from '../delivery/state.js';
import { isDeliveryEvent, type DeliveryEvent } from '../../shared/model/environment.js';
import { applyGate } from '../gate/apply.js';
import { applyReport, endLease, settle, startLease } from './apply-report.js';
import { needsOutcome } from './ready.js';
import { newRun } from './new-run.js';
import { findAttempt, findStage, type AttemptState, type StageState, type State } from './state.js';

/** How long the digest of a run that left the state is kept, so that repeating its request gets the same answer. */
export const digestKeptMs = 60 * 60 * 1000;

/** Written by a newer version: whoever reads it cannot know the state, and must neither lead nor serve. */
export class UnknownEvent extends Error {
  readonly kind = 'unknown-event';

  constructor(what: string) {
    super(
      `the journal holds ${what}, which this version does not know: run the version that wrote it, or a newer one`,
    );
    this.name = 'UnknownEvent';
  }
}

/** An entry of a leader that was deposed is void: it changes nothing. Throws `UnknownEvent`. */
export function applyEntry(state: State, entry: Entry): 'applied' | 'void' {
  // The type says 1; what was read says what it says.
  const version: number = entry.v;
  if (version !== 1) throw new UnknownEvent(`an entry of version ${version}`);
  if (entry.epoch < state.epoch) return 'void';
  for (const event of entry.events) apply(state, event, entry.at, entry.epoch);
  return 'applied';
}

/** `at`, `epoch`: of the event's entry. False when the epoch is lower than one seen: the event is void. */
export function apply(state: State, event: Event, at: number, epoch: number): boolean {
  if (epoch < state.epoch) return false;
  state.epoch = epoch;
  state.lastAt = Math.max(state.lastAt, at);
  if (isDeliveryEvent(event)) applyDelivery(state.deliveries, event, at);
  else applyOne(state, event, at);
  return true;
}

function applyOne(state: State, event: Exclude<Event, DeliveryEvent>, at: number): void {
  switch (event.kind) {
    case 'EpochBegan':
      state.epoch = event.epoch;
      state.seed = event.seed;
      break;
    case 'RunAccepted': {
      state.accepted += 1;
      const run = newRun(event, state.accepted, at);
      state.runs.set(run.run, run);
      state.triggers.delete(run.run);
      for (const stage of run.stages) becomeReady(state, stage, at);
      state.touched.runs.add(run);
      break;
    }
    case 'CancelRequested':
      applyCancel(state, event);
      break;
    case 'StageLeased':
      applyLease(state, event, at);
      break;
    case 'LeaseReturned': {
      const attempt = currentAttempt(state, event);
      const stage = attempt?.stage;
      if (attempt === undefined || stage?.phase.kind !== 'leased') break;
      endLease(state, attempt);
      stage.attempts.pop();
      stage.phase = { kind: 'waiting', since: stage.phase.since };
      state.waiting.add(stage);
      break;
    }
    case 'AttemptReported': {
      const attempt = currentAttempt(state, event);
      if (attempt !== undefined) applyReport(state, attempt, event);
      break;
    }
    case 'AttemptLost': {
      const attempt = currentAttempt(state, event);
      if (attempt?.stage.phase.kind !== 'leased' || attempt.stage.phase.attempt !== attempt) break;
      endLease(state, attempt);
      attempt.phase = { kind: 'lost', at, failure: event.failure };
      settle(state, attempt, at);
      break;
    }
    case 'ConditionHeld': {
      const stage = findStage(state, event.run, event.stage);
      if (stage?.phase.kind === 'pending') startWaiting(state, stage, at);
      break;
    }
    case 'StageEnded':
      applyStageEnded(state, event, at);
      break;
    case 'RunEnded': {
      const run = state.runs.get(event.run);
      if (run === undefined) break;
      run.ended = {
        status: event.status,
        at,
        ...(event.failing === undefined ? {} : { failing: event.failing }),
      };
      applyNews(state, run, event, at);
      applyBranch(state, run, event);
      state.touched.runs.add(run);
      break;
    }
    case 'RunRecorded': {
      const run = state.runs.get(event.run);
      if (run === undefined) break;
      state.runs.delete(event.run);
      state.touched.runs.delete(run);
      for (const stage of run.stages) state.touched.stages.delete(stage);
      forgetDigests(state, at);
      state.recorded.set(event.run, { digest: run.digest, at });
      break;
    }
    case 'AgentRegistered': {
      const known = state.agents.get(event.agent);
      state.agents.set(event.agent, {
        agent: event.agent,
        name: event.name,
        instance: event.instance,
        labels: event.labels.toSorted(),
        slots: event.slots,
        projects: event.projects,
        trust: event.trust,
        keyHash: event.keyHash,
        version: event.version,
        joinedBy: event.joinedBy,
        registeredAt: at,
        draining: known?.draining ?? false,
        leases: known?.leases ?? new Set(),
      });
      state.touched.agents.add(event.agent);
      break;
    }
    case 'AgentDraining': {
      const agent = state.agents.get(event.agent);
      if (agent === undefined) break;
      state.agents.set(event.agent, { ...agent, draining: event.draining });
      state.touched.agents.add(event.agent);
      break;
    }
    case 'AgentForgotten':
      state.agents.delete(event.agent);
      state.touched.agents.add(event.agent);
      break;
    case 'ProjectSet':
      applyProjectSet(state, event, at);
      break;
    case 'ProjectRemoved':
      applyProjectRemoved(state, event);
      break;
    case 'RefsMoved':
      applyRefsMoved(state, event, at);
      break;
    case 'TriggerSettled':
      state.triggers.delete(event.run);
      break;
    case 'Notified':
      applyNotified(state, event);
      break;
    case 'NotificationsDone':
      state.outbox.delete(event.run);
      break;
    case 'Audited':
      break;
    case 'GateQueued':
    case 'GateTargetSeen':
    case 'GateMerged':
    case 'GateConflicted':
    case 'GateContained':
    case 'GateRunStarted':
    case 'GateRunEnded':
    case 'GateRebuilt':
    case 'GatePushBegan':
    case 'GatePushFailed':
    case 'GateLeaving':
    case 'GateLanded':
    case 'GateEjected':
    case 'GateAlreadyLanded':
    case 'GateBypassed':
    case 'GatePaused':
    case 'GateResumed':
    case 'GateChoreDone':
      applyGate(state.gates, event, at);
      break;
    default:
      throw new UnknownEvent(`an event of the kind ${JSON.stringify(kindOf(event))}`);
  }
  touchDeployment(state, event);
}

/** What environments see of their deployments' stages is another now. */
function touchDeployment({ deliveries }: State, event: Exclude<Event, DeliveryEvent>): void {
  switch (event.kind) {
    case 'RunAccepted':
    case 'AttemptReported':
    case 'AttemptLost':
    case 'LeaseReturned':
    case 'StageEnded':
    case 'CancelRequested':
    case 'RunRecorded':
      touchStage(deliveries, event);
      break;
    default:
      break;
  }
}

const kindOf = (event: never): unknown => (event as { kind?: unknown }).kind;

/** The attempt that an event is about, if the token says that it is that one and not a later one of its number. */
function currentAttempt(
  state: State,
  event: Extract<Event, { kind: 'LeaseReturned' | 'AttemptReported' | 'AttemptLost' }>,
): AttemptState | undefined {
  const attempt = findAttempt(state, event);
  return attempt?.token === event.token ? attempt : undefined;
}

/** From pending to waiting, when all needs have ended well. A condition is not looked at here: its outcome is an event. */
function becomeReady(state: State, stage: StageState, at: number): void {
  state.touched.stages.add(stage);
  if (stage.phase.kind === 'pending' && needsOutcome(stage).kind === 'met') startWaiting(state, stage, at);
}

function startWaiting(state: State, stage: StageState, at: number): void {
  stage.phase = { kind: 'waiting', since: at };
  state.waiting.add(stage);
  state.touched.stages.add(stage);
}

function applyCancel(state: State, event: Extract<Event, { kind: 'CancelRequested' }>): void {
  const run = state.runs.get(event.run);
  if (run === undefined) return;
  if (event.stage === undefined) run.canceledBy ??= event.by;
  for (const stage of run.stages) {
    if (event.stage !== undefined && stage.outline.number !== event.stage) continue;
    if (stage.phase.kind === 'ended') continue;
    stage.canceledBy ??= event.by;
    state.touched.stages.add(stage);
  }
}

function applyLease(state: State, event: Extract<Event, { kind: 'StageLeased' }>, at: number): void {
  const stage = findStage(state, event.run, event.stage);
  state.token = Math.max(state.token, event.token);
  if (stage?.phase.kind !== 'waiting') return;
  const attempt: AttemptState = {
    stage,
    number: event.attempt,
    agent: event.agent,
    agentName: state.agents.get(event.agent)?.name ?? event.agent,
    token: event.token,
    leasedAt: at,
    startedAt: undefined,
    executor: undefined,
    note: undefined,
    phase: { kind: 'leased' },
    reports: 0,
    steps: [],
  };
  stage.attempts.push(attempt);
  startLease(state, attempt, stage.phase.since);
}

function applyStageEnded(state: State, event: Extract<Event, { kind: 'StageEnded' }>, at: number): void {
  const stage = findStage(state, event.run, event.stage);
  if (stage === undefined || stage.phase.kind === 'ended') return;
  state.waiting.delete(stage);
  stage.phase = {
    kind: 'ended',
    status: event.status,
    at,
    ...(event.failure === undefined ? {} : { failure: event.failure }),
    ...(event.because === undefined ? {} : { because: event.because }),
  };
  stage.run.open -= 1;
  state.touched.stages.add(stage);
  for (const dependant of stage.dependants) becomeReady(state, dependant, at);
  settleStage(state, stage);
  if (stage.run.open === 0) state.touched.runs.add(stage.run);
}

/** Stages that ended before what they need follow it: those with conditions of their own wait for all of them. */
function settleStage(state: State, ended: StageState): void {
  const open = [ended];
  for (let stage = open.pop(); stage !== undefined; stage = open.pop()) {
    const { phase, needs, outline, settled } = stage;
    if (phase.kind !== 'ended' || settled !== undefined) continue;
    if (needs.some((need) => need.settled === undefined)) continue;
    const isFailure = phase.status === 'failed' && !outline.allowFailure;
    stage.settled = { hasFailure: isFailure || needs.some((need) => need.settled?.hasFailure === true) };
    for (const dependant of stage.dependants) state.touched.stages.add(dependant);
    open.push(...stage.dependants);
  }
}

function forgetDigests(state: State, at: number): void {
  for (const [run, { at: recordedAt }] of state.recorded) {
    if (recordedAt + digestKeptMs > at) return;
    state.recorded.delete(run);
  }
}
