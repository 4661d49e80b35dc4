/** Requests about projects: settings, and what was seen of their refs. See `handle.ts`. */
import type { Event } from '../../shared/model/event.js';
import type { MoveSource, RecordedMove, ReportedMove } from '../../shared/model/project.js';
import { busyEnvironment, isDeploying } from '../delivery/state.js';
import type { Answer, Command, Handled } from './command.js';
import { branchOf, defaultBranchOf, speaksForBranch, type ProjectState } from './project-state.js';
import type { RunState, State } from './state.js';

const done: Answer = { kind: 'done' };
const answer = (given: Answer): Handled => ({ events: [], answer: given });

type ProjectCommand<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

export function setProject(state: State, command: ProjectCommand<'SetProject'>): Handled {
  const { project, by, isNew } = command;
  const known = state.projects.get(project.id);
  if (isNew && known !== undefined) {
    // The same request again, because its answer was lost.
    if (JSON.stringify(known.project) === JSON.stringify(project)) return answer(done);
    return answer({ kind: 'refused', message: `project ${project.name} exists already: change it with set` });
  }
  if (!isNew && known === undefined) {
    return answer({ kind: 'not-found', message: `there is no project ${project.name}` });
  }
  return { events: [{ kind: 'ProjectSet', project, by }], answer: done };
}

export function removeProject(state: State, command: ProjectCommand<'RemoveProject'>): Handled {
  if (!state.projects.has(command.project)) {
    return answer({ kind: 'not-found', message: `there is no project ${command.project}` });
  }
  // Added anew, its environment would be free for another one.
  const busy = busyEnvironment(state.deliveries, command.project);
  if (busy !== undefined) {
    const message = `a deployment to ${busy} is under way: wait for its end, cancel its run or settle it (\`gantry environments show ${busy}\`)`;
    return answer({ kind: 'refused', message });
  }
  return { events: [{ kind: 'ProjectRemoved', project: command.project, by: command.by }], answer: done };
}

/**
 * What was seen of a project's refs, by a poll or told by a webhook. Of each ref what is known decides:
 *
 *   the move ends at the tip, or is one of the last moves     known: whoever reported it first
 *   it begins at the tip (or the ref is new)                  a push
 *   it begins where a known move began                        covered: a poll saw several pushes as one; no run
 *   it ends where a known move began                          a push, told late: it gets its run, the tip stays
 *   anything else                                             a push, and the tip is a guess until the next poll
 *
 * A poll knows no pushes, only where refs are: where the tip was a guess, and the poll finds the ref at the end of a move
 * that was told, it is no news. The first poll records the tips, and asks for a run of the default branch alone.
 */
export function reportMoves(state: State, command: ProjectCommand<'ReportMoves'>): Handled {
  const known = state.projects.get(command.project);
  if (known === undefined) return answer({ kind: 'not-found', message: `no project ${command.project}` });
  const { source } = command;
  if (source.kind === 'webhook' && known.deliveryIds.has(source.delivery)) {
    return answer({ kind: 'refused', message: `delivery ${source.delivery} was taken before` });
  }
  const head = command.head ?? known.head;
  const isFirst = source.kind === 'poll' && !known.polled;
  const wanted = defaultBranchOf({ ...known, head });
  const moves: RecordedMove[] = [];
  for (const move of command.moves) {
    const judgement = judge(state, known, move, source);
    if (judgement === 'known') continue;
    const isPush = !isFirst || (wanted !== undefined && branchOf(move.ref) === wanted);
    const asks = judgement.isPush && isPush && move.new !== undefined && isBuilt(move.ref);
    moves.push({ ...move, asks: asks && !isAsked(state, move), place: judgement.place });
  }
  if (moves.length === 0 && source.kind === 'poll' && !isFirst && head === known.head) return answer(done);
  const events: Event[] = [
    {
      kind: 'RefsMoved',
      project: command.project,
      source,
      moves,
      ...(command.head === undefined ? {} : { head: command.head }),
    },
  ];
  for (const move of moves) {
    if (move.new === undefined)
      events.push(...settlePending(state, known, move.ref), ...cancelWaiting(state, known, move.ref));
  }
  return { events, answer: { kind: 'moved', runs: moves.filter(({ asks }) => asks).map(({ run }) => run) } };
}

const isBuilt = (ref: string): boolean => ref.startsWith('refs/heads/') || ref.startsWith('refs/tags/');

const isAsked = (state: State, { run }: ReportedMove): boolean =>
  state.triggers.has(run) || state.runs.has(run) || state.recorded.has(run);

type Judgement = 'known' | { readonly isPush: boolean; readonly place: RecordedMove['place'] };

function judge(state: State, known: ProjectState, move: ReportedMove, source: MoveSource): Judgement {
  const ref = known.refs.get(move.ref);
  if (ref === undefined) return move.new === undefined ? 'known' : { isPush: true, place: 'tip' };
  if (source.kind === 'poll') {
    if (ref.tip === move.new && !ref.isGuess) return 'known';
    const isTold = ref.isGuess && isBuiltAlready(state, known, move);
    return { isPush: !isTold, place: 'tip' };
  }
  if (ref.tip === move.new || ref.moves.some((other) => other.run === move.run)) return 'known';
  if (ref.tip === move.old) return { isPush: true, place: ref.isGuess ? 'guess' : 'tip' };
  if (ref.moves.some((other) => other.old === move.old)) return { isPush: false, place: 'late' };
  if (ref.moves.some((other) => other.old === move.new)) return { isPush: true, place: 'late' };
  return { isPush: true, place: 'guess' };
}

function isBuiltAlready(state: State, known: ProjectState, { ref, new: tip }: ReportedMove): boolean {
  if (known.refs.get(ref)?.moves.some((other) => other.new === tip) === true) return true;
  const branch = branchOf(ref);
  return (
    [...state.triggers.values()].some(({ move }) => move.ref === ref && move.new === tip) ||
    [...state.runs.values()].some(
      ({ facts }) => facts.project === known.project.id && facts.commit === tip && facts.branch === branch,
    )
  );
}

/** Pushes of a ref that is gone, as far as nobody has read them. */
function settlePending(state: State, { project }: ProjectState, ref: string): readonly Event[] {
  return [...state.triggers.values()]
    .filter((trigger) => trigger.project === project.id && trigger.move.ref === ref)
    .map(({ run }) => ({ kind: 'TriggerSettled', run, project: project.id, reason: 'the ref was deleted' }));
}

/** Runs of a branch that is gone, as far as nothing of them has begun. */
function cancelWaiting(state: State, { project }: ProjectState, ref: string): readonly Event[] {
  const branch = branchOf(ref);
  if (branch === undefined) return [];
  return [...state.runs.values()]
    .filter(({ facts }) => facts.project === project.id && facts.event === 'push' && facts.branch === branch)
    .filter((run) => run.open > 0 && run.canceledBy === undefined && !hasBegun(run))
    .map(({ run }) => ({ kind: 'CancelRequested', run, by: `the deletion of branch ${branch}` }));
}

const hasBegun = (run: RunState): boolean =>
  run.stages.some(({ phase }) => phase.kind !== 'pending' && phase.kind !== 'waiting');

/**
 * Older runs of the branch, if the project wants only the newest to go on. The run of what the branch is at stays, whatever
 * is accepted after it: pushes are read side by side, and old runs are retried.
 */
export function superseded(
  state: State,
  { run, facts, retryOf }: Pick<RunState, 'run' | 'facts' | 'retryOf'>,
): readonly Event[] {
  const known = state.projects.get(facts.project);
  if (known?.project.settings.cancelSuperseded !== true) return [];
  if (facts.event !== 'push' || facts.branch === undefined) return [];
  if (retryOf !== undefined && !speaksForBranch(known, { facts, retryOf })) return [];
  const tip = known.refs.get(`refs/heads/${facts.branch}`)?.tip;
  return (
    [...state.runs.values()]
      .filter((other) => other.facts.project === facts.project && other.facts.event === 'push')
      .filter((other) => facts.commit === tip || other.facts.commit !== tip)
      .filter(
        (other) => other.facts.branch === facts.branch && other.open > 0 && other.canceledBy === undefined,
      )
      // Cut off in the middle, it would leave an environment of which nobody knows what is there.
      .filter((other) => !isDeploying(state.deliveries, other.run))
      .map((other) => ({ kind: 'CancelRequested', run: other.run, by: `a newer push, run ${run}` }))
  );
}

/** A push that gets no run, and why. */
export function settleTrigger(state: State, command: ProjectCommand<'SettleTrigger'>): Handled {
  const trigger = state.triggers.get(command.run);
  if (trigger === undefined) return answer(done);
  const { run, project } = trigger;
  return { events: [{ kind: 'TriggerSettled', run, project, reason: command.reason }], answer: done };
}

export function notified(state: State, command: ProjectCommand<'NotificationSent'>): Handled {
  const waiting = state.outbox.get(command.run);
  if (waiting === undefined || waiting.settled.has(command.target)) return answer(done);
  const { run, target, outcome, message } = command;
  return { events: [{ kind: 'Notified', run, target, outcome, message }], answer: done };
}

export function notificationsDone(state: State, command: ProjectCommand<'NotificationsSettled'>): Handled {
  if (!state.outbox.has(command.run)) return answer(done);
  return { events: [{ kind: 'NotificationsDone', run: command.run }], answer: done };
}
