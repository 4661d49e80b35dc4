/** Which effects an environment's state calls for, once no fact is left to record. */
import { keyOf } from './keys.js';
import { orderOf, type Pair } from './commits.js';
import { pairOfRivals } from './newer.js';
import { nextStep } from './next-step.js';
import { refOf, type Deployment } from './state.js';
import type { Sight, Step } from './step.js';
import { Wants, type DeliveryTurn } from './turn.js';

/** Every effect answers, also when it fails. These are for the answer that is lost within the process. */
const patienceMs = {
  compare: 3 * 60_000,
  rollback: 5 * 60_000,
  // A verify may wait for an agent and run for an hour: asking again joins the one that runs.
  verify: 10 * 60_000,
  chore: 60_000,
} as const;

export function chooseEffects(turn: DeliveryTurn, sight: Sight): void {
  const { environment } = sight;
  const ref = refOf(environment);
  const wants = new Wants(turn, environment);
  const compare = (pair: Pair): void =>
    wants.want(keyOf.compare(pair), () => ({ kind: 'CompareCommits', ...ref, ...pair }), patienceMs.compare);
  for (const deployment of environment.open) {
    const step = nextStep(sight, deployment);
    if (step.kind === 'wait' && step.wait.kind === 'compare') compare(step.wait.pair);
    for (const pair of comparable(sight, deployment)) compare(pair);
    chooseFor(wants, sight, { deployment, step });
  }
  for (const [chore, what] of environment.chores) {
    wants.want(keyOf.chore(chore), () => ({ kind: 'Tell', ...ref, chore, what }), patienceMs.chore);
  }
  wants.done();
}

/** Whether it is outdated, and who of those that wait is the newest, is found out while it waits. */
function comparable({ environment }: Sight, deployment: Deployment): readonly Pair[] {
  const { there } = environment;
  const { kind } = deployment.phase;
  const rivals = pairOfRivals(environment, deployment);
  if (there === undefined || (kind !== 'approval' && kind !== 'waiting'))
    return rivals === undefined ? [] : [rivals];
  const toThere = { one: deployment.record.commit, other: there.commit };
  const pairs = orderOf(environment, toThere) === undefined ? [toThere] : [];
  return rivals === undefined ? pairs : [...pairs, rivals];
}

function chooseFor(
  wants: Wants,
  { environment }: Sight,
  { deployment, step }: { readonly deployment: Deployment; readonly step: Step },
): void {
  if (step.kind !== 'wait') return;
  if (step.untilMs !== undefined) wants.wakeAtWall(step.untilMs);
  const { deployment: number, run, stage, of, by, verification } = deployment;
  const at = { ...refOf(environment), deployment: number, run, stage };
  if (step.wait.kind === 'rollback-run' && of.kind === 'rollback') {
    const { ofRun, ofStage } = of;
    wants.want(
      keyOf.rollback(number),
      () => ({ kind: 'StartRollback', ...at, ofRun, ofStage, by }),
      patienceMs.rollback,
    );
  }
  if (step.wait.kind === 'verify') {
    const { commit } = deployment.record;
    const { verify: commands } = environment.settings;
    wants.want(
      keyOf.verify(number, verification),
      (failures) => ({ kind: 'Verify', ...at, verification, failures, commit, commands }),
      patienceMs.verify,
    );
  }
}
