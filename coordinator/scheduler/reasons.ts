/**
 * Why a stage does not run, in sentences for people. They are computed by the functions that decide (`needsOutcome`,
 * `suits`, `whyUnavailable`, the rests and the queue), so that they cannot disagree with what is done.
 */
import { stageTitle } from '../../shared/model/pipeline.js';
import { whyUnavailable, type Unavailable } from './available.js';
import type { Now } from './command.js';
import { deploymentReasons, orderFor } from './deliveries.js';
import { inWords } from './expiry.js';
import { missingLabels, servesProject, suits, takesTrust } from './match.js';
import type { Presence } from './presence.js';
import type { AgentState, AttemptState, StageState, State } from './state.js';

/** A machine of a fleet that all say the same is named so often; the others are counted. */
const namedAgents = 5;
/** Silence worth telling: three heartbeats missed. */
const noticedSilenceMs = 6_000;

export const joinHint =
  'start one with `gantry-agent --coordinator ADDRESS --token "$(gantry agents token)"`';

/** Empty for a stage that has ended or runs undisturbed. */
export function reasonsToWait(
  state: State,
  presence: Presence,
  stage: StageState,
  now: Now,
): readonly string[] {
  const { phase } = stage;
  switch (phase.kind) {
    case 'pending':
      return stage.canceledBy === undefined
        ? [...openNeeds(stage), ...openCondition(stage)]
        : [`it is being canceled for ${stage.canceledBy}`];
    case 'waiting':
      return stage.outline.environment === undefined
        ? whileWaiting(state, presence, stage, now)
        : whileDeploymentWaits(state, presence, stage, now);
    case 'leased':
      return whileLeased(presence, phase.attempt, now);
    case 'settling':
      return deploymentReasons(state, presence, stage, now) ?? [];
    case 'ended':
      return [];
  }
}

/** For its environment first, then for an agent. */
function whileDeploymentWaits(
  state: State,
  presence: Presence,
  stage: StageState,
  now: Now,
): readonly string[] {
  const order = orderFor(state, stage);
  if (order.kind === 'start') return whileWaiting(state, presence, stage, now);
  return deploymentReasons(state, presence, stage, now) ?? ['what it would deploy is being found out'];
}

function openNeeds(stage: StageState): readonly string[] {
  return stage.needs
    .filter((need) => need.phase.kind !== 'ended')
    .map((need) => `it needs ${stageTitle(need.outline)}, which ${progressOf(need)}`);
}

function openCondition({ needs, outline: { condition } }: StageState): readonly string[] {
  if (condition?.kind !== 'after-needs') return [];
  const behind = new Set(needs.filter((need) => need.phase.kind === 'ended').flatMap(openBehind));
  return [
    ...[...behind].map((open) => `before it, ${stageTitle(open.outline)} ${progressOf(open)}`),
    `then its condition decides: ${condition.text}`,
  ];
}

/** What has not ended of the needs of a stage that was skipped early. */
function openBehind(ended: StageState): readonly StageState[] {
  const open = new Set<StageState>();
  const seen = new Set([ended]);
  for (const stage of seen) {
    if (stage.settled !== undefined) continue;
    if (stage.phase.kind !== 'ended') open.add(stage);
    else for (const need of stage.needs) seen.add(need);
  }
  return [...open];
}

/** Why a stage was skipped; undefined for one that was not. */
export function reasonSkipped({ phase, needs, outline }: StageState): string | undefined {
  if (phase.kind !== 'ended' || phase.status !== 'skipped') return undefined;
  const need = needs.find((other) => other.outline.number === phase.because);
  if (need !== undefined) return `it needs ${stageTitle(need.outline)}, which ${endOf(need)}`;
  return outline.condition === undefined
    ? undefined
    : `its condition does not hold: ${outline.condition.text}`;
}

function endOf({ phase, canceledBy }: StageState): string {
  if (phase.kind !== 'ended') return 'has not ended';
  switch (phase.status) {
    case 'succeeded':
      return canceledBy === undefined ? 'succeeded' : `was to be canceled for ${canceledBy}`;
    case 'failed':
      return 'failed';
    case 'canceled':
      return 'was canceled';
    case 'skipped':
      return 'was skipped';
  }
}

function progressOf({ phase, needs }: StageState): string {
  switch (phase.kind) {
    case 'pending':
      return `waits for ${needs.filter((need) => need.phase.kind !== 'ended').length} others`;
    case 'waiting':
      return 'waits for an agent';
    case 'leased':
      return phase.attempt.phase.kind === 'running' ? 'is running' : 'is about to start';
    case 'settling':
    case 'ended':
      return 'has just ended';
  }
}

function whileWaiting(state: State, presence: Presence, stage: StageState, now: Now): readonly string[] {
  if (stage.canceledBy !== undefined) return [`it is being canceled for ${stage.canceledBy}`];
  const last = stage.attempts.at(-1);
  if (last !== undefined && presence.agents.get(last.agent)?.claims.has(stage) === true) {
    return [
      `agent ${last.agentName} came back with attempt ${last.number} of it: its next report is awaited`,
    ];
  }
  const rest = presence.rests.get(stage);
  if (rest !== undefined && now.monotonicMs < rest.untilMs) {
    const left = inWords(rest.untilMs - now.monotonicMs + 999);
    return rest.refusals > 0
      ? [`${rest.reason}; it is offered again in ${left}`]
      : [`attempt ${rest.attempts} ended (${rest.reason}); the next one waits another ${left}`];
  }
  return prospects(state, presence, stage, now);
}

/** What stands between the stage and an agent. */
function prospects(state: State, presence: Presence, stage: StageState, now: Now): readonly string[] {
  const agents = [...state.agents.values()];
  if (agents.length === 0) return [`there is no agent: ${joinHint}`];
  const suitable = agents.filter((agent) => suits(agent, stage.outline.labels, stage.run.facts));
  if (suitable.length === 0) return [whyNoneSuits(agents, stage)];
  const busy: AgentState[] = [];
  const others: string[] = [];
  for (const agent of suitable) {
    const unavailable = whyUnavailable(agent, presence.agents.get(agent.agent), now);
    if (unavailable === undefined) return [`agent ${agent.name} is free and about to get it`];
    if (unavailable.kind === 'busy') busy.push(agent);
    else others.push(sentenceOf(agent, unavailable));
  }
  const reasons = busy.length === 0 ? [] : [allBusy(busy, presence, stage)];
  const named = others.slice(0, namedAgents);
  const more = others.length - named.length;
  return [...reasons, ...named, ...(more > 0 ? [`${more} more suitable agents cannot take it either`] : [])];
}

function sentenceOf({ name }: AgentState, { kind, reason }: Exclude<Unavailable, { kind: 'busy' }>): string {
  switch (kind) {
    case 'offline':
      return `agent ${name} is offline: ${reason}`;
    case 'away':
      return `agent ${name} is away: ${reason}`;
    case 'draining':
      return `agent ${name} is draining: ${reason}`;
    case 'refusing':
      return `agent ${name} takes no stage now: ${reason}`;
  }
}

function allBusy(busy: readonly AgentState[], presence: Presence, stage: StageState): string {
  const [only] = busy;
  const who =
    busy.length === 1 && only !== undefined
      ? `the suitable agent ${only.name} is busy`
      : `all ${busy.length} suitable agents are busy`;
  const queued = presence.market.placeOf(stage);
  if (queued === undefined) return who;
  return queued.place === undefined
    ? `${who}: ${queued.of} stages wait for them`
    : `${who}: place ${queued.place} of ${queued.of} by age`;
}

function whyNoneSuits(agents: readonly AgentState[], stage: StageState): string {
  const { labels } = stage.outline;
  const { facts } = stage.run;
  const labelled = agents.filter((agent) => missingLabels(labels, agent.labels).length === 0);
  if (labelled.length === 0) return whyNoLabels(agents, labels);
  const serving = labelled.filter((agent) => servesProject(agent, facts.project));
  if (serving.length === 0) {
    return `no agent with its labels serves the project ${facts.projectName} (${namesOf(labelled)} serve others)`;
  }
  const untrusting = serving.filter((agent) => !takesTrust(agent, facts.trust));
  return `no agent with its labels takes runs of trust ${facts.trust} (${namesOf(untrusting)} take others)`;
}

function whyNoLabels(agents: readonly AgentState[], labels: readonly string[]): string {
  const offered = new Set(agents.flatMap((agent) => agent.labels));
  const absent = labels.filter((label) => !offered.has(label));
  if (absent.length > 0) {
    return `no agent offers ${absent.join(', ')} (agents offer ${[...offered].toSorted().join(', ')})`;
  }
  const [nearest] = agents.toSorted(
    (a, b) => missingLabels(labels, a.labels).length - missingLabels(labels, b.labels).length,
  );
  const lack =
    nearest === undefined
      ? ''
      : `: ${nearest.name} lacks ${missingLabels(labels, nearest.labels).join(', ')}`;
  return `no agent offers ${labels.join(', ')} together${lack}`;
}

function namesOf(agents: readonly AgentState[]): string {
  const names = agents.slice(0, namedAgents).map((agent) => agent.name);
  return agents.length > names.length ? `${names.join(', ')} and others` : names.join(', ');
}

function whileLeased(presence: Presence, attempt: AttemptState, now: Now): readonly string[] {
  const { stage, agentName } = attempt;
  const reasons: string[] = [];
  if (stage.canceledBy !== undefined)
    reasons.push(`it is canceled by ${stage.canceledBy}; agent ${agentName} is ending it`);
  else if (attempt.phase.kind === 'leased') {
    reasons.push(
      presence.attempts.get(attempt)?.accepted === true
        ? `agent ${agentName} has it, preparing`
        : `agent ${agentName} is asked to take it and has not answered yet`,
    );
  }
  const seen = presence.agents.get(attempt.agent);
  if (seen === undefined) return reasons;
  const silentMs = now.monotonicMs - seen.lastHeardMs;
  if (silentMs >= noticedSilenceMs)
    reasons.push(`agent ${agentName} has sent no heartbeat for ${inWords(silentMs)}`);
  if (seen.linkDownSinceMs !== undefined && now.monotonicMs - seen.linkDownSinceMs >= noticedSilenceMs) {
    const down = inWords(now.monotonicMs - seen.linkDownSinceMs);
    reasons.push(`the link of agent ${agentName} to the coordinator has been down for ${down}`);
  }
  return reasons;
}
