/** A gate as the coordinator sends it, in the shape that scripts get. */
import {
  gateEntryStatuses,
  type EndedEntryView,
  type GateEntryStatus,
  type GateEntryView,
  type GateView,
} from '../../../shared/model/gate-view.js';
import { parseGateEntryId } from '../../../shared/model/gate.js';
import { parseCommitId, parseProjectId, parseRunId } from '../../../shared/model/ids.js';
import type { GateEntry__Output } from '../../../shared/wire/gen/gantry/v1/GateEntry.js';
import type { GateView__Output } from '../../../shared/wire/gen/gantry/v1/GateView.js';
import { oneOf, parsed } from '../../../shared/wire/wire-error.js';

export interface NamedGateView extends GateView {
  readonly projectName: string;
}

export function gateFromWire(message: GateView__Output): NamedGateView {
  const { pausedReason = '', pausedSince = '' } = message;
  return {
    project: parsed('project', 'a project id', parseProjectId, message.project),
    projectName: message.projectName ?? '',
    target: message.target ?? '',
    status: oneOf('status', ['idle', 'busy', 'paused'] as const, message.status),
    tip: parseCommitId(message.tip ?? '') ?? null,
    paused: pausedReason === '' ? null : { reason: pausedReason, since: pausedSince },
    notes: message.notes ?? [],
    entries: (message.entries ?? []).map(queued),
    ended: (message.ended ?? []).map(ended),
  };
}

const queued = (message: GateEntry__Output): GateEntryView => ({
  ...factsOf(message),
  place: message.place ?? 0,
  status: oneOf<GateEntryStatus>('status', gateEntryStatuses, message.status),
  candidate: parseCommitId(message.candidate ?? '') ?? null,
  base: parseCommitId(message.base ?? '') ?? null,
  run: parseRunId(message.run ?? '') ?? null,
  waitingFor: message.waitingFor ?? [],
});

const ended = (message: GateEntry__Output): EndedEntryView => ({
  ...factsOf(message),
  status: oneOf('status', ['landed', 'already-landed', 'ejected'] as const, message.status),
  reason: message.reason ?? '',
  landedAs: parseCommitId(message.landedAs ?? '') ?? null,
  run: parseRunId(message.run ?? '') ?? null,
  endedAt: message.endedAt ?? '',
});

const factsOf = ({ entry, commit, source, title, author, by, queuedAt, rebuilds }: GateEntry__Output) => ({
  entry: parsed('entry', 'an entry id', parseGateEntryId, entry),
  commit: parsed('commit', 'a commit id', parseCommitId, commit),
  source: source ?? '',
  title: title ?? '',
  author: author === undefined || author === '' ? null : author,
  by: by ?? '',
  queuedAt: queuedAt ?? '',
  rebuilds: rebuilds ?? 0,
});
