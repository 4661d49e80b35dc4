/**
 * The words of delivery: what an environment is set to, and everything that can happen in one. An environment belongs to one
 * project. The rules are in `coordinator/delivery`.
 */
import type {
  DeploymentEnd,
  DeploymentKind,
  DeploymentRecord,
  DeploymentSource,
  KeyedHash,
  UnknownCause,
} from './deployment.js';
import type { CommitId, ProjectId, RunId, Token } from './ids.js';

export interface ApprovalRule {
  /** Names of users; empty: whoever may deploy in the project. One of them is enough. */
  readonly by: readonly string[];
  /** Not whoever submitted, landed or wrote any of what is new since the last deployment. */
  readonly notAuthor: boolean;
}

export interface EnvironmentSettings {
  readonly url?: string;
  /** Present: continuous delivery. Absent: continuous deployment. */
  readonly approval?: ApprovalRule;
  /** Patterns of branches, as in `on`; empty: the project's default branch alone. `**`: any, and tags. */
  readonly branches: readonly string[];
  /** The environment that must have verified what is deployed here. */
  readonly promotesFrom?: string;
  /** Names of variables, secrets, steps, artifacts and images that may differ from other environments. */
  readonly differs: readonly string[];
  /** A deployment whose `verify` fails is rolled back by itself. */
  readonly rollsBack: boolean;
  /** Commands that verify every deployment, after the `verify` of its stage. */
  readonly verify: readonly string[];
  /** Whom deployments, rollbacks and *unknown* are told: addresses, or webhooks of the project as `webhook:NAME`. */
  readonly notify: readonly string[];
}

export const defaultEnvironmentSettings: EnvironmentSettings = {
  branches: [],
  differs: [],
  rollsBack: false,
  verify: [],
  notify: [],
};

/** What the first of two commits is to the second: `newer` contains it, `older` is contained in it. */
export type CommitOrder = 'newer' | 'older' | 'diverged';

/** Which environment an event is about. */
export interface EnvironmentRef {
  readonly project: ProjectId;
  /** Its name: `staging`. */
  readonly environment: string;
}

/** Deployments of an environment are numbered from 1. */
export type OfDeployment = EnvironmentRef & { readonly deployment: number };

/** What an approval is bound to: the record and the settings, each by how often it was changed. */
export interface Binding {
  readonly record: number;
  readonly settings: number;
}

export type DeliveryEvent =
  /** Added, or changed as a whole. Approvals that were given under other settings are void. */
  | (EnvironmentRef & {
      readonly kind: 'EnvironmentSet';
      readonly settings: EnvironmentSettings;
      readonly by: string;
    })
  | (EnvironmentRef & { readonly kind: 'EnvironmentRemoved'; readonly by: string })
  | (EnvironmentRef & { readonly kind: 'EnvironmentHeld'; readonly by: string; readonly reason?: string })
  | (EnvironmentRef & { readonly kind: 'EnvironmentResumed'; readonly by: string })
  | (EnvironmentRef & {
      readonly kind: 'EnvironmentCompared';
      readonly one: CommitId;
      readonly other: CommitId;
      readonly order: CommitOrder;
    })
  /** `message`: why it was given up. */
  | (EnvironmentRef & {
      readonly kind: 'EnvironmentChoreDone';
      readonly chore: number;
      readonly message?: string;
    })
  | (OfDeployment & {
      readonly kind: 'DeployRequested';
      readonly run: RunId;
      readonly stage: number;
      readonly of: DeploymentKind;
      readonly source: DeploymentSource;
      readonly record: DeploymentRecord;
      /** First line of the commit's message. */
      readonly title: string;
      /** Who submitted or landed it; of a rollback, who asked for it. */
      readonly by: string;
    })
  /** Variables or secrets were changed before it began. An approval is void. */
  | (OfDeployment & {
      readonly kind: 'DeployAmended';
      readonly env: readonly KeyedHash[];
      readonly secrets: readonly KeyedHash[];
    })
  /** It may be deployed, but for the approval that is asked for. `promotedFrom`: the deployment that verified the same before. */
  | (OfDeployment & {
      readonly kind: 'DeployApprovalAsked';
      readonly binding: Binding;
      readonly promotedFrom?: number;
    })
  /** It may be deployed, and no approval is demanded. */
  | (OfDeployment & { readonly kind: 'DeployCleared'; readonly promotedFrom?: number })
  | (OfDeployment & { readonly kind: 'DeployApproved'; readonly by: string; readonly binding: Binding })
  /** It has the environment for itself, and its stage may be leased. */
  | (OfDeployment & { readonly kind: 'DeployLocked' })
  /** `AttemptStarted` is durable: from here on its first step may have run, and it never starts again. */
  | (OfDeployment & { readonly kind: 'DeployBegan'; readonly attempt: number; readonly token: Token })
  /** Its steps succeeded, and its verify is to say the rest. */
  | (OfDeployment & { readonly kind: 'DeployStepsEnded' })
  | (OfDeployment & { readonly kind: 'DeployUnknown'; readonly cause: UnknownCause })
  /** Its agent is back, and goes on with it. */
  | (OfDeployment & { readonly kind: 'DeployReturned' })
  /** It has been open for so long that its run no longer waits for it. The environment does. */
  | (OfDeployment & { readonly kind: 'DeployStageReleased' })
  | (OfDeployment & {
      readonly kind: 'DeployEnded';
      readonly end: DeploymentEnd;
      /** The environment rolls back to this deployment by itself, and takes nothing else before that. */
      readonly rollsBackTo?: number;
    })
  /** Its agent came back with its end after it had been settled otherwise. It changes nothing. */
  | (OfDeployment & { readonly kind: 'DeployEndedLate'; readonly message: string });

export const deliveryEventKinds: Readonly<Record<DeliveryEvent['kind'], true>> = {
  EnvironmentSet: true,
  EnvironmentRemoved: true,
  EnvironmentHeld: true,
  EnvironmentResumed: true,
  EnvironmentCompared: true,
  EnvironmentChoreDone: true,
  DeployRequested: true,
  DeployAmended: true,
  DeployApprovalAsked: true,
  DeployCleared: true,
  DeployApproved: true,
  DeployLocked: true,
  DeployBegan: true,
  DeployStepsEnded: true,
  DeployUnknown: true,
  DeployReturned: true,
  DeployStageReleased: true,
  DeployEnded: true,
  DeployEndedLate: true,
};

export const isDeliveryEvent = (event: { readonly kind: string }): event is DeliveryEvent =>
  Object.hasOwn(deliveryEventKinds, event.kind);
