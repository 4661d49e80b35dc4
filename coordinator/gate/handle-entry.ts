/** Entering a queue, and being put out of it. */
import { describeEjection, type Ejection } from '../../shared/model/ejection.js';
import { describePause, sourceName, type GateEvent } from '../../shared/model/gate.js';
import type { GateAnswer, GateCommand, GateHandled } from './command.js';
import { accept, answer, refuse, type World } from './respond.js';
import { findGate, type EndedEntry, type EntryEnd, type Gate, type GateEntry } from './state.js';

/** A queue this long is a mistake of some script, and every entry costs in each snapshot. */
export const mostEntries = 1_000;

type Land = Extract<GateCommand, { readonly kind: 'Land' }>;

export function land({ gates, context }: World, command: Land): GateHandled {
  const { project, target, entry, commit, source, title, author, by } = command;
  const settings = context.settings(project);
  if (settings === undefined)
    return refuse('the project has no gate: set `gate.require` of the project first');
  if (source.ref === `refs/heads/${target}`) return refuse(`${target} cannot land on itself`);
  const gate = findGate(gates, command);
  const known = gate === undefined ? undefined : whatIsKnown(gate, command);
  if (known !== undefined) return answer(known);
  if (gate !== undefined && gate.entries.length >= mostEntries) {
    return refuse(`the queue of ${target} is full: ${mostEntries} entries wait already`);
  }
  // One ref is one change: the newer commit takes the place of the older, at the end of the queue.
  const older = gate?.entries.filter((other) => other.source.ref === source.ref) ?? [];
  const left = older.flatMap((other) =>
    leave({ project, target }, other, { kind: 'superseded', ref: source.ref, to: commit }),
  );
  const place = (gate?.entries.length ?? 0) + 1 - left.filter(({ kind }) => kind === 'GateEjected').length;
  const queued: GateEvent = {
    kind: 'GateQueued',
    project,
    target,
    entry,
    commit,
    source,
    method: command.method ?? settings.method,
    title,
    ...(author === undefined ? {} : { author }),
    by,
  };
  return accept([...left, queued], {
    kind: 'queued',
    entry,
    place,
    again: false,
    ...pausedOf(gate),
  });
}

const pausedOf = (gate: Gate | undefined): { readonly paused?: string } =>
  gate?.paused === undefined ? {} : { paused: describePause(gate.paused.pause) };

/** The answer for a request that was made before, or asks for what is queued already. */
function whatIsKnown(gate: Gate, { entry, commit, source }: Land): GateAnswer | undefined {
  const { entries, ended } = gate;
  const sameId =
    entries.find((other) => other.entry === entry) ?? ended.find((other) => other.entry === entry);
  if (sameId !== undefined && sameId.commit !== commit) {
    return {
      kind: 'refused',
      message: `entry ${entry} is another commit: give a different request an id of its own`,
    };
  }
  const place = entries.findIndex(
    (other) => other.entry === entry || (other.commit === commit && other.leaving === undefined),
  );
  const found = entries[place];
  if (found !== undefined) {
    return { kind: 'queued', entry: found.entry, place: place + 1, again: true, ...pausedOf(gate) };
  }
  // A proposal whose ref is still to be deleted was not pushed again: a poll saw it once more.
  const last =
    ended.find((other) => other.entry === entry) ??
    ended.findLast((other) => isBeingDeleted(gate, other) && isSame(other, { commit, source }));
  return last === undefined ? undefined : { kind: 'ended', entry: last.entry, end: last.end };
}

const isSame = (one: EndedEntry, other: Pick<Land, 'commit' | 'source'>): boolean =>
  one.commit === other.commit && one.source.ref === other.source.ref;

const isBeingDeleted = ({ chores }: Gate, { source, commit }: EndedEntry): boolean =>
  [...chores.values()].some(
    (chore) => chore.kind === 'delete-ref' && chore.ref === source.ref && chore.old === commit,
  );

export function eject({ gates }: World, command: Extract<GateCommand, { kind: 'Eject' }>): GateHandled {
  const { target, by, reason } = command;
  const gate = findGate(gates, command);
  const entry = gate?.entries.find((other) => other.entry === command.entry);
  if (gate === undefined || entry === undefined) {
    const ended = gate?.ended.find((other) => other.entry === command.entry);
    return ended === undefined
      ? answer({ kind: 'not-found', message: `no entry ${command.entry} in the queue of ${target}` })
      : refuse(`entry ${command.entry} has left the queue: ${describeEnd(ended.end)}`);
  }
  const ejection = { kind: 'asked' as const, by, ...(reason === undefined ? {} : { reason }) };
  const events = leave(gate, entry, ejection);
  return entry.phase.kind === 'pushing'
    ? accept(events, {
        kind: 'leaving',
        message: `${sourceName(entry.source)} is being pushed to ${target}: it is ejected if that does not succeed`,
      })
    : accept(events);
}

/** The events with which an entry leaves: at once, or after its push turned out not to have landed. */
export function leave(
  { project, target }: Pick<Gate, 'project' | 'target'>,
  { entry, phase, leaving }: GateEntry,
  ejection: Ejection,
): readonly GateEvent[] {
  if (phase.kind !== 'pushing') return [{ kind: 'GateEjected', project, target, entry, ejection }];
  return leaving === undefined ? [{ kind: 'GateLeaving', project, target, entry, ejection }] : [];
}

export function describeEnd(end: EntryEnd): string {
  switch (end.kind) {
    case 'landed':
      return `it landed as ${end.commit}`;
    case 'already-landed':
      return 'the target contained it already';
    case 'ejected':
      return describeEjection(end.ejection);
  }
}
