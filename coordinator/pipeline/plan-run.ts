/** What of a pipeline one run does: conditions that can be decided when it begins are decided. */
import type { Condition, PlannedStage, PlannedStep, TriggerKind } from '../../shared/model/pipeline.js';
import type { CompiledPipeline } from './compile.js';
import type { CompiledCondition } from './condition.js';
import type { FactName } from './condition-facts.js';
import { holds, textOf, type Circumstances } from './evaluate.js';
import { keyOf, type Question } from './expression-tree.js';
import { enoughWork, PatternList, Work } from './patterns.js';
import { matchesAnywhere } from './regular-expression.js';
import type { StageConditions } from './plan-conditions.js';
import { factsFor, type RunConditions } from './run-conditions.js';

export type { RunConditions } from './run-conditions.js';

/** All stages, with what is left of their conditions; steps that are not run are marked. */
export function planRun(compiled: CompiledPipeline, run: RunConditions): readonly PlannedStage[] {
  return withoutDeployments(withConditions(compiled, run), run.event);
}

/** What is not on a branch or tag of the remote is not deployed, and what comes after a deployment is not done. */
function withoutDeployments(
  stages: readonly PlannedStage[],
  event: RunConditions['event'],
): readonly PlannedStage[] {
  if (!notDeployed.has(event) || stages.every(({ environment }) => environment === undefined)) return stages;
  const left = new Set(
    stages.filter(({ environment }) => environment !== undefined).map(({ number }) => number),
  );
  // Whoever needs one of them may come before it in the file.
  for (let before = 0; before < left.size;) {
    before = left.size;
    for (const { number, needs } of stages) if (needs.some((need) => left.has(need))) left.add(number);
  }
  const condition: Condition = {
    kind: 'never',
    text: `deployments are made from the remote, and this is a run of kind ${event}`,
  };
  return stages.map((stage) => (left.has(stage.number) ? { ...stage, condition } : stage));
}

const notDeployed: ReadonlySet<string> = new Set<TriggerKind>(['change', 'gate', 'submit']);

function withConditions(compiled: CompiledPipeline, run: RunConditions): readonly PlannedStage[] {
  if (compiled.conditions.size === 0) return compiled.stages;
  const answers = new Answers(run);
  return compiled.stages.map((stage) => {
    const conditions = compiled.conditions.get(stage.number);
    return conditions === undefined ? stage : decided(stage, conditions, answers);
  });
}

function decided(
  stage: PlannedStage,
  { stage: own, steps }: StageConditions,
  answers: Answers,
): PlannedStage {
  const among = answers.among(stage.cell);
  const condition = own === undefined ? undefined : leftOf(own, among);
  const skips = (step: PlannedStep): boolean => {
    const written = steps.get(step.number);
    return written !== undefined && !holds(written.expression, among);
  };
  return {
    ...stage,
    ...(condition === undefined ? {} : { condition }),
    steps:
      steps.size === 0
        ? stage.steps
        : stage.steps.map((step) => (skips(step) ? { ...step, skipped: true } : step)),
  };
}

/** Undefined: it holds, and the stage's needs decide. */
function leftOf(condition: CompiledCondition, among: Circumstances): Condition | undefined {
  const { text, expression, waits, decidesAlone, questions } = condition;
  if (!waits && !holds(expression, among)) return { kind: 'never', text };
  if (!decidesAlone) return undefined;
  const answers = [...questions].map(([key, question]) => [key, among.answer(question)] as const);
  return { kind: 'after-needs', text, answers: Object.fromEntries(answers) };
}

/** Each question is answered once for a run, however many cells ask it. */
class Answers {
  readonly #run: RunConditions;
  readonly #facts: Readonly<Record<FactName, string>>;
  readonly #work = new Work(enoughWork);
  readonly #given = new Map<string, boolean>();

  constructor(run: RunConditions) {
    this.#run = run;
    this.#facts = factsFor(run);
  }

  among(cell: PlannedStage['cell']): Circumstances {
    const facts = this.#facts;
    const { inputs } = this.#run;
    const answer = (question: Question): boolean => {
      if (question.kind === 'changed')
        return this.#once(keyOf(question), () => this.#changed(question.patterns));
      const { pattern } = question;
      const text = textOf(question.subject, { facts, inputs, cell });
      return this.#once(JSON.stringify([pattern, text]), () => matchesAnywhere(pattern, text));
    };
    return { facts, inputs, cell, answer, needs: undefined };
  }

  #once(key: string, find: () => boolean): boolean {
    const known = this.#given.get(key);
    if (known !== undefined) return known;
    const found = find();
    this.#given.set(key, found);
    return found;
  }

  /** Without a commit to compare with, everything counts as changed. */
  #changed(patterns: readonly string[]): boolean {
    const { changed } = this.#run;
    if (changed === undefined) return true;
    const list = new PatternList(patterns, 'paths');
    return changed.some((path) => list.matches(path, this.#work));
  }
}
