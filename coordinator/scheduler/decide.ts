/**
 * What to do now. One turn of the loop, all of it with ONE `now`:
 *
 *   1. `handle` for each command that waits. It applies its events to the state and returns them with the answer.
 *   2. `decide`, once. It applies its events too, and returns them with the effects.
 *   3. All these events, in this order, become one entry with `at: now.wallMs` and `epoch: state.epoch`.
 *      Without events nothing is appended.
 *   4. When the entry is durable: give the answers, perform the effects (also when there was no entry). When it was
 *      refused: throw away the state *and* the presence, and replay.
 *
 * `wakeAtMs` is when the next turn is due even if nothing comes in: at once when this one stopped at its bounds (about
 * 1,000 events), and never more than a second away while anything is timed. So more than 5 s between two turns means
 * that the process stood still, and calls for `restartTimers`.
 *
 * It costs what changed. `apply` notes the stages, runs and agents that an event touched, timers name those whose
 * time has come, and only these are looked at; whom to lease is asked only where a lane (see `market.ts`) has both a
 * stage and a free agent. Each look below compares what is with what should be, and may be taken at any time.
 */
import type { Decision, Now } from './command.js';
import { dispatchNext } from './dispatch.js';
import { decideDeliveries } from './deliveries.js';
import { decideGates } from './gates.js';
import { waitingLimitMs } from './expiry.js';
import { lookAtAgent } from './look-at-agent.js';
import { lookAtRun } from './look-at-run.js';
import { endUnwanted, lookAtStage } from './look-at-stage.js';
import type { Presence } from './presence.js';
import type { State } from './state.js';
import { Turn } from './turn.js';

const timedTurnMs = 1_000;
const idleTurnMs = 60_000;

export function decide(state: State, presence: Presence, now: Now): Decision {
  const turn = new Turn(state, presence, now);
  if (presence.isFresh) touchAll(state, presence);
  touchDue(turn);
  lookAtTouched(turn);
  endUnwanted(turn);
  const deliveriesWakeMs = moveOn(turn);
  askForWhatIsPending(turn);
  const wakes = [wakeTime(turn), deliveriesWakeMs, decideGates(turn)].filter((atMs) => atMs !== undefined);
  const wakeAtMs = wakes.length === 0 ? {} : { wakeAtMs: Math.min(...wakes) };
  return { events: turn.events, effects: turn.effects, ...wakeAtMs };
}

/** A deployment that gets its environment lets its stage start, and a stage that ends lets go of its environment. */
function moveOn(turn: Turn): number | undefined {
  const { stages } = turn.state.touched;
  let told = 0;
  for (;;) {
    lookAtTouched(turn);
    while (!turn.isFull && dispatchNext(turn)) lookAtTouched(turn);
    const wakeAtMs = decideDeliveries(turn, told);
    told = turn.events.length;
    if (stages.size === 0 || turn.isFull) return wakeAtMs;
  }
}

function touchAll(state: State, presence: Presence): void {
  presence.isFresh = false;
  for (const agent of state.agents.keys()) state.touched.agents.add(agent);
  for (const run of state.runs.values()) {
    state.touched.runs.add(run);
    for (const stage of run.stages) state.touched.stages.add(stage);
  }
  for (const run of state.triggers.keys()) state.touched.triggers.add(run);
  for (const run of state.outbox.keys()) state.touched.outbox.add(run);
}

/** Once each: whoever performs these goes on until the state says that they are done. */
function askForWhatIsPending({ state, effects }: Turn): void {
  const { triggers, outbox } = state.touched;
  for (let run = take(triggers); run !== undefined; run = take(triggers)) {
    if (state.triggers.has(run)) effects.push({ kind: 'Trigger', run });
  }
  for (let run = take(outbox); run !== undefined; run = take(outbox)) {
    if (state.outbox.has(run)) effects.push({ kind: 'Notify', run });
  }
}

function touchDue({ state, presence, now }: Turn): void {
  const { agentTimers, stageTimers, runTimers } = presence;
  const due = now.monotonicMs;
  for (let agent = agentTimers.takeDue(due); agent !== undefined; agent = agentTimers.takeDue(due)) {
    state.touched.agents.add(agent);
  }
  for (let stage = stageTimers.takeDue(due); stage !== undefined; stage = stageTimers.takeDue(due)) {
    state.touched.stages.add(stage);
  }
  for (let run = runTimers.takeDue(due); run !== undefined; run = runTimers.takeDue(due)) {
    const known = state.runs.get(run);
    if (known === undefined) presence.records.delete(run);
    else state.touched.runs.add(known);
  }
}

/** Agents first: what is lost with them decides what their stages do. */
function lookAtTouched(turn: Turn): void {
  const { agents, stages, runs } = turn.state.touched;
  while (!turn.isFull) {
    const agent = take(agents);
    const stage = agent === undefined ? take(stages) : undefined;
    const run = agent === undefined && stage === undefined ? take(runs) : undefined;
    if (agent !== undefined) lookAtAgent(turn, agent);
    else if (stage !== undefined) lookAtStage(turn, stage);
    else if (run !== undefined) lookAtRun(turn, run);
    else return;
    turn.look();
  }
}

function take<T>(set: Set<T>): T | undefined {
  for (const item of set) {
    set.delete(item);
    return item;
  }
  return undefined;
}

function wakeTime({ state, presence, now, isFull }: Turn): number | undefined {
  const { agents, stages, runs } = state.touched;
  if (isFull || agents.size + stages.size + runs.size > 0) return now.monotonicMs;
  const timers = [presence.agentTimers, presence.stageTimers, presence.runTimers];
  const due = timers.flatMap(({ nextMs }) => (nextMs === undefined ? [] : [nextMs]));
  if (due.length > 0) return Math.min(...due, now.monotonicMs + timedTurnMs);
  return state.waiting.size > 0 ? now.monotonicMs + Math.min(idleTurnMs, waitingLimitMs) : undefined;
}
