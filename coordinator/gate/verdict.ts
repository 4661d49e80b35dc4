/** Whether a run is green, and if not, by whose fault. */
import { blameOf, describeFailure, type Failure } from '../../shared/model/failure.js';
import type { RunVerdict } from '../../shared/model/gate.js';
import type { RunId } from '../../shared/model/ids.js';
import type { RunResult, StageResult } from './command.js';

export interface Judged {
  readonly result: RunResult;
  readonly require: readonly string[];
  /** The id of the next run, should this one have failed by our fault. */
  readonly spare: RunId;
}

/**
 * Faults of the change come first: what is broken stays broken when the rest is tried again. Stages that may fail do
 * not count, unless the project requires them, and then it is the pipeline that is wrong.
 */
export function verdictOn({ result, require, spare }: Judged): RunVerdict {
  const { stages } = result;
  if (stages.length === 0) return red('its pipeline has no stages, so nothing was tested');
  const counted = stages.filter((stage) => !stage.allowFailure);
  const broken = counted.find((stage) => stage.status === 'failed' && blame(stage) === 'theirs');
  if (broken !== undefined) return red(`stage ${broken.title} failed`, broken.failure);
  const unusable = firstOf(require, (name) => whyUnusable(stages, name));
  if (unusable !== undefined) return red(unusable);
  const ours = counted.find((stage) => stage.status === 'failed' && blame(stage) === 'ours');
  if (ours?.failure !== undefined) {
    return { kind: 'ours', reason: `stage ${ours.title}: ${describeFailure(ours.failure)}`, next: spare };
  }
  const canceled = counted.find((stage) => stage.status === 'canceled' || blame(stage) === 'canceled');
  if (canceled !== undefined || result.status === 'canceled') {
    return {
      kind: 'canceled',
      by: canceled?.failure?.kind === 'canceled' ? canceled.failure.by : 'somebody',
    };
  }
  const unfinished = firstOf(require, (name) => whyUnfinished(stages, name));
  if (unfinished !== undefined) return red(unfinished);
  if (result.status === 'failed') return red('the run failed');
  if (!counted.some((stage) => stage.status === 'succeeded'))
    return red('no stage succeeded, so nothing was tested');
  return { kind: 'green' };
}

/** The run could not be made at all: the pipeline is invalid, or we failed. */
export function verdictOnRefused(failure: Failure, spare: RunId): RunVerdict {
  return blameOf(failure) === 'ours'
    ? { kind: 'ours', reason: describeFailure(failure), next: spare }
    : red('its run cannot be made', failure);
}

const red = (reason: string, failure?: Failure): RunVerdict => ({
  kind: 'red',
  reason,
  ...(failure === undefined ? {} : { failure }),
});

/** A failure without a kind is the change's: nobody else takes it. */
const blame = ({ status, failure }: StageResult): 'theirs' | 'ours' | 'canceled' | undefined =>
  failure === undefined ? (status === 'failed' ? 'theirs' : undefined) : blameOf(failure);

const named = (stages: readonly StageResult[], name: string): readonly StageResult[] =>
  stages.filter((stage) => stage.name === name || stage.title === name);

/** What no repetition mends. */
function whyUnusable(stages: readonly StageResult[], name: string): string | undefined {
  const found = named(stages, name);
  if (found.length === 0) return `the project requires stage ${name}, which its pipeline does not have`;
  const lenient = found.find((stage) => stage.allowFailure);
  return lenient === undefined
    ? undefined
    : `the project requires stage ${lenient.title}, which must not have \`allow-failure\``;
}

function whyUnfinished(stages: readonly StageResult[], name: string): string | undefined {
  const other = named(stages, name).find((stage) => stage.status !== 'succeeded');
  return other === undefined
    ? undefined
    : `the project requires stage ${other.title}, which ended as ${other.status}`;
}

function firstOf<T, R>(items: readonly T[], rule: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = rule(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
