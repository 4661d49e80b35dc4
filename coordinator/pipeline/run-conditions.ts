import type { RunFacts } from '../../shared/model/pipeline.js';
import { factNames, type FactName } from './condition-facts.js';

/** What conditions and `on` may ask of a run. */
export interface RunConditions extends Pick<
  RunFacts,
  'event' | 'branch' | 'target' | 'tag' | 'commit' | 'author' | 'message' | 'inputs'
> {
  /** Paths that differ from the commit before, or from the target; absent: not known, which counts as all. */
  readonly changed?: readonly string[];
}

/** Of a run's facts; `changed` is the caller's to add. */
export const conditionsOf = (facts: RunFacts): RunConditions => ({
  event: facts.event,
  commit: facts.commit,
  inputs: facts.inputs,
  ...(facts.branch === undefined ? {} : { branch: facts.branch }),
  ...(facts.target === undefined ? {} : { target: facts.target }),
  ...(facts.tag === undefined ? {} : { tag: facts.tag }),
  ...(facts.author === undefined ? {} : { author: facts.author }),
  ...(facts.message === undefined ? {} : { message: facts.message }),
});

/** The texts that conditions ask about: what is not given is "". */
export const factsFor = (run: RunConditions): Readonly<Record<FactName, string>> =>
  // Every name is there once.
  Object.fromEntries(factNames.map((name) => [name, run[name] ?? ''])) as Record<FactName, string>;
