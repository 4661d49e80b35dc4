/** Environments as part of the scheduler's state and turn. What they decide is `../delivery`'s; here is what they see. */
import type { DeliveryEvent } from '../../shared/model/environment.js';
import type { Event } from '../../shared/model/event.js';
import { describeFailure } from '../../shared/model/failure.js';
import type { AttemptEnd, DeliveryContext, StageRef, StageSight } from '../delivery/command.js';
import { decideDelivery } from '../delivery/decide.js';
import { handleDelivery } from '../delivery/handle.js';
import { reasonsOf } from '../delivery/reasons.js';
import { stageOrder, stagesMovedBy, type StageOrder } from '../delivery/stage-order.js';
import { findEnvironment, findOpen, findPlace } from '../delivery/state.js';
import { verifyAnswerOf } from '../delivery/verify-answer.js';
import { enoughWork, PatternList, Work } from '../pipeline/patterns.js';
import type { Command, Handled, Now } from './command.js';
import { freshRunId } from './fresh-id.js';
import type { Presence } from './presence.js';
import { defaultBranchOf } from './project-state.js';
import { findStage, type AttemptState, type RunState, type StageState, type State } from './state.js';
import type { Turn } from './turn.js';

export const deliveryContext = (state: State, now: Now): DeliveryContext => ({
  now,
  stage: (at) => sightOf(state, at),
  matches,
  freshRun: (text) => freshRunId(`${state.seed}/${text}`),
  defaultBranch: (project) => {
    const known = state.projects.get(project);
    return known === undefined ? undefined : defaultBranchOf(known);
  },
  hasProject: (project) => state.projects.has(project),
});

/** What cannot be found out in a bounded time is not allowed. */
function matches(patterns: readonly string[], branch: string): boolean {
  const work = new Work(enoughWork);
  return new PatternList(patterns, 'refs').matches(branch, work) && work.left > 0;
}

/** The attempt that started comes first, whatever became of the stage. */
function sightOf(state: State, at: StageRef): StageSight | undefined {
  const stage = findStage(state, at.run, at.stage);
  if (stage === undefined) return undefined;
  const started = stage.attempts.find(({ startedAt }) => startedAt !== undefined);
  if (started !== undefined) return sightOfStarted(started);
  const { phase, canceledBy } = stage;
  if (phase.kind !== 'ended') return { kind: 'waiting', ...(canceledBy === undefined ? {} : { canceledBy }) };
  const { status, failure } = phase;
  return { kind: 'ended', status, ...(failure === undefined ? {} : { failure }) };
}

function sightOfStarted(attempt: AttemptState): StageSight {
  const { number, token, phase } = attempt;
  const of = { attempt: number, token };
  switch (phase.kind) {
    case 'leased':
    case 'running':
      return { kind: 'started', ...of };
    case 'lost':
      return { kind: 'lost', ...of, message: describeFailure(phase.failure) };
    case 'finished':
      return { kind: 'finished', ...of, end: endOf(phase, attempt.steps.length > 0) };
  }
}

const endOf = (
  { status, failure }: Pick<AttemptEnd, 'status' | 'failure'>,
  hasBegunSteps: boolean,
): AttemptEnd => ({ status, hasBegunSteps, ...(failure === undefined ? {} : { failure }) });

export const orderFor = (state: State, stage: StageState): StageOrder =>
  stageOrder(state.deliveries, refOf(stage));

/** Since when a stage may start that deploys, wall time; undefined: it may not, or deploys nothing. */
export function lockedSince(state: State, stage: StageState): number | undefined {
  const place =
    stage.outline.environment === undefined ? undefined : findPlace(state.deliveries, refOf(stage));
  const phase = place === undefined ? undefined : findOpen(place.environment, place.deployment)?.phase;
  return phase?.kind === 'locked' ? phase.since : undefined;
}

export const refOf = ({ run, outline }: StageState): StageRef => ({ run: run.run, stage: outline.number });

/** What keeps the deployment of a stage from going on; undefined: delivery knows nothing of it. */
export function deploymentReasons(
  state: State,
  presence: Presence,
  stage: StageState,
  now: Now,
): readonly string[] | undefined {
  const place = findPlace(state.deliveries, refOf(stage));
  const deployment = place === undefined ? undefined : findOpen(place.environment, place.deployment);
  if (place === undefined || deployment === undefined) return undefined;
  const context = deliveryContext(state, now);
  const beside = { deliveries: state.deliveries, presence: presence.deliveries, context };
  return reasonsOf(beside, place.environment, deployment);
}

/** Its events have been applied. */
export function handleDeliveryCommand(
  state: State,
  presence: Presence,
  command: Extract<Command, { kind: 'Delivery' }>['command'],
  now: Now,
): Handled {
  const beside = { presence: presence.deliveries, context: deliveryContext(state, now) };
  const { events, answer } = handleDelivery(state.deliveries, command, beside);
  touchMoved(state, events);
  return { events, answer: { kind: 'delivery', answer } };
}

/**
 * The end that an agent reports of a deployment whose stage, or whole run, has ended without it. Whoever has no attempt of it
 * any more takes it that steps have begun.
 */
export function returnLate(
  state: State,
  presence: Presence,
  { ref, token, report }: Extract<Command, { kind: 'Report' }>,
  now: Now,
): readonly Event[] {
  if (report.kind !== 'AttemptFinished' || findPlace(state.deliveries, ref) === undefined) return [];
  const attempt = findStage(state, ref.run, ref.stage)?.attempts.find((other) => other.token === token);
  const end = endOf(report, attempt === undefined || attempt.steps.length > 0);
  const { run, stage } = ref;
  return handleDeliveryCommand(state, presence, { kind: 'AgentReturned', run, stage, token, end }, now)
    .events;
}

/** Behind everything else that was looked at; it may make stages worth another look. Returns when it wants to be asked again. */
export function decideDeliveries(turn: Turn, endedBefore: number): number | undefined {
  const { state, presence, now } = turn;
  for (const run of verifiesEndedIn(state, turn.events.slice(endedBefore))) answerVerify(turn, run);
  const context = deliveryContext(state, now);
  const { events, effects, wakeAtMs } = decideDelivery(state.deliveries, presence.deliveries, context);
  turn.events.push(...events);
  for (const effect of effects) turn.perform({ kind: 'Delivery', effect });
  touchMoved(state, events);
  return wakeAtMs;
}

function verifiesEndedIn(state: State, events: readonly Event[]): readonly RunState[] {
  return events.flatMap((event) => {
    const run = event.kind === 'RunEnded' ? state.runs.get(event.run) : undefined;
    return run?.facts.verifies === undefined ? [] : [run];
  });
}

function answerVerify({ state, presence, now, events }: Turn, run: RunState): void {
  const { facts, ended, failure, stages } = run;
  if (facts.verifies === undefined || ended === undefined) return;
  const { run: of, ...verifies } = facts.verifies;
  const environment = findEnvironment(state.deliveries, { ...verifies, project: facts.project });
  if (environment === undefined || findOpen(environment, verifies.deployment)?.run !== of) return;
  const failures = stages.flatMap(({ phase }) =>
    phase.kind === 'ended' && phase.failure !== undefined ? [phase.failure] : [],
  );
  const answer = verifyAnswerOf(ended.status, failure === undefined ? failures : [failure, ...failures]);
  const told = { kind: 'VerifyAnswered', project: facts.project, ...verifies, answer } as const;
  events.push(...handleDeliveryCommand(state, presence, told, now).events);
}

/** Their order may be another now. */
function touchMoved(state: State, events: readonly DeliveryEvent[]): void {
  for (const { run, stage } of stagesMovedBy(state.deliveries, events)) {
    const found = findStage(state, run, stage);
    if (found !== undefined) state.touched.stages.add(found);
  }
}
