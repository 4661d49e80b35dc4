/** What agents say of themselves: heartbeats, links, answers to assignments. It changes the presence alone. */
import type { Heartbeat, HeldAttempt } from '../../shared/model/agent.js';
import type { AgentId } from '../../shared/model/ids.js';
import type { Answer, Command, Handled, Now } from './command.js';
import { agentPresence, expectFrom, type AgentPresence, type Presence } from './presence.js';
import { checkHeld } from './report.js';
import { refusedStageDelayMs, refusingAgentDelayMs, resendDelayMs } from './retry.js';
import { findAttempt, type AgentState, type AttemptState, type State } from './state.js';

const done: Answer = { kind: 'done' };

export function handleHeartbeat(state: State, presence: Presence, heartbeat: Heartbeat, now: Now): Answer {
  const agent = state.agents.get(heartbeat.agent);
  if (agent?.instance !== heartbeat.instance) return otherInstance(heartbeat.agent);
  const seen = agentPresence(presence, heartbeat.agent, now);
  if (seen.beat !== undefined && heartbeat.number <= seen.beat.number) return done;
  for (const held of heartbeat.held) checkHeld(state, heartbeat.agent, held);
  noteMirrors(presence, heartbeat, seen);
  noteLeases(presence, agent, heartbeat);
  seen.beat = heartbeat;
  seen.isBeatNew = true;
  seen.lastHeardMs = now.monotonicMs;
  seen.strangers = heartbeat.held.filter((held) => isStranger(state, agent, held)).length;
  noteLink(seen, heartbeat.linked, now);
  state.touched.agents.add(heartbeat.agent);
  return done;
}

export function handleLink(
  state: State,
  presence: Presence,
  command: Extract<Command, { kind: 'LinkChanged' }>,
  now: Now,
): Answer {
  if (state.agents.get(command.agent)?.instance !== command.instance) return otherInstance(command.agent);
  noteLink(agentPresence(presence, command.agent, now), command.up, now);
  state.touched.agents.add(command.agent);
  return done;
}

const otherInstance = (agent: AgentId): Answer => ({
  kind: 'refused',
  message:
    `another process has registered as agent ${agent} since: where a data directory was copied (a cloned machine), ` +
    'remove identity.json from the copy, so that it joins as an agent of its own',
});

function noteLink(seen: AgentPresence, isUp: boolean, now: Now): void {
  seen.isLinked = isUp;
  seen.linkDownSinceMs = isUp ? undefined : (seen.linkDownSinceMs ?? now.monotonicMs);
}

/** Held, but not leased to it: it fills a slot until the agent has dropped it. One that has just ended does not. */
function isStranger(state: State, agent: AgentState, held: HeldAttempt): boolean {
  const attempt = findAttempt(state, held);
  if (attempt?.token !== held.token || attempt.agent !== agent.agent) return true;
  return attempt.phase.kind === 'lost';
}

/** A lease that the agent accepted must be named from then on; two heartbeats in a row without it prove a loss. */
function noteLeases(presence: Presence, agent: AgentState, heartbeat: Heartbeat): void {
  if (agent.leases.size === 0) return;
  const tokens = new Set<number>(heartbeat.held.map((held) => held.token));
  for (const attempt of agent.leases) {
    const sent = presence.attempts.get(attempt);
    if (sent === undefined) continue;
    if (tokens.has(attempt.token)) {
      sent.missing = 0;
      expectFrom(sent, heartbeat);
    } else if (sent.accepted) {
      if (sent.instance !== heartbeat.instance || heartbeat.number > sent.baseline) sent.missing += 1;
    }
  }
}

function noteMirrors(presence: Presence, { agent, mirrors }: Heartbeat, seen: AgentPresence): void {
  const before = seen.mirrors;
  if (mirrors.length === before.length && mirrors.every((project, place) => project === before[place]))
    return;
  forgetMirrors(presence, agent, before);
  seen.mirrors = mirrors;
  for (const project of mirrors) {
    const holders = presence.mirrors.get(project) ?? new Set<AgentId>();
    holders.add(agent);
    presence.mirrors.set(project, holders);
  }
}

export function forgetMirrors(presence: Presence, agent: AgentId, projects: readonly string[]): void {
  for (const project of projects) {
    const holders = presence.mirrors.get(project);
    holders?.delete(agent);
    if (holders?.size === 0) presence.mirrors.delete(project);
  }
}

/** Only the answer to the lease that stands counts: a late one of an older token says nothing about it. */
export function handleAssignAnswered(
  state: State,
  presence: Presence,
  command: Extract<Command, { kind: 'AssignAnswered' }>,
  now: Now,
): Handled {
  const attempt = findAttempt(state, command.ref);
  const agent = state.agents.get(command.agent);
  const sent = attempt === undefined ? undefined : presence.attempts.get(attempt);
  if (attempt?.token !== command.token || attempt.agent !== command.agent) return nothing;
  if (agent === undefined || sent === undefined || attempt.phase.kind !== 'leased') return nothing;
  const seen = agentPresence(presence, command.agent, now);
  switch (command.answer.kind) {
    case 'accepted':
      expectFrom(sent, { instance: agent.instance, number: command.answer.heartbeat });
      return nothing;
    case 'refused': {
      if (sent.accepted) return nothing;
      seen.holdUntilMs = now.monotonicMs + refusingAgentDelayMs;
      presence.attempts.delete(attempt);
      restRefused(presence, attempt, command.answer.reason, now);
      return returned(attempt, command.answer.reason);
    }
    case 'no-responder':
    case 'silent':
      sent.tries += 1;
      sent.assignAtMs = now.monotonicMs + resendDelayMs(sent.tries);
      state.touched.stages.add(attempt.stage);
      return nothing;
  }
}

/** So that a stage which an agent always refuses neither spins nor keeps what is behind it from that agent. */
function restRefused(presence: Presence, attempt: AttemptState, reason: string, now: Now): void {
  const attempts = attempt.number - 1;
  const before = presence.rests.get(attempt.stage);
  const refusals = (before?.attempts === attempts ? before.refusals : 0) + 1;
  presence.rests.set(attempt.stage, {
    untilMs: now.monotonicMs + refusedStageDelayMs(refusals),
    attempts,
    refusals,
    reason: `agent ${attempt.agentName} refused it: ${reason}`,
  });
}

const nothing: Handled = { events: [], answer: done };

const returned = ({ stage, number, token }: AttemptState, reason: string): Handled => ({
  events: [
    {
      kind: 'LeaseReturned',
      run: stage.run.run,
      stage: stage.outline.number,
      attempt: number,
      token,
      reason,
    },
  ],
  answer: done,
});
