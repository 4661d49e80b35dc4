/**
 * From CEL's syntax tree to what is evaluated: the part of CEL that always has a value, with names that exist. Anything
 * else is told at its place, with what to write instead.
 */
import type { CelNode } from './cel.js';
import { endedStatuses, factNames, triggerKinds } from './condition-facts.js';
import type { Comparison, Expression, Subject, TextChange, TextTest } from './expression-tree.js';
import { foreignNames, foreignValues } from './foreign-words.js';
import { wrongPattern } from './patterns.js';
import { wrongExpression } from './regular-expression.js';
import { nearest } from './suggest.js';
import { code, either, quoted } from './words.js';

/** What there is to ask about where a condition stands. */
export interface Scope {
  readonly where: 'stage' | 'step';
  readonly stage: string;
  /** Names in the stage's matrix. Undefined: it is invalid, and nothing is said about them. */
  readonly axes: readonly string[] | undefined;
  /** What the stage needs, and all stages: by name. */
  readonly needs: readonly string[];
  readonly stages: readonly string[];
  /** Regular expressions of the whole file, those that were looked at: each costs time. */
  readonly regularExpressions: Set<string>;
}

const mostRegularExpressions = 20;

/** Offsets into the expression. */
export type Complain = (
  range: { readonly start: number; readonly end: number },
  message: string,
  hint?: string,
) => void;

/** Undefined: something was wrong, and was told. Without a scope names are believed: they were checked before. */
export function translate(
  node: CelNode,
  scope: Scope | undefined,
  complain: Complain,
): Expression | undefined {
  const problems: string[] = [];
  const translator = new Translator(scope, (range, message, hint) => {
    problems.push(message);
    complain(range, message, hint);
  });
  const result = translator.expression(node);
  return problems.length > 0 ? undefined : result;
}

const textTests: readonly TextTest[] = ['contains', 'startsWith', 'endsWith'];
const textChanges: readonly TextChange[] = ['lowerAscii', 'upperAscii', 'trim'];
const methods = [...textTests, 'matches', ...textChanges, 'size'];
const functions = ['always', 'failed', 'changed', 'size'];
const maps = ['matrix', 'inputs', 'needs'];
const isIn = <T extends string>(names: readonly T[], name: string): name is T =>
  names.some((other) => other === name);

class Translator {
  readonly #scope: Scope | undefined;
  readonly #complain: Complain;

  constructor(scope: Scope | undefined, complain: Complain) {
    this.#scope = scope;
    this.#complain = complain;
  }

  /** Worth using only if nothing was complained of. */
  expression(node: CelNode): Expression {
    switch (node.op) {
      case 'value':
        return this.#constant(node, node.args);
      case 'id':
        return this.#name(node, node.args);
      case '.':
      case '[]':
        return this.#access(node);
      case 'call':
        return this.#call(node, ...node.args);
      case 'rcall':
        return this.#method(node, ...node.args);
      case '!_':
        return { kind: 'not', of: this.expression(node.args) };
      case '&&':
      case '||': {
        const [left, right] = node.args;
        const kind = node.op === '&&' ? 'and' : 'or';
        return { kind, left: this.expression(left), right: this.expression(right) };
      }
      case '?:': {
        const [condition, then, otherwise] = node.args;
        return {
          kind: 'choose',
          if: this.expression(condition),
          then: this.expression(then),
          else: this.expression(otherwise),
        };
      }
      case '==':
      case '!=':
      case '<':
      case '<=':
      case '>':
      case '>=': {
        const [left, right] = node.args;
        this.#checkKnownValue(left, right);
        this.#checkKnownValue(right, left);
        const by: Comparison = node.op;
        return { kind: 'compare', by, left: this.expression(left), right: this.expression(right) };
      }
      case 'in': {
        const [item, list] = node.args;
        if (list.op !== 'list') {
          const hint = 'write `branch in ["main", "next"]`, or `message.contains("text")`';
          return this.#refuse(list, '`in` looks into a list', hint);
        }
        for (const other of list.args) this.#checkKnownValue(item, other);
        return {
          kind: 'in',
          item: this.expression(item),
          list: list.args.map((other) => this.expression(other)),
        };
      }
      case 'list':
        return this.#refuse(node, 'a list stands behind `in`, and in `changed()`');
      case 'map':
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
      case '-_':
      case '.?':
      case '[?]':
        return this.#refuse(
          node,
          'conditions do not calculate',
          'compare, and combine with `&&`, `||` and `!`',
        );
    }
  }

  #constant(node: CelNode, value: unknown): Expression {
    if (typeof value === 'string' || typeof value === 'boolean') return { kind: 'constant', value };
    // 2^31 is more than any text has characters.
    if (typeof value === 'bigint' && value < 2n ** 31n) return { kind: 'constant', value: Number(value) };
    const hint = value === null ? 'what is not given is "": write `tag == ""`' : undefined;
    return this.#refuse(node, 'expected a text in quotes, `true`, `false` or a small number', hint);
  }

  #name(node: CelNode, name: string): Expression {
    if (isIn(factNames, name)) return { kind: 'fact', name };
    if (name === 'inputs') return this.#refuse(node, 'one of the inputs is missing', 'write `inputs.NAME`');
    if (name === 'matrix')
      return this.#refuse(node, 'a name of the matrix is missing', 'write `matrix.NAME`');
    if (name === 'needs')
      return this.#refuse(node, 'the name of a stage is missing', 'write `needs.STAGE.status`');
    if (functions.includes(name)) return this.#refuse(node, `${code(name)} is called: ${code(`${name}()`)}`);
    return this.#refuse(node, `${code(name)} is no fact of a run`, () => {
      const known = foreignNames.get(name);
      if (known !== undefined) return known;
      const meant = nearest(name, [...factNames, ...maps]);
      if (meant !== undefined) return `did you mean ${code(meant)}?`;
      return `it has: ${[...factNames, ...maps].join(', ')}; a text stands in quotes: ${code(`"${name}"`)}`;
    });
  }

  /** `matrix.NAME`, `inputs["NAME"]`, `needs.STAGE.status`. */
  #access(node: CelNode): Expression {
    const path = pathOf(node);
    if (path === undefined) return this.#refuse(node, 'expected a name, or a name in quotes in `[ ]`');
    const { root, names } = path;
    const [first, second] = names;
    if (root.op !== 'id') return this.#refuse(node, 'this has no parts');
    if (!maps.includes(root.args)) {
      if (!isIn(factNames, root.args)) return this.#name(root, root.args);
      const method = methods.find((name) => name === first?.name);
      const hint = method === undefined ? undefined : `it is called: ${code(`${root.args}.${method}(…)`)}`;
      return this.#refuse(
        first ?? node,
        `${code(root.args)} is a text and has no ${code(first?.name ?? '')}`,
        hint,
      );
    }
    if (first === undefined) return this.#name(root, root.args);
    if (root.args === 'needs') return this.#need(node, names);
    if (second !== undefined)
      return this.#refuse(second, `${code(`${root.args}.${first.name}`)} is a text and has no parts`);
    if (root.args === 'inputs') return { kind: 'input', name: first.name };
    return this.#axis(first);
  }

  #axis({ name, ...range }: Named): Expression {
    const { axes, stage } = this.#scope ?? {};
    if (axes === undefined || axes.includes(name)) return { kind: 'matrix', axis: name };
    if (axes.length === 0) return this.#refuse(range, `stage ${code(stage ?? '')} has no matrix`);
    return this.#refuse(range, `the matrix of stage ${code(stage ?? '')} has no ${code(name)}`, () => {
      const meant = nearest(name, axes);
      return meant === undefined ? `it has: ${axes.join(', ')}` : `did you mean ${code(meant)}?`;
    });
  }

  #need(node: CelNode, [stage, status, more]: readonly Named[]): Expression {
    if (this.#scope?.where === 'step') return this.#onlyInStage(node, '`needs`');
    if (stage === undefined) return this.#refuse(node, 'the name of a stage is missing');
    this.#checkNeed(stage);
    if (status === undefined)
      return this.#refuse(
        node,
        'expected the status of the stage',
        `write ${code(`needs.${stage.name}.status`)}`,
      );
    if (status.name !== 'status')
      return this.#refuse(
        status,
        `a need has no ${code(status.name)}`,
        `write ${code(`needs.${stage.name}.status`)}`,
      );
    if (more !== undefined) return this.#refuse(more, 'a status is a text and has no parts');
    return { kind: 'need', stage: stage.name };
  }

  #checkNeed({ name, ...range }: Named): void {
    if (this.#scope === undefined) return;
    const { needs, stages, stage } = this.#scope;
    if (needs.includes(name)) return;
    if (name !== stage && stages.includes(name)) {
      const hint = `add it: \`needs: [${[...needs, name].join(', ')}]\``;
      this.#refuse(range, `stage ${code(stage)} does not need ${code(name)}`, hint);
      return;
    }
    this.#refuse(range, `stage ${code(stage)} does not need ${code(name)}`, () => {
      const meant = nearest(name, needs);
      if (meant !== undefined) return `did you mean ${code(meant)}?`;
      return needs.length === 0 ? 'it has no `needs`' : `it needs: ${needs.join(', ')}`;
    });
  }

  #call(node: CelNode, name: string, args: readonly CelNode[]): Expression {
    switch (name) {
      case 'always':
      case 'failed':
        if (args.length > 0) return this.#refuse(node, `${code(`${name}()`)} takes nothing`);
        if (this.#scope?.where === 'step') return this.#onlyInStage(node, code(`${name}()`));
        return { kind: name };
      case 'changed':
        return this.#changed(node, args);
      case 'size':
        return this.#size(node, args);
      default: {
        const range = { start: node.start, end: node.start + name.length };
        return this.#refuse(range, `there is no function ${code(name)}`, () => {
          const meant = foreignNames.get(name) ?? nearest(name, functions);
          if (meant === undefined) return `there are: ${functions.map((one) => `${one}()`).join(', ')}`;
          return foreignNames.has(name) ? meant : `did you mean ${code(`${meant}()`)}?`;
        });
      }
    }
  }

  #changed(node: CelNode, [argument, ...more]: readonly CelNode[]): Expression {
    const hint = 'write `changed("src/**")` or `changed(["src/**", "!src/docs/**"])`';
    if (argument === undefined || more.length > 0)
      return this.#refuse(node, '`changed()` takes one pattern or one list of them', hint);
    const items = argument.op === 'list' ? argument.args : [argument];
    if (items.length === 0) return this.#refuse(node, '`changed()` has no pattern', hint);
    const patterns = items.flatMap((item) => {
      if (item.op !== 'value' || typeof item.args !== 'string') {
        this.#refuse(item, 'expected a pattern in quotes', hint);
        return [];
      }
      const wrong = wrongPattern(item.args, 'paths');
      if (wrong !== undefined) this.#refuse(item, wrong.message, wrong.hint);
      return [item.args];
    });
    return { kind: 'changed', patterns };
  }

  #size(node: CelNode, [argument, ...more]: readonly CelNode[]): Expression {
    if (argument === undefined || more.length > 0) return this.#refuse(node, '`size()` takes one text');
    if (argument.op === 'list' || (argument.op === 'id' && maps.includes(argument.args)))
      return this.#refuse(argument, '`size()` takes a text');
    return { kind: 'size', text: this.expression(argument) };
  }

  #method(node: CelNode, name: string, receiver: CelNode, args: readonly CelNode[]): Expression {
    const [argument, ...more] = args;
    if (isIn(textTests, name)) {
      if (argument === undefined || more.length > 0)
        return this.#refuse(node, `${code(name)} takes one text`);
      return { kind: 'test', test: name, text: this.expression(receiver), with: this.expression(argument) };
    }
    if (isIn(textChanges, name) || name === 'size') {
      if (argument !== undefined) return this.#refuse(node, `${code(`${name}()`)} takes nothing`);
      if (name === 'size') return this.#size(node, [receiver]);
      return { kind: 'change', change: name, text: this.expression(receiver) };
    }
    if (name === 'matches') return this.#matches(node, receiver, args);
    const range = { start: receiver.end, end: node.end };
    return this.#refuse(range, `there is no ${code(`${name}()`)} of a text here`, () => {
      const meant = nearest(name, methods);
      return meant === undefined ? `there are: ${methods.join(', ')}` : `did you mean ${code(meant)}?`;
    });
  }

  #matches(node: CelNode, receiver: CelNode, [argument, ...more]: readonly CelNode[]): Expression {
    if (argument?.op !== 'value' || typeof argument.args !== 'string' || more.length > 0)
      return this.#refuse(
        node,
        '`matches` takes one regular expression in quotes',
        'such as `branch.matches("^v[0-9]+")`',
      );
    const subject = this.expression(receiver);
    this.#checkRegularExpression(argument, argument.args);
    if (!isSubject(subject))
      return this.#refuse(receiver, '`matches` asks a fact, an input or a value of the matrix');
    return { kind: 'matches', subject, pattern: argument.args };
  }

  #checkRegularExpression(node: CelNode, pattern: string): void {
    const seen = this.#scope?.regularExpressions;
    if (seen === undefined || seen.has(pattern)) return;
    if (seen.size >= mostRegularExpressions) {
      const message = `a file has at most ${mostRegularExpressions} different regular expressions`;
      this.#refuse(node, message, 'use `startsWith`, `endsWith` or `in`');
      return;
    }
    seen.add(pattern);
    const wrong = wrongExpression(pattern);
    if (wrong !== undefined) this.#refuse(node, wrong.message, wrong.hint);
  }

  /** A text that a status or an event never is makes a condition that never holds. */
  #checkKnownValue(asked: CelNode, value: CelNode): void {
    if (value.op !== 'value' || typeof value.args !== 'string') return;
    const path = pathOf(asked);
    const isStatus = path?.root.op === 'id' && path.root.args === 'needs' && path.names.length === 2;
    const isEvent = asked.op === 'id' && asked.args === 'event';
    const known: readonly string[] = isStatus ? endedStatuses : isEvent ? triggerKinds : [];
    const { args: text } = value;
    if (known.length === 0 || known.includes(text)) return;
    const what = isStatus ? 'a stage ends as' : 'an event is';
    this.#refuse(value, `${what} ${either(known)}, never ${quoted(text)}`, () => {
      const meant = nearest(text, known) ?? foreignValues.get(text);
      return meant === undefined ? undefined : `did you mean "${meant}"?`;
    });
  }

  #onlyInStage(node: CelNode, what: string): Expression {
    const hint = 'a step that failed ends its stage; put what comes after a failure into a stage of its own';
    return this.#refuse(node, `${what} belongs into the \`if\` of a stage, not of a step`, hint);
  }

  #refuse(
    range: { readonly start: number; readonly end: number },
    message: string,
    hint?: string | (() => string | undefined),
  ): Expression {
    this.#complain(range, message, typeof hint === 'function' ? hint() : hint);
    return { kind: 'constant', value: false };
  }
}

const isSubject = (expression: Expression): expression is Subject =>
  expression.kind === 'fact' || expression.kind === 'matrix' || expression.kind === 'input';

interface Named {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** The name that something begins with, and those behind it; undefined where one is not written as such. */
function pathOf(node: CelNode): { readonly root: CelNode; readonly names: readonly Named[] } | undefined {
  const names: Named[] = [];
  let at = node;
  while (at.op === '.' || at.op === '[]') {
    if (at.op === '.') {
      const [object, name]: [CelNode, string] = at.args;
      names.unshift({ name, start: at.pos, end: at.pos + name.length });
      at = object;
    } else {
      const [object, key]: [CelNode, CelNode] = at.args;
      if (key.op !== 'value' || typeof key.args !== 'string') return undefined;
      names.unshift({ name: key.args, start: key.start, end: key.end });
      at = object;
    }
  }
  return { root: at, names };
}
