/** What a deployment's state can call for. See `next-step.ts`. */
import type { DeploymentEnd, UnknownCause } from '../../shared/model/deployment.js';
import type { ApprovalRule, Binding } from '../../shared/model/environment.js';
import type { CommitId, Token } from '../../shared/model/ids.js';
import type { DeliveryContext } from './command.js';
import type { Pair } from './commits.js';
import type { Deliveries, Deployment, Environment } from './state.js';

export type Wait =
  /** How its commit stands to another is being looked up. */
  | { readonly kind: 'compare'; readonly pair: Pair }
  | { readonly kind: 'approval'; readonly rule: ApprovalRule }
  /** Another has the environment for itself. */
  | { readonly kind: 'lock'; readonly holder: Deployment }
  | { readonly kind: 'rollback-first' }
  | { readonly kind: 'held'; readonly by: string; readonly reason: string | undefined }
  | { readonly kind: 'rolled-back'; readonly from: CommitId }
  /** It may begin, and its stage waits for an agent. */
  | { readonly kind: 'agent' }
  | { readonly kind: 'rollback-run' }
  | { readonly kind: 'runs' }
  | { readonly kind: 'verify' }
  /** Nothing but a person can say how it came out, or its agent. */
  | { readonly kind: 'settle' };

export type Step =
  | { readonly kind: 'end'; readonly end: DeploymentEnd }
  | { readonly kind: 'ask-approval'; readonly binding: Binding; readonly promotedFrom: number | undefined }
  | { readonly kind: 'clear'; readonly promotedFrom: number | undefined }
  | { readonly kind: 'lock' }
  | { readonly kind: 'begin'; readonly attempt: number; readonly token: Token }
  | { readonly kind: 'steps-ended' }
  | { readonly kind: 'unknown'; readonly cause: UnknownCause }
  | { readonly kind: 'returned' }
  | { readonly kind: 'release-stage' }
  /** `untilMs`: when something becomes due though nobody comes, wall time. */
  | { readonly kind: 'wait'; readonly wait: Wait; readonly untilMs?: number };

export interface Sight {
  readonly deliveries: Deliveries;
  readonly environment: Environment;
  readonly context: DeliveryContext;
}

export const wait = (what: Wait, untilMs?: number): Step =>
  untilMs === undefined ? { kind: 'wait', wait: what } : { kind: 'wait', wait: what, untilMs };
