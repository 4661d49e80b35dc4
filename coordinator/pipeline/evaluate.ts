import type { FactName, EndedStatus } from './condition-facts.js';
import type { Comparison, Expression, Question, Subject, TextChange, TextTest } from './expression-tree.js';

/** What a condition is asked about. */
export interface Circumstances {
  readonly facts: Readonly<Record<FactName, string>>;
  readonly inputs: Readonly<Record<string, string>>;
  readonly cell: Readonly<Record<string, string>>;
  readonly answer: (question: Question) => boolean;
  /** Undefined while the run is planned: a condition that speaks of them is not evaluated then. */
  readonly needs: NeedsEnded | undefined;
}

/** How the needs of a stage have ended. */
export interface NeedsEnded {
  /** By the name of the stage. */
  readonly statuses: ReadonlyMap<string, EndedStatus>;
  /** A stage that it needs, itself or through others, has failed and was not allowed to. */
  readonly hasFailure: boolean;
}

/** The condition asks for what is not there: it was compiled for another pipeline than the one that runs. */
export class NotThere extends Error {
  override readonly name = 'NotThere';
}

type Value = string | number | boolean;

/** Throws `NotThere` alone, and never for a condition in the stage that it was compiled for. */
export function holds(expression: Expression, among: Circumstances): boolean {
  return truth(valueOf(expression, among));
}

function valueOf(expression: Expression, among: Circumstances): Value {
  switch (expression.kind) {
    case 'constant':
      return expression.value;
    case 'fact':
    case 'matrix':
    case 'input':
      return textOf(expression, among);
    case 'need': {
      const status = among.needs?.statuses.get(expression.stage);
      if (status === undefined) throw new NotThere(`needs.${expression.stage} is not there`);
      return status;
    }
    case 'always':
      return true;
    case 'failed':
      if (among.needs === undefined) throw new NotThere('failed() is not known yet');
      return among.needs.hasFailure;
    case 'changed':
    case 'matches':
      return among.answer(expression);
    case 'test':
      return test(expression.test, text(expression.text, among), text(expression.with, among));
    case 'change':
      return change(expression.change, text(expression.text, among));
    case 'size':
      return Array.from(text(expression.text, among)).length;
    case 'compare':
      return compare(expression.by, valueOf(expression.left, among), valueOf(expression.right, among));
    case 'in': {
      const item = valueOf(expression.item, among);
      return expression.list.some((other) => valueOf(other, among) === item);
    }
    case 'not':
      return !holds(expression.of, among);
    case 'and':
      return holds(expression.left, among) && holds(expression.right, among);
    case 'or':
      return holds(expression.left, among) || holds(expression.right, among);
    case 'choose':
      return valueOf(holds(expression.if, among) ? expression.then : expression.else, among);
  }
}

/** The text of a fact, a cell or an input. */
export function textOf(
  subject: Subject,
  { facts, cell, inputs }: Pick<Circumstances, 'facts' | 'cell' | 'inputs'>,
): string {
  switch (subject.kind) {
    case 'fact':
      return facts[subject.name];
    case 'matrix': {
      const value = own(cell, subject.axis);
      if (value === undefined) throw new NotThere(`matrix.${subject.axis} is not there`);
      return value;
    }
    case 'input':
      return own(inputs, subject.name) ?? '';
  }
}

/** A name that a person wrote is no property that every object has. */
const own = (record: Readonly<Record<string, string>>, name: string): string | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

function text(expression: Expression, among: Circumstances): string {
  const value = valueOf(expression, among);
  if (typeof value !== 'string') throw new NotThere(`${expression.kind} is no text`);
  return value;
}

function truth(value: Value): boolean {
  if (typeof value !== 'boolean') throw new NotThere(`${typeof value} is no truth value`);
  return value;
}

function test(by: TextTest, subject: string, other: string): boolean {
  switch (by) {
    case 'contains':
      return subject.includes(other);
    case 'startsWith':
      return subject.startsWith(other);
    case 'endsWith':
      return subject.endsWith(other);
  }
}

function change(by: TextChange, subject: string): string {
  switch (by) {
    case 'lowerAscii':
      return subject.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
    case 'upperAscii':
      return subject.replace(/[a-z]/g, (letter) => letter.toUpperCase());
    case 'trim':
      return subject.trim();
  }
}

function compare(by: Comparison, left: Value, right: Value): boolean {
  switch (by) {
    case '==':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    case '>=':
      return left >= right;
  }
}
