/**
 * A request from outside becomes events, or a refusal. What it returns has been applied to the state; see
 * `decide.ts` for the turn it is part of.
 */
import type { Event } from '../../shared/model/event.js';
import type { RunId } from '../../shared/model/ids.js';
import { apply } from './apply.js';
import { isRunWanted } from '../gate/state.js';
import type { Answer, Command, Handled, Now } from './command.js';
import { handleDeliveryCommand, orderFor, returnLate } from './deliveries.js';
import { handleGateCommand } from './gates.js';
import {
  notificationsDone,
  notified,
  removeProject,
  reportMoves,
  setProject,
  settleTrigger,
  superseded,
} from './handle-project.js';
import { handleAssignAnswered, handleHeartbeat, handleLink } from './hear.js';
import type { Presence } from './presence.js';
import { whyNotRunnable } from './ready.js';
import { handleReport } from './report.js';
import { findStage, stageOf, type AgentState, type State } from './state.js';

export { JournalLostTail, notGivenOut } from './report.js';

const done: Answer = { kind: 'done' };

/** Throws `JournalLostTail`, having changed nothing: if its claim is genuine, the caller must stop to lead. */
export function handle(state: State, presence: Presence, command: Command, now: Now): Handled {
  // The gate and delivery apply what they decide themselves.
  if (command.kind === 'Gate') return handleGateCommand(state, presence, command, now);
  if (command.kind === 'Delivery') return handleDeliveryCommand(state, presence, command.command, now);
  const handled = respond(state, presence, command, now);
  for (const event of handled.events) apply(state, event, now.wallMs, state.epoch);
  // Whose stage has no use for it, its environment may have.
  if (command.kind !== 'Report' || handled.answer.kind !== 'overtaken') return handled;
  return { ...handled, events: returnLate(state, presence, command, now) };
}

function respond(
  state: State,
  presence: Presence,
  command: Exclude<Command, { kind: 'Gate' | 'Delivery' }>,
  now: Now,
): Handled {
  switch (command.kind) {
    case 'Submit':
      return submit(state, command);
    case 'Cancel':
      return cancel(state, command);
    case 'RegisterAgent':
      return register(state, presence, command, now);
    case 'DrainAgent':
      return drain(state, command);
    case 'Report':
      return handleReport(state, presence, command, now);
    case 'AssignAnswered':
      return handleAssignAnswered(state, presence, command, now);
    case 'HeartbeatSeen':
      return answer(handleHeartbeat(state, presence, command.heartbeat, now));
    case 'LinkChanged':
      return answer(handleLink(state, presence, command, now));
    case 'RunStored':
      return stored(state, presence, command.run);
    case 'SetProject':
      return setProject(state, command);
    case 'RemoveProject':
      return removeProject(state, command);
    case 'ReportMoves':
      return reportMoves(state, command);
    case 'SettleTrigger':
      return settleTrigger(state, command);
    case 'NotificationSent':
      return notified(state, command);
    case 'NotificationsSettled':
      return notificationsDone(state, command);
    case 'DeploymentImpossible':
      return deploymentImpossible(state, command);
    case 'Audit':
      return accept({ ...command, kind: 'Audited' });
  }
}

/** It is for a stage that nobody has asked a deployment for. */
function deploymentImpossible(
  state: State,
  command: Extract<Command, { kind: 'DeploymentImpossible' }>,
): Handled {
  const { run, stage: number, message } = command;
  const stage = findStage(state, run, number);
  if (stage?.phase.kind !== 'waiting' || orderFor(state, stage).kind !== 'request') return answer(done);
  return accept({
    kind: 'StageEnded',
    run,
    stage: number,
    status: 'failed',
    failure: { kind: 'not-deployed', message },
  });
}

const answer = (given: Answer): Handled => ({ events: [], answer: given });

const accept = (event: Event, given: Answer = done): Handled => ({ events: [event], answer: given });

function submit(state: State, command: Extract<Command, { kind: 'Submit' }>): Handled {
  const { run, digest, facts, stages, retryOf, failure, taken } = command;
  const known = state.runs.get(run) ?? state.recorded.get(run);
  if (known !== undefined) {
    return known.digest === digest
      ? answer({ kind: 'accepted', run, again: true })
      : refuse(`run ${run} was accepted with other content: give a different request a run id of its own`);
  }
  // Its entry left while the run was prepared. Only the loop can say so for certain.
  if (facts.event === 'gate' && !isRunWanted(state.gates, run)) {
    return refuse(
      `run ${run} was not accepted: no entry of a gate waits for it (any more); \`gantry land\` queues the change again`,
    );
  }
  const problem = failure === undefined ? whyNotRunnable(stages) : undefined;
  if (problem !== undefined) return refuse(`run ${run} was not accepted: ${problem}`);
  const accepted: Event = {
    kind: 'RunAccepted',
    run,
    digest,
    facts,
    stages: failure === undefined ? stages : [],
    ...(retryOf === undefined ? {} : { retryOf }),
    ...(failure === undefined ? {} : { failure }),
    ...(taken === undefined || failure !== undefined ? {} : { taken }),
  };
  return {
    events: [accepted, ...superseded(state, { run, facts, retryOf })],
    answer: { kind: 'accepted', run, again: false },
  };
}

function cancel(state: State, command: Extract<Command, { kind: 'Cancel' }>): Handled {
  const run = state.runs.get(command.run);
  if (run === undefined) {
    return state.recorded.has(command.run)
      ? refuse(`run ${command.run} has ended`)
      : answer({ kind: 'not-found', message: `no run ${command.run}` });
  }
  const event = { kind: 'CancelRequested', run: command.run, by: command.by } as const;
  if (command.stage === undefined) {
    if (run.ended !== undefined || run.open === 0) return refuse(`run ${command.run} has ended`);
    return run.canceledBy === undefined ? accept(event) : answer(done);
  }
  const stage = stageOf(run, command.stage);
  if (stage === undefined) {
    return answer({ kind: 'not-found', message: `run ${command.run} has no stage ${command.stage}` });
  }
  if (stage.canceledBy !== undefined) return answer(done);
  if (stage.phase.kind === 'ended') {
    return refuse(`stage ${stage.outline.name} of run ${command.run} has ended as ${stage.phase.status}`);
  }
  return accept({ ...event, stage: command.stage });
}

function register(
  state: State,
  presence: Presence,
  command: Extract<Command, { kind: 'RegisterAgent' }>,
  now: Now,
): Handled {
  const known = state.agents.get(command.agent);
  if (known !== undefined && isSame(known, command)) return answer(done);
  const seen = presence.agents.get(command.agent);
  if (seen !== undefined) {
    // What the older instance said about itself does not hold for this one, whose silence begins now.
    seen.beat = undefined;
    seen.isBeatNew = false;
    seen.isLinked = false;
    seen.linkDownSinceMs = undefined;
    seen.strangers = 0;
    seen.drainSent = false;
    seen.lastHeardMs = now.monotonicMs;
  }
  return accept({ ...command, kind: 'AgentRegistered' });
}

/** The same registration, sent again because its answer was lost. */
function isSame(known: AgentState, command: Extract<Command, { kind: 'RegisterAgent' }>): boolean {
  const content = (one: Omit<typeof command, 'kind'>): string =>
    JSON.stringify([
      one.instance,
      one.keyHash,
      one.name,
      one.labels.toSorted(),
      one.slots,
      one.projects,
      one.trust,
      one.version,
    ]);
  return content(known) === content(command);
}

function drain(state: State, command: Extract<Command, { kind: 'DrainAgent' }>): Handled {
  const known = state.agents.get(command.agent);
  if (known === undefined) return answer({ kind: 'not-found', message: `no agent ${command.agent}` });
  if (known.draining === command.draining) return answer(done);
  const { agent, draining, by } = command;
  return accept({ kind: 'AgentDraining', agent, draining, by });
}

/** The record is where it stays, so the run may leave the state. */
function stored(state: State, presence: Presence, run: RunId): Handled {
  const known = state.runs.get(run);
  if (known === undefined) return answer(done);
  if (known.ended === undefined) return refuse(`run ${run} has not ended, so its record cannot be whole`);
  presence.runTimers.delete(run);
  presence.records.delete(run);
  return accept({ kind: 'RunRecorded', run });
}

const refuse = (message: string): Handled => answer({ kind: 'refused', message });
