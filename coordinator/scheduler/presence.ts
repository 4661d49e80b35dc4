/**
 * What a leader knows beside the journal: which agents live, what it has sent, and its working order. Losing it
 * loses nothing: a fresh one makes `decide` look at the whole state once and send everything again that is not
 * confirmed. It belongs to one `State` for good: whoever throws one away throws the other away too.
 */
import type { Heartbeat } from '../../shared/model/agent.js';
import type { AgentId, InstanceId, RunId } from '../../shared/model/ids.js';
import { emptyDeliveryPresence, type DeliveryPresence } from '../delivery/presence.js';
import { emptyGatePresence, type GatePresence } from '../gate/presence.js';
import type { Now } from './command.js';
import { Market } from './market.js';
import type { AttemptState, StageState } from './state.js';
import { Timers } from './timers.js';

export interface AgentPresence {
  /** Monotonic ms of the last sign of life, or when this leader began. */
  lastHeardMs: number;
  /** The last heartbeat of the present instance since this leader began. Without one nothing is leased to it. */
  beat: Heartbeat | undefined;
  /** `decide` has not looked at `beat`. */
  isBeatNew: boolean;
  isLinked: boolean;
  linkDownSinceMs: number | undefined;
  /** Attempts it says it holds that are not its leases: they fill its slots until they are gone. */
  strangers: number;
  /** It has refused an assignment and gets no other until then. */
  holdUntilMs: number;
  /** What the agent was told last. */
  drainSent: boolean;
  /** Projects whose mirror it has, as in `Presence.mirrors`. */
  mirrors: readonly string[];
  /** Stages whose lost attempt it says it still runs: nobody else gets them while it may go on. */
  claims: ReadonlySet<StageState>;
}

export interface AttemptPresence {
  /** When this leader first saw the lease: the backstop counts from here. */
  sinceMs: number;
  accepted: boolean;
  /** Heartbeats of `instance` numbered after `baseline` must name the attempt. */
  instance: InstanceId | undefined;
  baseline: number;
  /** Heartbeats in a row that should have named it and did not. */
  missing: number;
  /** How often the assignment was sent without an answer, and when it is sent again. */
  tries: number;
  assignAtMs: number;
  isEndSent: boolean;
}

/** A stage that waits but is not offered to anybody until a time. */
export interface Rest {
  readonly untilMs: number;
  /** Attempts of the stage when it began to rest: with more, the rest is of an earlier one. */
  readonly attempts: number;
  /** Refused assignments since the last attempt. */
  readonly refusals: number;
  readonly reason: string;
}

export interface Presence {
  /** `decide` has not looked at the whole state. */
  isFresh: boolean;
  readonly startedMs: number;
  readonly agents: Map<AgentId, AgentPresence>;
  readonly attempts: Map<AttemptState, AttemptPresence>;
  readonly rests: Map<StageState, Rest>;
  /** Agents by the project whose mirror they have. */
  readonly mirrors: Map<string, Set<AgentId>>;
  /** Runs whose record was asked for, and how often. */
  readonly records: Map<RunId, number>;
  readonly gates: GatePresence;
  readonly deliveries: DeliveryPresence;
  /** Stages whose deployment somebody has been told to ask for. */
  readonly described: Set<StageState>;
  readonly market: Market;
  readonly stageTimers: Timers<StageState>;
  readonly agentTimers: Timers<AgentId>;
  readonly runTimers: Timers<RunId>;
  /** Stages, agents and lanes looked at so far: what decisions cost, in a unit that tests can hold them to. */
  looks: number;
}

export function emptyPresence(now: Now): Presence {
  return {
    isFresh: true,
    startedMs: now.monotonicMs,
    agents: new Map(),
    attempts: new Map(),
    rests: new Map(),
    mirrors: new Map(),
    records: new Map(),
    gates: emptyGatePresence(),
    deliveries: emptyDeliveryPresence(),
    described: new Set(),
    market: new Market(),
    stageTimers: new Timers(),
    agentTimers: new Timers(),
    runTimers: new Timers(),
    looks: 0,
  };
}

/** The agent's entry; made when first asked for, as if the agent had been heard now. */
export function agentPresence(presence: Presence, agent: AgentId, now: Now): AgentPresence {
  const known = presence.agents.get(agent);
  if (known !== undefined) return known;
  const made: AgentPresence = {
    lastHeardMs: now.monotonicMs,
    beat: undefined,
    isBeatNew: false,
    isLinked: false,
    linkDownSinceMs: undefined,
    strangers: 0,
    holdUntilMs: 0,
    drainSent: false,
    mirrors: [],
    claims: new Set(),
  };
  presence.agents.set(agent, made);
  return made;
}

/** The attempt is known to be with the agent: heartbeats of the instance after this one must name it. */
export function expectFrom(
  sent: AttemptPresence,
  beat: Pick<Heartbeat, 'instance' | 'number'> | undefined,
): void {
  sent.accepted = true;
  sent.instance = beat?.instance;
  sent.baseline = beat?.number ?? 0;
  sent.tries = 0;
}

/**
 * Silence while nobody could be heard proves nothing: after a NATS reconnect, or when more than 5 s passed between
 * two turns (the machine slept, the process was stopped), heartbeat, link and backstop timers begin anew. A leader that takes over
 * begins with an empty presence, which is the same.
 */
export function restartTimers(presence: Presence, now: Now): void {
  for (const agent of presence.agents.values()) {
    agent.lastHeardMs = now.monotonicMs;
    if (agent.linkDownSinceMs !== undefined) agent.linkDownSinceMs = now.monotonicMs;
  }
  for (const attempt of presence.attempts.values()) {
    attempt.sinceMs = now.monotonicMs;
    attempt.missing = 0;
  }
}
