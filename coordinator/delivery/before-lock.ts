/**
 * A deployment that has not got its environment yet. The order of the rules: is it wanted still, may it go there at all, is it
 * the newest, is it approved, and is the environment free.
 */
import { approvalDays, type DeploymentEnd } from '../../shared/model/deployment.js';
import type { StageSight } from './command.js';
import { orderOf, type Pair } from './commits.js';
import { newerThan } from './newer.js';
import { promotionOf } from './promotion.js';
import { openRollback } from './rollback.js';
import {
  bindingOf,
  findOpen,
  isRollback,
  type Deployment,
  type DeploymentPhase,
  type Environment,
} from './state.js';
import { wait, type Sight, type Step } from './step.js';

/** How long it waits for approval, and with it for its turn. */
export const waitingLimitMs = approvalDays * 24 * 60 * 60 * 1000;

type Before = Extract<DeploymentPhase, { kind: 'waiting' | 'approval' | 'ready' }>;

const end = (how: DeploymentEnd): Step => ({ kind: 'end', end: how });

export function beforeLock(sight: Sight, deployment: Deployment, phase: Before): Step {
  if (isRollback(deployment)) return lockStep(sight, deployment, undefined);
  const { deliveries, environment, context } = sight;
  const gone = whyGone(context.stage(deployment));
  if (gone !== undefined) return end(gone);
  const refused = whyRefused(sight, deployment);
  if (refused !== undefined) return end(refused);
  const promotion = promotionOf(deliveries, environment, deployment);
  if (promotion.kind === 'refused') return end({ kind: 'not-promoted', from: promotion.from });
  const { there, settings } = environment;
  const order = orderToThere(environment, deployment);
  if (there !== undefined && order === 'older') {
    return end({ kind: 'outdated', deployment: there.deployment, commit: there.commit });
  }
  const newer = newerThan(environment, deployment);
  if (newer !== undefined) return end({ kind: 'superseded', deployment: newer.deployment });
  const untilMs = phase.since + waitingLimitMs;
  if (context.now.wallMs >= untilMs) return end({ kind: 'expired' });
  if (phase.kind === 'ready') return lockStep(sight, deployment, untilMs);
  const promotedFrom = promotion.kind === 'promoted' ? promotion.from : undefined;
  const { approval } = settings;
  if (approval === undefined) return { kind: 'clear', promotedFrom };
  if (phase.kind === 'approval') return wait({ kind: 'approval', rule: approval }, untilMs);
  // Nobody is asked to approve what is outdated.
  if (order === undefined)
    return wait({ kind: 'compare', pair: pairToThere(environment, deployment) }, untilMs);
  return { kind: 'ask-approval', binding: bindingOf(environment, deployment), promotedFrom };
}

/** Its run ended, or somebody canceled it, before it began. */
export function whyGone(stage: StageSight | undefined): DeploymentEnd | undefined {
  if (stage === undefined) return { kind: 'not-started', reason: 'its run is gone' };
  if (stage.kind === 'waiting' && stage.canceledBy !== undefined) {
    return { kind: 'canceled', by: stage.canceledBy };
  }
  if (stage.kind !== 'ended') return undefined;
  const { failure, status } = stage;
  if (failure?.kind === 'canceled') return { kind: 'canceled', by: failure.by };
  const reason = `its stage was ${status === 'succeeded' ? 'ended' : status} before it began`;
  return { kind: 'not-started', reason, ...(failure === undefined ? {} : { failure }) };
}

/** A change, a tree sent by hand, and a merge that is being tested never deploy, whatever their pipeline says. */
const deploying: ReadonlySet<string> = new Set(['push', 'tag', 'schedule', 'manual']);

/** The one pattern that says nothing of a branch, so that a tag's run, which is of none, is taken too. */
const anyBranch = '**';

function whyRefused({ environment, context }: Sight, { source }: Deployment): DeploymentEnd | undefined {
  const { event, trust, branch } = source;
  if (!deploying.has(event) || trust !== 'branch') return { kind: 'not-landed', event };
  const of = branch === undefined ? {} : { branch };
  const { branches } = environment.settings;
  if (branches.length === 0) {
    // Whoever may push any branch would else deploy without anybody's look at it.
    const only = context.defaultBranch(environment.project);
    return branch !== undefined && branch === only
      ? undefined
      : { kind: 'branch-refused', ...of, only: only ?? '' };
  }
  const isTaken = branches.includes(anyBranch) || (branch !== undefined && context.matches(branches, branch));
  return isTaken ? undefined : { kind: 'branch-refused', ...of };
}

const pairToThere = ({ there }: Environment, { record }: Deployment): Pair => ({
  one: record.commit,
  other: there?.commit ?? record.commit,
});

const orderToThere = (environment: Environment, deployment: Deployment): ReturnType<typeof orderOf> =>
  orderOf(environment, pairToThere(environment, deployment));

/** Approval comes before lock and slot: what gets here only waits for the environment. */
function lockStep(sight: Sight, deployment: Deployment, untilMs: number | undefined): Step {
  const { environment } = sight;
  const { holder, rollbackDue, held, rolledBack } = environment;
  const holding = holder === undefined ? undefined : findOpen(environment, holder);
  if (holding !== undefined) return wait({ kind: 'lock', holder: holding }, untilMs);
  if (isRollback(deployment)) return { kind: 'lock' };
  if (rollbackDue !== undefined || openRollback(environment) !== undefined) {
    return wait({ kind: 'rollback-first' }, untilMs);
  }
  if (held !== undefined) return wait({ kind: 'held', by: held.by, reason: held.reason }, untilMs);
  if (rolledBack !== undefined) {
    const pair = { one: deployment.record.commit, other: rolledBack.from };
    const order = orderOf(environment, pair);
    if (order === undefined) return wait({ kind: 'compare', pair }, untilMs);
    if (order !== 'newer') return wait({ kind: 'rolled-back', from: rolledBack.from }, untilMs);
  }
  if (orderToThere(environment, deployment) === undefined) {
    return wait({ kind: 'compare', pair: pairToThere(environment, deployment) }, untilMs);
  }
  return { kind: 'lock' };
}
