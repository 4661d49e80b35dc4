/** Events of projects, applied: see `apply.ts`. */
import type { Event } from '../../shared/model/event.js';
import { forgetEnvironmentsOf } from '../delivery/state.js';
import { forgetGatesOf, touchGatesOf } from '../gate/state.js';
import type { MoveSource, RecordedMove, ReportedMove } from '../../shared/model/project.js';
import { didNothing } from './news.js';
import { isOfOlderPush } from './push-order.js';
import {
  branchOf,
  keptDeletedRefs,
  keptDeliveries,
  keptDeliveryIds,
  keptMoves,
  keptTold,
  speaksForBranch,
  type ProjectState,
} from './project-state.js';
import type { RunState, State } from './state.js';

export function applyProjectSet(
  state: State,
  event: Extract<Event, { kind: 'ProjectSet' }>,
  at: number,
): void {
  const known = state.projects.get(event.project.id);
  if (known !== undefined) {
    known.project = event.project;
    touchGatesOf(state.gates, event.project.id);
    return;
  }
  state.projects.set(event.project.id, {
    project: event.project,
    addedAt: at,
    polled: false,
    head: undefined,
    refs: new Map(),
    branches: new Map(),
    deliveries: new Map(),
    deliveryIds: new Set(),
  });
}

/** Its runs go on; what was pending of it is forgotten. */
export function applyProjectRemoved(state: State, event: Extract<Event, { kind: 'ProjectRemoved' }>): void {
  state.projects.delete(event.project);
  forgetGatesOf(state.gates, event.project);
  forgetEnvironmentsOf(state.deliveries, event.project);
  for (const trigger of state.triggers.values()) {
    if (trigger.project === event.project) state.triggers.delete(trigger.run);
  }
}

export function applyRefsMoved(state: State, event: Extract<Event, { kind: 'RefsMoved' }>, at: number): void {
  const known = state.projects.get(event.project);
  if (known === undefined) return;
  if (event.source.kind === 'poll' && event.source.partial === undefined) known.polled = true;
  if (event.head !== undefined) known.head = event.head;
  for (const { asks, place, ...move } of event.moves) {
    applyMove(known, { move, place, source: event.source });
    if (!asks) continue;
    state.triggers.set(move.run, { run: move.run, project: event.project, move, source: event.source, at });
    state.touched.triggers.add(move.run);
  }
  if (event.source.kind !== 'webhook') return;
  const { delivery, pusher } = event.source;
  known.deliveries.set(delivery, {
    delivery,
    at,
    moves: event.moves,
    ...(pusher === undefined ? {} : { pusher }),
  });
  known.deliveryIds.add(delivery);
  keepNewest(known.deliveries, keptDeliveries);
  keepNewest(known.deliveryIds, keptDeliveryIds);
}

function keepNewest(all: Map<string, unknown> | Set<string>, most: number): void {
  for (const oldest of all.keys()) {
    if (all.size <= most) break;
    all.delete(oldest);
  }
}

interface Moved {
  readonly move: ReportedMove;
  readonly place: RecordedMove['place'];
  readonly source: MoveSource;
}

function applyMove(known: ProjectState, { move, place, source }: Moved): void {
  const ref = known.refs.get(move.ref);
  const moves = [...(ref?.moves ?? []), move].slice(-keptMoves);
  const tip = place === 'late' ? ref?.tip : move.new;
  const isGuess = place === 'late' ? (ref?.isGuess ?? true) : place === 'guess';
  const told = source.kind === 'poll' ? undefined : source.pusher;
  const pusher = tip === ref?.tip ? (ref?.pusher ?? told) : told;
  // Behind all others: deleted refs are forgotten in the order of their end.
  known.refs.delete(move.ref);
  known.refs.set(move.ref, {
    moves,
    isGuess,
    ...(tip === undefined ? {} : { tip }),
    ...(tip === undefined || pusher === undefined ? {} : { pusher }),
  });
  if (tip !== undefined) return;
  const branch = branchOf(move.ref);
  if (branch !== undefined) known.branches.delete(branch);
  const deleted = [...known.refs].filter(([, other]) => other.tip === undefined).map(([name]) => name);
  for (const name of deleted.slice(0, -keptDeletedRefs)) known.refs.delete(name);
}

/** The end of a run of a push says how its branch fares. */
export function applyBranch(state: State, run: RunState, event: Extract<Event, { kind: 'RunEnded' }>): void {
  const { project, event: trigger, branch, commit } = run.facts;
  const known = state.projects.get(project);
  if (known === undefined || trigger !== 'push' || branch === undefined) return;
  if (event.status === 'canceled' || didNothing(run) || !speaksForBranch(known, run)) return;
  const before = known.branches.get(branch);
  if (before !== undefined && isOfOlderPush(known, run, before)) return;
  const at = { run: run.run, commit };
  const lastGreen = event.status === 'succeeded' ? at : before?.lastGreen;
  known.branches.set(branch, {
    status: event.status === 'succeeded' ? 'green' : 'failing',
    run: run.run,
    commit,
    order: run.order,
    ...(event.failing === undefined ? {} : { failing: event.failing }),
    ...(lastGreen === undefined ? {} : { lastGreen }),
    told: event.status === 'failed' && before?.status === 'failing' ? before.told : new Set(),
  });
}

/** Before `applyBranch`: what a run has mended is in the branch as it was. */
export function applyNews(
  state: State,
  run: RunState,
  event: Extract<Event, { kind: 'RunEnded' }>,
  at: number,
): void {
  if (event.news === undefined) return;
  const { project, branch } = run.facts;
  const isOfBranch = run.facts.event === 'push' && branch !== undefined;
  const before = isOfBranch ? state.projects.get(project)?.branches.get(branch) : undefined;
  const isFixed = event.news === 'fixed';
  const failing = event.failing ?? (isFixed ? before?.failing : undefined);
  state.outbox.set(run.run, {
    run: run.run,
    project,
    news: event.news,
    at,
    ...(isOfBranch ? { branch } : {}),
    ...(failing === undefined ? {} : { failing }),
    told: isFixed ? [...(before?.told ?? [])] : [],
    settled: new Set(),
  });
  state.touched.outbox.add(run.run);
}

export function applyNotified(state: State, event: Extract<Event, { kind: 'Notified' }>): void {
  const waiting = state.outbox.get(event.run);
  if (waiting === undefined) return;
  waiting.settled.add(event.target);
  if (event.outcome !== 'delivered' || waiting.branch === undefined) return;
  const branch = state.projects.get(waiting.project)?.branches.get(waiting.branch);
  if (branch?.status === 'failing' && branch.told.size < keptTold) branch.told.add(event.target);
}
