/** What people see of a gate. See `shared/model/gate-view.ts` for the shapes. */
import { describePause, sourceName } from '../../shared/model/gate.js';
import type {
  EndedEntryView,
  GateEntryStatus,
  GateEntryView,
  GateView,
} from '../../shared/model/gate-view.js';
import type { GateContext } from './command.js';
import { describeEnd } from './handle-entry.js';
import type { GatePresence } from './presence.js';
import { notesOf, reasonsOf } from './reasons.js';
import {
  baseOf,
  type EndedEntry,
  type EntryFacts,
  type EntryPhase,
  type Gate,
  type GateEntry,
} from './state.js';

interface Beside {
  readonly presence: GatePresence;
  readonly context: GateContext;
}

export function gateView(gate: Gate, beside: Beside): GateView {
  const { project, target, tip, paused, entries, ended } = gate;
  return {
    project,
    target,
    status: paused !== undefined ? 'paused' : entries.length > 0 ? 'busy' : 'idle',
    tip: tip ?? null,
    paused: paused === undefined ? null : { reason: describePause(paused.pause), since: iso(paused.at) },
    notes: notesOf(gate, beside),
    entries: entries.map((entry, place) => entryView(entry, place, reasonsOf(gate, place, beside))),
    ended: ended.toReversed().map(endedView),
  };
}

function entryView(entry: GateEntry, place: number, waitingFor: readonly string[]): GateEntryView {
  const { phase } = entry;
  return {
    ...factsView(entry, entry.rebuilds),
    place: place + 1,
    status: statusOf(phase),
    candidate: 'candidate' in phase ? phase.candidate.commit : null,
    base: baseOf(entry) ?? null,
    run: 'run' in phase ? phase.run : null,
    waitingFor,
  };
}

export function endedView(entry: EndedEntry): EndedEntryView {
  const { end } = entry;
  return {
    ...factsView(entry, entry.rebuilds),
    status: end.kind,
    reason: describeEnd(end),
    landedAs: end.kind === 'landed' ? end.commit : null,
    run: end.kind === 'landed' ? end.run : runOf(end),
    endedAt: iso(entry.endedAt),
  };
}

function runOf(end: Exclude<EndedEntry['end'], { kind: 'landed' }>): EndedEntryView['run'] {
  return end.kind === 'ejected' && 'run' in end.ejection ? end.ejection.run : null;
}

function factsView(facts: EntryFacts, rebuilds: number) {
  const { entry, commit, source, title, author, by, queuedAt } = facts;
  return {
    entry,
    commit,
    source: sourceName(source),
    title,
    author: author ?? null,
    by,
    queuedAt: iso(queuedAt),
    rebuilds,
  };
}

function statusOf({ kind }: EntryPhase): GateEntryStatus {
  switch (kind) {
    case 'conflicted':
      return 'conflict';
    case 'built':
      return 'starting';
    case 'pushing':
      return 'landing';
    case 'queued':
    case 'contained':
    case 'testing':
    case 'green':
    case 'red':
      return kind;
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();
