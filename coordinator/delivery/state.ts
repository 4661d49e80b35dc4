/**
 * Everything that is known about environments from the journal. `applyDelivery` alone changes it; everybody else reads.
 *
 *            ApprovalAsked          Approved          Locked          Began           StepsEnded
 *   waiting ──────────────► approval ────────► ready ───────► locked ───────► running ───────────► verifying
 *      │ ▲                     │                ▲ │             │             │    ▲                  │
 *      │ └── settings, Amended ┴────────────────┼─┘             │     Unknown ▼    │ Returned         │
 *      └──────────────── Cleared ───────────────┘               │            unknown ── StepsEnded ─► │
 *                                                               ▼                ▼                    ▼
 *   before Locked nothing is held                             Ended            Ended                Ended
 *   └────────────────────────────────────────┘└── the environment is held: no other deployment begins ──┘
 */
import type {
  DeploymentEnd,
  DeploymentKind,
  DeploymentRecord,
  DeploymentSource,
  UnknownCause,
} from '../../shared/model/deployment.js';
import type {
  Binding,
  CommitOrder,
  EnvironmentRef,
  EnvironmentSettings,
} from '../../shared/model/environment.js';
import type { Brand, CommitId, ProjectId, RunId, Token } from '../../shared/model/ids.js';

/** The attempt that began a deployment. There is never a second one. */
export interface BegunBy {
  readonly attempt: number;
  readonly token: Token;
  /** Wall time. */
  readonly at: number;
}

/** `since`: wall time. */
export type DeploymentPhase =
  | { readonly kind: 'waiting'; readonly since: number }
  | { readonly kind: 'approval'; readonly since: number; readonly binding: Binding }
  | { readonly kind: 'ready'; readonly since: number }
  | { readonly kind: 'locked'; readonly since: number }
  | { readonly kind: 'running'; readonly since: number; readonly begun: BegunBy }
  | { readonly kind: 'verifying'; readonly since: number; readonly begun: BegunBy }
  | {
      readonly kind: 'unknown';
      readonly since: number;
      readonly begun: BegunBy;
      readonly cause: UnknownCause;
    };

/** What is true of a deployment from its first to its last day. */
export interface DeploymentFacts {
  readonly deployment: number;
  readonly run: RunId;
  readonly stage: number;
  readonly of: DeploymentKind;
  readonly source: DeploymentSource;
  readonly title: string;
  readonly by: string;
  readonly requestedAt: number;
}

export interface Deployment extends DeploymentFacts {
  phase: DeploymentPhase;
  record: DeploymentRecord;
  /** Counts the changes of `record`, for the binding of approvals. */
  recordRevision: number;
  approvedBy: string | undefined;
  promotedFrom: number | undefined;
  /** Numbers its verifications: the answer to an earlier one says nothing. */
  verification: number;
  /** Its run does not wait for it any more. */
  isReleased: boolean;
  /** What its beginning put aside, for the case that it turns out to have changed nothing. */
  before: Pick<Environment, 'there' | 'rolledBack'> | undefined;
}

export interface EndedDeployment extends DeploymentFacts {
  readonly record: DeploymentRecord;
  readonly approvedBy: string | undefined;
  readonly begun: BegunBy | undefined;
  readonly end: DeploymentEnd;
  readonly endedAt: number;
  /** A rollback went back behind it: neither promoted nor rolled back to. */
  isDisavowed: boolean;
  late: string | undefined;
}

/** What people are told. */
export type DeliveryNotice =
  | { readonly kind: 'approval-wanted'; readonly approvers: readonly string[] }
  | { readonly kind: 'rolling-back'; readonly to: number; readonly cause: 'asked' | 'verify-failed' }
  | { readonly kind: 'unknown'; readonly cause: UnknownCause }
  /** Of a deployment or rollback that began. */
  | { readonly kind: 'ended'; readonly end: DeploymentEnd };

export interface Chore {
  /** Of the deployment that it is about. */
  readonly facts: DeploymentFacts;
  readonly commit: CommitId;
  readonly notice: DeliveryNotice;
}

export interface Environment extends EnvironmentRef {
  settings: EnvironmentSettings;
  /** Counts the changes of `settings`. */
  revision: number;
  /** By number. */
  open: Deployment[];
  /** The deployment that has the environment for itself. */
  holder: number | undefined;
  /** The deployment that began last. What is deployed is compared with it, whatever became of it. */
  there: { readonly deployment: number; readonly commit: CommitId; readonly since: number } | undefined;
  held: { readonly by: string; readonly reason: string | undefined; readonly at: number } | undefined;
  /** After a rollback: only what is newer than this commit, which it left, goes there by itself. */
  rolledBack: { readonly from: CommitId; readonly at: number } | undefined;
  /** A rollback that is to be made before anything else. */
  rollbackDue:
    { readonly to: number; readonly leaves: { readonly run: RunId; readonly stage: number } } | undefined;
  /** Deployments ever requested: numbers the next one. */
  requested: number;
  /** In the order in which they ended. */
  ended: EndedDeployment[];
  /** What is known of commits that matter here, by `orderKey`. */
  readonly orders: Map<string, CommitOrder>;
  readonly chores: Map<number, Chore>;
  choresMade: number;
}

export type EnvironmentKey = Brand<string, 'EnvironmentKey'>;

// A project's id has no `/`, so two environments never share a key.
export const environmentKey = ({ project, environment }: EnvironmentRef): EnvironmentKey =>
  `${project}/${environment}` as EnvironmentKey;

export interface Place {
  readonly environment: Environment;
  readonly deployment: number;
  readonly stage: number;
}

export interface Deliveries {
  readonly all: Map<EnvironmentKey, Environment>;
  /** Index: the deployments of a run, open and ended, as far as they are remembered. */
  readonly runs: Map<RunId, Place[]>;
  /** What the last events changed and `decideDelivery` has not looked at. No part of the truth. */
  readonly touched: Set<Environment>;
}

export const emptyDeliveries = (): Deliveries => ({ all: new Map(), runs: new Map(), touched: new Set() });

export const findEnvironment = (deliveries: Deliveries, of: EnvironmentRef): Environment | undefined =>
  deliveries.all.get(environmentKey(of));

export const findOpen = ({ open }: Environment, deployment: number): Deployment | undefined =>
  open.find((other) => other.deployment === deployment);

export const findEnded = ({ ended }: Environment, deployment: number): EndedDeployment | undefined =>
  ended.find((other) => other.deployment === deployment);

export const findPlace = (
  deliveries: Deliveries,
  at: { readonly run: RunId; readonly stage: number },
): Place | undefined => deliveries.runs.get(at.run)?.find(({ stage }) => stage === at.stage);

export const refOf = ({ project, environment }: EnvironmentRef): EnvironmentRef => ({ project, environment });

export function factsOf(of: DeploymentFacts): DeploymentFacts {
  const { deployment, run, stage, source, title, by, requestedAt } = of;
  return { deployment, run, stage, of: of.of, source, title, by, requestedAt };
}

export const isRollback = ({ of }: Pick<DeploymentFacts, 'of'>): boolean => of.kind === 'rollback';

export const begunBy = ({ phase }: Deployment): BegunBy | undefined =>
  'begun' in phase ? phase.begun : undefined;

/** What an approval that is given now is bound to. */
export const bindingOf = ({ revision }: Environment, { recordRevision }: Deployment): Binding => ({
  record: recordRevision,
  settings: revision,
});

export const hasVerify = ({ settings }: Environment, { record }: Pick<Deployment, 'record'>): boolean =>
  record.verifies || settings.verify.length > 0;

/** Whether a deployment of the run has an environment for itself, and may be under way. */
export const isDeploying = ({ runs }: Deliveries, run: RunId): boolean =>
  runs.get(run)?.some(({ environment, deployment }) => environment.holder === deployment) === true;

/** An environment of the project that a deployment has for itself. */
export function busyEnvironment({ all }: Deliveries, project: ProjectId): string | undefined {
  return [...all.values()].find((other) => other.project === project && other.holder !== undefined)
    ?.environment;
}

/** Something about a run's stages is new (all of its stages where none is named): its environments are looked at again. */
export function touchStage(
  deliveries: Deliveries,
  at: { readonly run: RunId; readonly stage?: number },
): void {
  for (const { environment, stage } of deliveries.runs.get(at.run) ?? []) {
    if (at.stage === undefined || at.stage === stage) deliveries.touched.add(environment);
  }
}

/** The project is gone, and its environments with it. */
export function forgetEnvironmentsOf(deliveries: Deliveries, project: ProjectId): void {
  for (const environment of deliveries.all.values()) {
    if (environment.project === project) forgetEnvironment(deliveries, environment);
  }
}

export function forgetEnvironment(deliveries: Deliveries, environment: Environment): void {
  deliveries.all.delete(environmentKey(environment));
  deliveries.touched.delete(environment);
  for (const { run } of [...environment.open, ...environment.ended])
    forgetPlaces(deliveries, run, environment);
}

export function forgetPlaces(
  { runs }: Deliveries,
  run: RunId,
  at: Environment | { readonly environment: Environment; readonly deployment: number },
): void {
  const isMeant = (place: Place): boolean =>
    'open' in at
      ? place.environment === at
      : place.environment === at.environment && place.deployment === at.deployment;
  const left = (runs.get(run) ?? []).filter((place) => !isMeant(place));
  if (left.length === 0) runs.delete(run);
  else runs.set(run, left);
}
