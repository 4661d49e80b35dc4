/** An environment as messages have it: as the model, but empty texts and absent messages stand for null. */
import type { DeploymentRecord } from '../../shared/model/deployment.js';
import type {
  DeploymentView,
  EnvironmentView,
  RecordDifference,
} from '../../shared/model/environment-view.js';
import type { DeploymentRecord as RecordMessage } from '../../shared/wire/gen/gantry/v1/DeploymentRecord.js';
import type { DeploymentView as DeploymentMessage } from '../../shared/wire/gen/gantry/v1/DeploymentView.js';
import type { EnvironmentView as EnvironmentMessage } from '../../shared/wire/gen/gantry/v1/EnvironmentView.js';
import type { RecordDifference as DifferenceMessage } from '../../shared/wire/gen/gantry/v1/RecordDifference.js';
import { settingsMessage } from './environment-settings.js';
import type { NewCommits } from './new-commits.js';

export function environmentMessage(
  projectName: string,
  view: EnvironmentView,
  commits: ReadonlyMap<number, NewCommits> = new Map(),
): EnvironmentMessage {
  const { project, environment, status, settings, current, lastVerified, holds, open, history } = view;
  const message = (deployment: DeploymentView): DeploymentMessage => deploymentMessage(deployment, commits);
  return {
    project,
    projectName,
    environment,
    status,
    settings: settingsMessage(settings),
    ...(current === null ? {} : { current: message(current) }),
    ...(lastVerified === null ? {} : { lastVerified: message(lastVerified) }),
    holds: [...holds],
    open: open.map(message),
    history: history.map(message),
  };
}

function deploymentMessage(
  view: DeploymentView,
  commits: ReadonlyMap<number, NewCommits>,
): DeploymentMessage {
  const { branch, approvedBy, rollbackOf, forced, beganAt, endedAt, reason, late, binding, ...rest } = view;
  const brought = commits.get(view.deployment);
  return {
    ...rest,
    branch: branch ?? '',
    approvedBy: approvedBy ?? '',
    rollbackOf: rollbackOf ?? 0,
    forced: forced ?? '',
    beganAt: beganAt ?? '',
    endedAt: endedAt ?? '',
    waitingFor: [...view.waitingFor],
    reason: reason ?? '',
    late: late ?? '',
    ...(binding === null ? {} : { binding }),
    record: recordMessage(view.record),
    ...(brought === undefined
      ? {}
      : {
          commits: { since: brought.since ?? '', commits: [...brought.commits], more: brought.more },
        }),
  };
}

function recordMessage({
  commit,
  artifacts,
  images,
  steps,
  env,
  secrets,
  verifies,
}: DeploymentRecord): RecordMessage {
  return {
    commit,
    artifacts: [...artifacts],
    images: [...images],
    steps: steps.map(({ name, sha256 }) => ({ name, digest: sha256 })),
    env: env.map(({ name, hash }) => ({ name, digest: hash })),
    secrets: secrets.map(({ name, hash }) => ({ name, digest: hash })),
    verifies,
  };
}

export const differenceMessage = ({ what, name, left, right }: RecordDifference): DifferenceMessage => ({
  what,
  name,
  left: left ?? '',
  right: right ?? '',
});
