/** When a stage may start, and what a run comes to when all have ended. */
import type { Failure } from '../../shared/model/failure.js';
import type { Condition } from '../../shared/model/pipeline.js';
import { conditionAfterNeeds, type ConditionOutcome } from '../pipeline/after-needs.js';
import { worstOf, type EndedStatus } from '../pipeline/condition-facts.js';
import type { RunState, StageState } from './state.js';

export type NeedsOutcome =
  | { readonly kind: 'met' }
  | { readonly kind: 'open' }
  /** This need did not succeed, so the stage never starts. */
  | { readonly kind: 'unmet'; readonly need: StageState }
  /** Its condition did not hold when the run was planned, so the stage never starts. */
  | { readonly kind: 'never' }
  /** All that it needs has ended, itself or through others, and its condition decides, whatever became of them. */
  | { readonly kind: 'asks'; readonly condition: ConditionAfterNeeds };

export type ConditionAfterNeeds = Extract<Condition, { kind: 'after-needs' }>;

/**
 * A failure that is allowed counts as success. A need that somebody asked to cancel does not count, even if it
 * succeeded before its agent heard of it: who cancels a stage does not want what follows from it.
 */
export function needsOutcome(stage: StageState): NeedsOutcome {
  const { condition } = stage.outline;
  if (condition?.kind === 'never') return { kind: 'never' };
  let isOpen = false;
  for (const need of stage.needs) {
    if (condition !== undefined) isOpen ||= need.settled === undefined;
    else if (need.phase.kind !== 'ended') isOpen = true;
    else if (!endedWell(need)) return { kind: 'unmet', need };
  }
  if (isOpen) return { kind: 'open' };
  return condition === undefined ? { kind: 'met' } : { kind: 'asks', condition };
}

/** What the condition of a stage comes to, all of whose needs have ended. It is evaluated: its outcome is an event. */
export function conditionOutcome(stage: StageState, condition: ConditionAfterNeeds): ConditionOutcome {
  const byName = new Map<string, EndedStatus[]>();
  for (const need of stage.needs) {
    const { name } = need.outline;
    byName.set(name, [...(byName.get(name) ?? []), statusForConditions(need)]);
  }
  return conditionAfterNeeds(condition, {
    facts: stage.run.facts,
    cell: stage.outline.cell,
    needs: {
      statuses: new Map([...byName].map(([name, statuses]) => [name, worstOf(statuses)])),
      hasFailure: stage.needs.some((need) => need.settled?.hasFailure === true),
    },
  });
}

/** A success that somebody asked to cancel is none for what follows, see above. */
function statusForConditions({ phase, canceledBy }: StageState): EndedStatus {
  if (phase.kind !== 'ended') throw new Error('a condition is asked before the needs have ended');
  return phase.status === 'succeeded' && canceledBy !== undefined ? 'canceled' : phase.status;
}

function endedWell(need: StageState): boolean {
  if (need.phase.kind !== 'ended' || need.canceledBy !== undefined) return false;
  const { status } = need.phase;
  return status === 'succeeded' || (status === 'failed' && need.outline.allowFailure);
}

/** The status of a run whose stages have all ended: failed over canceled over succeeded. */
export function runOutcome(run: RunState): 'succeeded' | 'failed' | 'canceled' {
  if (run.failure !== undefined) return 'failed';
  let isCanceled = false;
  for (const { phase, outline } of run.stages) {
    if (phase.kind !== 'ended') continue;
    if (phase.status === 'failed' && !outline.allowFailure) return 'failed';
    if (phase.status === 'canceled') isCanceled = true;
  }
  return isCanceled ? 'canceled' : 'succeeded';
}

export const canceledFailure = (by: string): Failure => ({ kind: 'canceled', by });

/** Why these stages cannot be run, in a sentence; undefined when they can: every run must be able to end. */
export function whyNotRunnable(
  stages: readonly { readonly number: number; readonly name: string; readonly needs: readonly number[] }[],
): string | undefined {
  if (stages.length === 0) return 'the run has no stages';
  const open = new Map<number, number>();
  const dependants = new Map<number, number[]>();
  for (const stage of stages) {
    if (open.has(stage.number)) return `two stages have the number ${stage.number}`;
    open.set(stage.number, stage.needs.length);
    for (const need of stage.needs) dependants.set(need, [...(dependants.get(need) ?? []), stage.number]);
  }
  for (const stage of stages) {
    const unknown = stage.needs.find((need) => !open.has(need));
    if (unknown !== undefined)
      return `stage ${stage.name} needs stage ${unknown}, which is not part of the run`;
  }
  const free = stages.filter((stage) => stage.needs.length === 0).map((stage) => stage.number);
  let reached = 0;
  for (let number = free.pop(); number !== undefined; number = free.pop()) {
    reached += 1;
    for (const dependant of dependants.get(number) ?? []) {
      const left = (open.get(dependant) ?? 0) - 1;
      open.set(dependant, left);
      if (left === 0) free.push(dependant);
    }
  }
  return reached === stages.length ? undefined : 'the stages need each other in a circle';
}
