/**
 * A condition as it is evaluated. Everything in it has a value whatever the run is: nothing divides, converts or looks
 * into what may not be there, so no condition fails when it is evaluated. Types were checked before (`cel.ts`).
 */
import type { FactName } from './condition-facts.js';

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=';
export type TextTest = 'contains' | 'startsWith' | 'endsWith';
export type TextChange = 'lowerAscii' | 'upperAscii' | 'trim';

/** One text of a run. */
export type Subject =
  | { readonly kind: 'fact'; readonly name: FactName }
  | { readonly kind: 'matrix'; readonly axis: string }
  /** "" where it was not given. */
  | { readonly kind: 'input'; readonly name: string };

/** Costs time with the run's size, so it is answered once, when the run is planned. */
export type Question =
  | { readonly kind: 'changed'; readonly patterns: readonly string[] }
  | { readonly kind: 'matches'; readonly subject: Subject; readonly pattern: string };

export type Expression =
  | { readonly kind: 'constant'; readonly value: string | number | boolean }
  | Subject
  | { readonly kind: 'need'; readonly stage: string }
  | { readonly kind: 'always' }
  | { readonly kind: 'failed' }
  | Question
  | { readonly kind: 'test'; readonly test: TextTest; readonly text: Expression; readonly with: Expression }
  | { readonly kind: 'change'; readonly change: TextChange; readonly text: Expression }
  | { readonly kind: 'size'; readonly text: Expression }
  | {
      readonly kind: 'compare';
      readonly by: Comparison;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'in'; readonly item: Expression; readonly list: readonly Expression[] }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: 'choose';
      readonly if: Expression;
      readonly then: Expression;
      readonly else: Expression;
    };

/** Under which an answer is kept in a `Condition`. */
export function keyOf(question: Question): string {
  return question.kind === 'changed'
    ? `changed(${JSON.stringify(question.patterns)})`
    : `${nameOf(question.subject)}.matches(${JSON.stringify(question.pattern)})`;
}

function nameOf(subject: Subject): string {
  switch (subject.kind) {
    case 'fact':
      return subject.name;
    case 'matrix':
      return `matrix.${subject.axis}`;
    case 'input':
      return `inputs.${subject.name}`;
  }
}

/** All that is in it, itself included. */
export function* partsOf(expression: Expression): Generator<Expression> {
  yield expression;
  switch (expression.kind) {
    case 'test':
      yield* partsOf(expression.text);
      yield* partsOf(expression.with);
      break;
    case 'change':
    case 'size':
      yield* partsOf(expression.text);
      break;
    case 'compare':
    case 'and':
    case 'or':
      yield* partsOf(expression.left);
      yield* partsOf(expression.right);
      break;
    case 'in':
      yield* partsOf(expression.item);
      for (const item of expression.list) yield* partsOf(item);
      break;
    case 'not':
      yield* partsOf(expression.of);
      break;
    case 'choose':
      yield* partsOf(expression.if);
      yield* partsOf(expression.then);
      yield* partsOf(expression.else);
      break;
    case 'constant':
    case 'fact':
    case 'matrix':
    case 'input':
    case 'need':
    case 'always':
    case 'failed':
    case 'changed':
    case 'matches':
      break;
  }
}
