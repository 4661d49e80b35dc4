/** What conditions may ask about. */
import type { TriggerKind } from '../../shared/model/pipeline.js';

/** Texts; what does not apply to a run (`tag` of a push) is "". */
export const factNames = ['event', 'branch', 'target', 'tag', 'commit', 'author', 'message'] as const;
export type FactName = (typeof factNames)[number];

export const triggerKinds: readonly TriggerKind[] = [
  'push',
  'change',
  'gate',
  'tag',
  'schedule',
  'manual',
  'submit',
];

/** How a stage may have ended, as `needs.<stage>.status`. */
export const endedStatuses = ['succeeded', 'failed', 'canceled', 'skipped'] as const;
export type EndedStatus = (typeof endedStatuses)[number];

/** A need on a matrix means all its cells: its status is the worst of theirs. */
export function worstOf(statuses: readonly EndedStatus[]): EndedStatus {
  const worst = (['failed', 'canceled', 'skipped'] as const).find((status) => statuses.includes(status));
  return worst ?? 'succeeded';
}
