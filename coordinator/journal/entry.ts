import { deliveryEventKinds } from '../../shared/model/environment.js';
import type { Entry, EventKind } from '../../shared/model/event.js';

const kinds: Readonly<Record<EventKind, true>> = {
  EpochBegan: true,
  RunAccepted: true,
  CancelRequested: true,
  StageLeased: true,
  LeaseReturned: true,
  AttemptReported: true,
  AttemptLost: true,
  ConditionHeld: true,
  StageEnded: true,
  RunEnded: true,
  RunRecorded: true,
  AgentRegistered: true,
  AgentDraining: true,
  AgentForgotten: true,
  ProjectSet: true,
  ProjectRemoved: true,
  RefsMoved: true,
  TriggerSettled: true,
  Notified: true,
  NotificationsDone: true,
  GateQueued: true,
  GateTargetSeen: true,
  GateMerged: true,
  GateConflicted: true,
  GateContained: true,
  GateRunStarted: true,
  GateRunEnded: true,
  GateRebuilt: true,
  GatePushBegan: true,
  GatePushFailed: true,
  GateLeaving: true,
  GateLanded: true,
  GateEjected: true,
  GateAlreadyLanded: true,
  GateBypassed: true,
  GatePaused: true,
  GateResumed: true,
  GateChoreDone: true,
  ...deliveryEventKinds,
  Audited: true,
};

/**
 * What the journal holds was written by a coordinator, whose types were checked when it was compiled; so only what
 * another version of it could have done differently is checked: the entry's form and the kinds of its events. Throws
 * an Error that says which.
 */
export function parseEntry(value: unknown): Entry {
  if (!isEntryShaped(value)) throw new Error('this is no entry of a journal');
  if (value.v !== 1)
    throw new Error(`version ${String(value.v)} is newer than this coordinator: upgrade the coordinator`);
  for (const event of value.events) {
    if (!hasKnownKind(event))
      throw new Error(
        `an event of a kind that this coordinator does not know (${JSON.stringify(event).slice(0, 80)}): upgrade the coordinator`,
      );
  }
  // The shape and every kind were checked above; the fields of a known kind are its writer's.
  return value as Entry;
}

function isEntryShaped(
  value: unknown,
): value is { v: unknown; at: number; epoch: number; events: readonly unknown[] } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'v' in value &&
    'at' in value &&
    typeof value.at === 'number' &&
    'epoch' in value &&
    typeof value.epoch === 'number' &&
    'events' in value &&
    Array.isArray(value.events)
  );
}

function hasKnownKind(event: unknown): boolean {
  return (
    typeof event === 'object' &&
    event !== null &&
    'kind' in event &&
    typeof event.kind === 'string' &&
    Object.hasOwn(kinds, event.kind)
  );
}
