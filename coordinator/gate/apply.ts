/**
 * The only function that changes what is known about gates. It decides nothing and checks nothing: what is in the
 * journal has happened. It is deterministic in its arguments, so that every replay comes to the same.
 */
import type { GateEvent } from '../../shared/model/gate.js';
import { deleteRefOf, makeChore, stopRun } from './make-chore.js';
import {
  factsOf,
  findGate,
  gateKey,
  openRunOf,
  type EntryEnd,
  type EntryPhase,
  type Gate,
  type GateEntry,
  type Gates,
} from './state.js';

/** So many ended entries of a gate are remembered. */
export const endedKept = 50;
const bypassersKept = 5;
const noBypasses: Gate['bypasses'] = { count: 0, by: [], from: undefined };

/** `at`: wall time of the event's entry in the journal. */
export function applyGate(gates: Gates, event: GateEvent, at: number): void {
  const gate = findGate(gates, event) ?? newGate(gates, event);
  gates.touched.add(gate);
  if ('entry' in event && event.kind !== 'GateQueued') {
    const entry = gate.entries.find((other) => other.entry === event.entry);
    if (entry !== undefined) applyToEntry({ gates, gate, entry, at }, event);
    return;
  }
  switch (event.kind) {
    case 'GateQueued':
      gate.entries.push({
        entry: event.entry,
        commit: event.commit,
        source: event.source,
        method: event.method,
        title: event.title,
        author: event.author,
        by: event.by,
        queuedAt: at,
        phase: { kind: 'queued' },
        rebuilds: 0,
        leaving: undefined,
      });
      return;
    case 'GateTargetSeen':
      gate.tip = event.tip;
      return;
    case 'GateBypassed':
      gate.tip = event.to;
      gate.bypasses = {
        count: gate.bypasses.count + 1,
        by: [...new Set([...gate.bypasses.by, ...event.by])].slice(0, bypassersKept),
        from: event.from,
      };
      makeChore(gate, {
        kind: 'notify',
        notice: { kind: 'bypassed', from: event.from, to: event.to, by: event.by },
      });
      return;
    case 'GatePaused':
      gate.paused = { pause: event.pause, at };
      // Who asked for it knows.
      if (event.pause.kind !== 'asked')
        makeChore(gate, { kind: 'notify', notice: { kind: 'paused', pause: event.pause } });
      return;
    case 'GateResumed':
      resume(gates, gate, at);
      return;
    case 'GateChoreDone':
      gate.chores.delete(event.chore);
      return;
  }
}

function newGate(gates: Gates, { project, target }: GateEvent): Gate {
  const gate: Gate = {
    project,
    target,
    tip: undefined,
    entries: [],
    paused: undefined,
    bypasses: noBypasses,
    chores: new Map(),
    choresMade: 0,
    ended: [],
  };
  gates.all.set(gateKey(project, target), gate);
  return gate;
}

/** Who resumes a gate vouches for the target as it is, and gives runs a new count of faults and a new time. */
function resume(gates: Gates, gate: Gate, at: number): void {
  const pause = gate.paused?.pause.kind;
  if (pause === 'rewound' || pause === 'deleted') gate.tip = undefined;
  gate.paused = undefined;
  for (const entry of gate.entries) {
    const { phase } = entry;
    if (phase.kind === 'built') setPhase(gates, gate, entry, { ...phase, since: at, faults: [] });
    if (phase.kind === 'testing') setPhase(gates, gate, entry, { ...phase, since: at, faults: [] });
  }
}

interface Place {
  readonly gates: Gates;
  readonly gate: Gate;
  readonly entry: GateEntry;
  readonly at: number;
}

type EntryEvent = Exclude<Extract<GateEvent, { readonly entry: unknown }>, { readonly kind: 'GateQueued' }>;

function applyToEntry(place: Place, event: EntryEvent): void {
  const { gates, gate, entry, at } = place;
  const { phase } = entry;
  const become = (next: EntryPhase): void => setPhase(gates, gate, entry, next);
  switch (event.kind) {
    case 'GateMerged': {
      const { candidate } = event;
      become({ kind: 'built', candidate, run: candidate.run, since: at, faults: [] });
      return;
    }
    case 'GateConflicted':
      become({ kind: 'conflicted', base: event.base, files: event.files });
      return;
    case 'GateContained':
      become({ kind: 'contained', base: event.base });
      return;
    case 'GateRunStarted':
      if (phase.kind === 'built') become({ ...phase, kind: 'testing', since: at });
      return;
    case 'GateRunEnded':
      applyRunEnded(place, event);
      return;
    case 'GateRebuilt':
      stopRun(gate, openRunOf(entry));
      entry.rebuilds += 1;
      become({ kind: 'queued' });
      return;
    case 'GatePushBegan':
      if (phase.kind === 'green') become({ ...phase, kind: 'pushing' });
      return;
    case 'GatePushFailed':
      if (phase.kind === 'pushing') become({ ...phase, kind: 'green' });
      return;
    case 'GateLeaving':
      entry.leaving = event.ejection;
      return;
    case 'GateLanded':
      gate.tip = event.commit;
      gate.bypasses = noBypasses;
      end(place, { kind: 'landed', commit: event.commit, run: event.run });
      makeChore(gate, {
        kind: 'start-push-run',
        from: event.from,
        to: event.commit,
        gateRun: event.run,
        by: entry.by,
      });
      return;
    case 'GateEjected': {
      stopRun(gate, openRunOf(entry));
      const ended = end(place, { kind: 'ejected', ejection: event.ejection });
      makeChore(gate, {
        kind: 'notify',
        notice: { kind: 'ejected', entry: ended, ejection: event.ejection },
      });
      return;
    }
    case 'GateAlreadyLanded':
      end(place, { kind: 'already-landed' });
      return;
  }
}

function applyRunEnded(
  { gates, gate, entry, at }: Place,
  event: Extract<EntryEvent, { kind: 'GateRunEnded' }>,
) {
  const { phase } = entry;
  if (phase.kind !== 'built' && phase.kind !== 'testing') return;
  if (event.isGivenUp) stopRun(gate, phase.run);
  const { candidate, run } = phase;
  const { verdict } = event;
  switch (verdict.kind) {
    case 'green':
      setPhase(gates, gate, entry, { kind: 'green', candidate, run });
      return;
    case 'red':
    case 'canceled':
      setPhase(gates, gate, entry, { kind: 'red', candidate, run, verdict });
      return;
    case 'ours': {
      const faults = [...phase.faults, { run, reason: verdict.reason }];
      setPhase(gates, gate, entry, { kind: 'built', candidate, run: verdict.next, since: at, faults });
      return;
    }
  }
}

function setPhase(gates: Gates, gate: Gate, entry: GateEntry, phase: EntryPhase): void {
  const before = openRunOf(entry);
  if (before !== undefined) gates.runs.delete(before);
  entry.phase = phase;
  const run = openRunOf(entry);
  if (run !== undefined) gates.runs.set(run, { gate, entry });
}

function end({ gates, gate, entry, at }: Place, how: EntryEnd): Gate['ended'][number] {
  const run = openRunOf(entry);
  if (run !== undefined) gates.runs.delete(run);
  gate.entries = gate.entries.filter((other) => other !== entry);
  const ended = { ...factsOf(entry), rebuilds: entry.rebuilds, end: how, endedAt: at };
  gate.ended = [...gate.ended, ended].slice(-endedKept);
  deleteRefOf(gate, ended);
  return ended;
}
