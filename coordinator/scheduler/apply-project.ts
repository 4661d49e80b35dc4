/** Events of projects, applied: see `apply.ts`. */
import type { Event } from '../../shared/model/event.js';
import { branchOf, keptDeletedRefs, keptDeliveries, keptMoves, type ProjectState } from './project-state.js';
import type { RunState, State } from './state.js';

export function applyProjectSet(
  state: State,
  event: Extract<Event, { kind: 'ProjectSet' }>,
  at: number,
): void {
  const known = state.projects.get(event.project.id);
  if (known !== undefined) {
    known.project = event.project;
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
  });
}

/** Its runs go on; what was pending of it is forgotten. */
export function applyProjectRemoved(state: State, event: Extract<Event, { kind: 'ProjectRemoved' }>): void {
  state.projects.delete(event.project);
  for (const trigger of state.triggers.values()) {
    if (trigger.project === event.project) state.triggers.delete(trigger.run);
  }
}

export function applyRefsMoved(state: State, event: Extract<Event, { kind: 'RefsMoved' }>, at: number): void {
  const known = state.projects.get(event.project);
  if (known === undefined) return;
  if (event.source.kind === 'poll') known.polled = true;
  if (event.head !== undefined) known.head = event.head;
  for (const { asks, ...move } of event.moves) {
    applyMove(known, move);
    if (!asks) continue;
    state.triggers.set(move.run, {
      run: move.run,
      project: event.project,
      move,
      source: event.source,
      at,
    });
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
  for (const oldest of known.deliveries.keys()) {
    if (known.deliveries.size <= keptDeliveries) break;
    known.deliveries.delete(oldest);
  }
}

/** A move that is older than what is known of its ref is remembered, and leaves the tip. */
function applyMove(known: ProjectState, move: ProjectMove): void {
  const ref = known.refs.get(move.ref);
  const isLate = ref !== undefined && isLateMove(ref.moves, ref.tip, move);
  const moves = [...(ref?.moves ?? []), move].slice(-keptMoves);
  const tip = isLate ? ref.tip : move.new;
  // Behind all others: deleted refs are forgotten in the order of their end.
  known.refs.delete(move.ref);
  known.refs.set(move.ref, { moves, ...(tip === undefined ? {} : { tip }) });
  if (tip !== undefined) return;
  const branch = branchOf(move.ref);
  if (branch !== undefined) known.branches.delete(branch);
  const deleted = [...known.refs].filter(([, other]) => other.tip === undefined).map(([name]) => name);
  for (const name of deleted.slice(0, -keptDeletedRefs)) known.refs.delete(name);
}

type ProjectMove =
  ProjectState['refs'] extends Map<string, { readonly moves: readonly (infer M)[] }> ? M : never;

/** Whether something that is known already began where this move ended: then it is from before. */
export function isLateMove(
  moves: readonly ProjectMove[],
  tip: string | undefined,
  move: Pick<ProjectMove, 'old' | 'new'>,
): boolean {
  if (move.old === tip) return false;
  return move.new !== undefined && moves.some((other) => other.old === move.new);
}

/** The end of a run of a push says how its branch fares. */
export function applyBranch(state: State, run: RunState, event: Extract<Event, { kind: 'RunEnded' }>): void {
  const { project, event: trigger, branch, commit } = run.facts;
  const known = state.projects.get(project);
  if (known === undefined || trigger !== 'push' || branch === undefined) return;
  if (event.status === 'canceled') return;
  const before = known.branches.get(branch);
  if (before !== undefined && before.order > run.order) return;
  const at = { run: run.run, commit };
  const lastGreen = event.status === 'succeeded' ? at : before?.lastGreen;
  known.branches.set(branch, {
    status: event.status === 'succeeded' ? 'green' : 'failing',
    run: run.run,
    order: run.order,
    ...(event.failing === undefined ? {} : { failing: event.failing }),
    ...(lastGreen === undefined ? {} : { lastGreen }),
  });
}
