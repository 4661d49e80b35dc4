/** Promotion: an environment takes what the one before it has verified, the same by digest, and never a rebuild. */
import type { DeploymentRecord } from '../../shared/model/deployment.js';
import {
  findEnded,
  findEnvironment,
  type Deliveries,
  type Deployment,
  type EndedDeployment,
  type Environment,
} from './state.js';

export type Promotion =
  /** No environment comes before it, or a person forces it. */
  | { readonly kind: 'free' }
  | { readonly kind: 'promoted'; readonly from: number }
  | { readonly kind: 'refused'; readonly from: string };

export function promotionOf(
  deliveries: Deliveries,
  environment: Environment,
  deployment: Deployment,
): Promotion {
  const { promotesFrom } = environment.settings;
  const { of } = deployment;
  if (promotesFrom === undefined || of.kind === 'rollback' || of.force !== undefined) return { kind: 'free' };
  const before = findEnvironment(deliveries, { project: environment.project, environment: promotesFrom });
  if (before === undefined) return { kind: 'refused', from: promotesFrom };
  // Proven before, and the proof may have become too old to be remembered since.
  const { promotedFrom } = deployment;
  if (promotedFrom !== undefined) {
    return findEnded(before, promotedFrom)?.isDisavowed === true
      ? { kind: 'refused', from: promotesFrom }
      : { kind: 'promoted', from: promotedFrom };
  }
  const proof = before.ended.findLast((other) => proves(other, deployment.record));
  return proof === undefined
    ? { kind: 'refused', from: promotesFrom }
    : { kind: 'promoted', from: proof.deployment };
}

/** One deployment must have had all of it: parts that were verified apart were not verified together. */
function proves({ end, isDisavowed, record }: EndedDeployment, wanted: DeploymentRecord): boolean {
  if (end.kind !== 'verified' || isDisavowed || record.commit !== wanted.commit) return false;
  const digests = new Set(digestsOf(record));
  return digestsOf(wanted).every((digest) => digests.has(digest));
}

export const digestsOf = ({ artifacts, images }: DeploymentRecord): readonly string[] => [
  ...artifacts.map(({ sha256 }) => `sha256:${sha256}`),
  ...images.map(({ digest }) => digest),
];
