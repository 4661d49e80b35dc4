/** Conditions that are left when a run is planned, once the needs of their stage have ended. */
import type { Condition, RunFacts } from '../../shared/model/pipeline.js';
import { readCondition } from './condition.js';
import { holds, NotThere, type NeedsEnded } from './evaluate.js';
import { keyOf } from './expression-tree.js';
import { conditionsOf, factsFor } from './run-conditions.js';

export type ConditionOutcome =
  | { readonly kind: 'holds' }
  | { readonly kind: 'holds-not' }
  /** It was not planned for this stage. */
  | { readonly kind: 'invalid'; readonly message: string };

export interface StageAsked {
  readonly facts: RunFacts;
  readonly cell: Readonly<Record<string, string>>;
  readonly needs: NeedsEnded;
}

/** Costs a parse, tens of microseconds: whoever asks remembers the answer. Never throws. */
export function conditionAfterNeeds(
  condition: Extract<Condition, { kind: 'after-needs' }>,
  { facts, cell, needs }: StageAsked,
): ConditionOutcome {
  const expression = readCondition(condition.text);
  if (expression === undefined) return invalid(condition, 'it cannot be read');
  const run = conditionsOf(facts);
  try {
    const isTrue = holds(expression, {
      facts: factsFor(run),
      inputs: run.inputs,
      cell,
      needs,
      answer: (question) => {
        const key = keyOf(question);
        const known = Object.hasOwn(condition.answers, key) ? condition.answers[key] : undefined;
        if (known === undefined) throw new NotThere(`${key} was not answered when the run was planned`);
        return known;
      },
    });
    return { kind: isTrue ? 'holds' : 'holds-not' };
  } catch (error) {
    if (!(error instanceof NotThere)) throw error;
    return invalid(condition, error.message);
  }
}

const invalid = ({ text }: Condition, why: string): ConditionOutcome => ({
  kind: 'invalid',
  message: `the condition \`${text}\` cannot be decided: ${why}`,
});
