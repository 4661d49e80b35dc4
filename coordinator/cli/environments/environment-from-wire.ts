/** An environment as the coordinator sends it, in the shape that scripts get. */
import type { DeploymentRecord, KeyedHash } from '../../../shared/model/deployment.js';
import type { EnvironmentSettings } from '../../../shared/model/environment.js';
import {
  deploymentStatuses,
  type DeploymentView,
  type EnvironmentView,
  type RecordDiff,
  type RecordDifference,
} from '../../../shared/model/environment-view.js';
import { parseCommitId, parseProjectId, parseRunId, parseSha256 } from '../../../shared/model/ids.js';
import type { DeploymentRecord__Output } from '../../../shared/wire/gen/gantry/v1/DeploymentRecord.js';
import type { DeploymentView__Output } from '../../../shared/wire/gen/gantry/v1/DeploymentView.js';
import type { EnvironmentDiff__Output } from '../../../shared/wire/gen/gantry/v1/EnvironmentDiff.js';
import type { EnvironmentSettings__Output } from '../../../shared/wire/gen/gantry/v1/EnvironmentSettings.js';
import type { EnvironmentView__Output } from '../../../shared/wire/gen/gantry/v1/EnvironmentView.js';
import type { NamedDigest__Output } from '../../../shared/wire/gen/gantry/v1/NamedDigest.js';
import type { NewCommits__Output } from '../../../shared/wire/gen/gantry/v1/NewCommits.js';
import type { RecordDifference__Output } from '../../../shared/wire/gen/gantry/v1/RecordDifference.js';
import { oneOf, parsed } from '../../../shared/wire/wire-error.js';

/** Since the deployment before, newest first. */
export interface NewCommits {
  /** Null: nothing was there. */
  readonly since: string | null;
  readonly commits: readonly { readonly commit: string; readonly title: string }[];
  readonly more: boolean;
}

export interface ShownDeployment extends DeploymentView {
  /** Null: not known. */
  readonly commits: NewCommits | null;
}

export interface ShownEnvironment extends EnvironmentView {
  readonly projectName: string;
  readonly current: ShownDeployment | null;
  readonly lastVerified: ShownDeployment | null;
  readonly open: readonly ShownDeployment[];
  readonly history: readonly ShownDeployment[];
}

export function environmentFromWire(message: EnvironmentView__Output): ShownEnvironment {
  const { current, lastVerified, open = [], history = [] } = message;
  return {
    project: parsed('project', 'a project id', parseProjectId, message.project),
    projectName: message.projectName ?? '',
    environment: message.environment ?? '',
    status: oneOf('status', ['free', 'busy', 'unknown', 'held'] as const, message.status),
    settings: settingsFromWire(message.settings ?? {}),
    current: current == null ? null : deploymentFromWire(current),
    lastVerified: lastVerified == null ? null : deploymentFromWire(lastVerified),
    holds: message.holds ?? [],
    open: open.map(deploymentFromWire),
    history: history.map(deploymentFromWire),
  };
}

function settingsFromWire(message: EnvironmentSettings__Output): EnvironmentSettings {
  const { url = '', approval, branches = [], promotesFrom = '', differs = [], verify = [] } = message;
  return {
    ...(url === '' ? {} : { url }),
    ...(approval == null
      ? {}
      : { approval: { by: approval.approvers ?? [], notAuthor: approval.notAuthor ?? false } }),
    branches,
    ...(promotesFrom === '' ? {} : { promotesFrom }),
    differs,
    rollsBack: message.rollsBack ?? false,
    verify,
    notify: message.notify ?? [],
  };
}

const textOrNull = (text: string | undefined): string | null =>
  text === undefined || text === '' ? null : text;

function deploymentFromWire(message: DeploymentView__Output): ShownDeployment {
  const { binding, commits, rollbackOf = 0 } = message;
  return {
    deployment: message.deployment ?? 0,
    status: oneOf('status', deploymentStatuses, message.status),
    run: parsed('run', 'a run id', parseRunId, message.run),
    stage: message.stage ?? 0,
    commit: parsed('commit', 'a commit id', parseCommitId, message.commit),
    title: message.title ?? '',
    branch: textOrNull(message.branch),
    by: message.by ?? '',
    approvedBy: textOrNull(message.approvedBy),
    rollbackOf: rollbackOf === 0 ? null : rollbackOf,
    forced: textOrNull(message.forced),
    requestedAt: message.requestedAt ?? '',
    beganAt: textOrNull(message.beganAt),
    endedAt: textOrNull(message.endedAt),
    waitingFor: message.waitingFor ?? [],
    reason: textOrNull(message.reason),
    late: textOrNull(message.late),
    binding: binding == null ? null : { record: binding.record ?? 0, settings: binding.settings ?? 0 },
    isDisavowed: message.isDisavowed ?? false,
    record: recordFromWire(message.record ?? {}),
    commits: commits == null ? null : commitsFromWire(commits),
  };
}

const commitsFromWire = ({ since, commits = [], more = false }: NewCommits__Output): NewCommits => ({
  since: textOrNull(since),
  commits: commits.map(({ commit = '', title = '' }) => ({ commit, title })),
  more,
});

function recordFromWire(message: DeploymentRecord__Output): DeploymentRecord {
  const { artifacts = [], images = [], steps = [], env = [], secrets = [] } = message;
  const sha256 = (text: string | undefined) => parsed('sha256', 'a SHA-256', parseSha256, text);
  return {
    commit: parsed('commit', 'a commit id', parseCommitId, message.commit),
    artifacts: artifacts.map((artifact) => ({
      name: artifact.name ?? '',
      sha256: sha256(artifact.sha256),
      run: parsed('run', 'a run id', parseRunId, artifact.run),
    })),
    images: images.map(({ name = '', digest = '' }) => ({ name, digest })),
    steps: steps.map(({ name = '', digest }) => ({ name, sha256: sha256(digest) })),
    env: env.map(hashFromWire),
    secrets: secrets.map(hashFromWire),
    verifies: message.verifies ?? false,
  };
}

const hashFromWire = ({ name = '', digest = '' }: NamedDigest__Output): KeyedHash => ({ name, hash: digest });

export interface ShownDiff extends RecordDiff {
  /** Deployments of the two. */
  readonly left: number;
  readonly right: number;
}

export const diffFromWire = (message: EnvironmentDiff__Output): ShownDiff => ({
  isIdentical: message.isIdentical ?? false,
  differences: (message.differences ?? []).map(differenceFromWire),
  declared: (message.declared ?? []).map(differenceFromWire),
  left: message.leftDeployment ?? 0,
  right: message.rightDeployment ?? 0,
});

const differenceFromWire = ({ what, name, left, right }: RecordDifference__Output): RecordDifference => ({
  what: oneOf('what', ['commit', 'artifact', 'image', 'step', 'env', 'secret'] as const, what),
  name: name ?? '',
  left: textOrNull(left),
  right: textOrNull(right),
});
