/** Which deployments are remembered when they have ended, and whose artifacts are kept. */
import type { RunId } from '../../shared/model/ids.js';
import { isGood } from './rollback.js';
import { findEnded, type Environment } from './state.js';

/** Of those that began. There is one at a time, so a run has long been told of the end of what is forgotten. */
const begunKept = 30;
/** Of those that never did. */
const otherKept = 30;
/** Beside the current one. Their artifacts never expire. */
export const verifiedKept = 5;

/**
 * The current deployment, the last verified ones, and the last of these that a rollback may go back to. By number, with doubles.
 */
function pinned({ there, ended }: Environment): readonly number[] {
  const verified = ended.filter(
    ({ end, deployment }) => end.kind === 'verified' && deployment !== there?.deployment,
  );
  const last = [...verified.slice(-verifiedKept), ...verified.filter(isGood).slice(-verifiedKept)];
  return [...last.map(({ deployment }) => deployment), ...(there === undefined ? [] : [there.deployment])];
}

export function remembered(environment: Environment): ReadonlySet<number> {
  const { ended } = environment;
  const begun = ended.filter((one) => one.begun !== undefined).slice(-begunKept);
  const others = ended.filter((one) => one.begun === undefined).slice(-otherKept);
  return new Set([...pinned(environment), ...[...begun, ...others].map(({ deployment }) => deployment)]);
}

/** Runs whose records and artifacts are kept, whatever the policy says: also what waits to be deployed needs them. */
export function pinnedRuns(environment: Environment): ReadonlySet<RunId> {
  const { open } = environment;
  const ended = pinned(environment).flatMap((number) => findEnded(environment, number) ?? []);
  const runs = new Set<RunId>();
  for (const { run, of, record } of [...ended, ...open]) {
    // The run of a rollback has no pipeline of its own.
    runs.add(run);
    if (of.kind === 'rollback') runs.add(of.ofRun);
    for (const artifact of record.artifacts) runs.add(artifact.run);
  }
  return runs;
}
