/** The service `Environments`: messages in, use cases, messages out. What it means stands in `environments.proto`. */
import type { Binding } from '../../shared/model/environment.js';
import type { EnvironmentView } from '../../shared/model/environment-view.js';
import { parseRunId, type ProjectId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { Binding__Output } from '../../shared/wire/gen/gantry/v1/Binding.js';
import type { DeploymentAnswer } from '../../shared/wire/gen/gantry/v1/DeploymentAnswer.js';
import type { EnvironmentSelector__Output } from '../../shared/wire/gen/gantry/v1/EnvironmentSelector.js';
import type { EnvironmentView as EnvironmentMessage } from '../../shared/wire/gen/gantry/v1/EnvironmentView.js';
import type { SetEnvironmentRequest__Output } from '../../shared/wire/gen/gantry/v1/SetEnvironmentRequest.js';
import { oneOf, parsed, required } from '../../shared/wire/wire-error.js';
import type { Reach } from '../access/reach.js';
import { ApiError } from './api-error.js';
import { approve, reject } from './approve.js';
import {
  diff,
  hold,
  removeEnvironment,
  resume,
  rollback,
  setEnvironment,
  settle,
  viewAt,
  viewsOf,
  type Begun,
  type EnvironmentPlace,
} from './environments.js';
import { differenceMessage, environmentMessage } from './environment-message.js';
import { changedSettings } from './environment-settings.js';
import { guard, type Guarded, type ProjectCall } from './grpc-door.js';
import { CommitsBetween } from './new-commits.js';
import { resolveProject } from './projects.js';
import type { Services } from './services.js';

export function grpcEnvironments(services: Services): Guarded<'Environments'> {
  const commitsBetween = new CommitsBetween((project) => services.repositories.of(project));
  const projectOf = (text: string | undefined, reach: Reach): Promise<Project> =>
    resolveProject(services, text ?? '', (project) => reach.has(project));
  const resolve = async (
    selector: EnvironmentSelector__Output | null | undefined,
    reach: Reach,
  ): Promise<EnvironmentPlace> => ({
    project: await projectOf(selector?.project?.project, reach),
    environment: selector?.environment ?? '',
  });
  const set = async (
    request: SetEnvironmentRequest__Output,
    { user, reach }: ProjectCall,
    isNew: boolean,
  ): Promise<EnvironmentMessage> => {
    const at = await resolve(request.environment, reach);
    // The owner is no user of the directory, and may be named by themselves.
    const userNamed = (name: string): string | undefined =>
      services.directory.user(name)?.name ?? (name === user.name ? name : undefined);
    const settings = (before: EnvironmentView['settings'] | undefined): EnvironmentView['settings'] =>
      changedSettings(before, request.settings, { project: at.project, userNamed });
    const view = await setEnvironment(services, at, { isNew, settings, by: user.name });
    return environmentMessage(at.project.name, view);
  };

  return guard(services, 'Environments', {
    Add: (request, call) => set(request, call, true),
    Set: (request, call) => set(request, call, false),
    Remove: async (request, { user, reach }) => {
      await removeEnvironment(services, await resolve(request, reach), user.name);
      return {};
    },
    List: async (request, { reach }) => {
      const only = request.all === true ? undefined : await projectOf(request.project?.project, reach);
      const views = await viewsOf(services, (id) => reach.has(id) && (only === undefined || only.id === id));
      const names = await projectNames(services);
      return { environments: views.map((view) => environmentMessage(names.get(view.project) ?? '', view)) };
    },
    Show: async (request, { reach, signal }) => {
      const at = await resolve(request, reach);
      const view = await viewAt(services, at);
      return environmentMessage(at.project.name, view, await commitsBetween.ofAll(at.project, view, signal));
    },
    Diff: async (request, { reach }) => {
      const project = await projectOf(request.project?.project, reach);
      const found = await diff(services, project, { left: request.left ?? '', right: request.right ?? '' });
      return {
        isIdentical: found.isIdentical,
        differences: found.differences.map(differenceMessage),
        declared: found.declared.map(differenceMessage),
        leftDeployment: found.left,
        rightDeployment: found.right,
      };
    },
    Hold: async (request, { user, reach }) => {
      const at = await resolve(request.environment, reach);
      await hold(services, at, { by: user.name, reason: reasonFrom(request.reason) });
      return {};
    },
    Resume: async (request, { user, reach }) => {
      await resume(services, await resolve(request, reach), user.name);
      return {};
    },
    Settle: async (request, { user, reach }) => {
      const at = await resolve(request.environment, reach);
      const outcome = oneOf('outcome', ['good', 'bad'] as const, request.outcome);
      const { deployment = 0 } = request;
      const reason = reasonFrom(request.reason);
      await settle(services, at, { deployment, outcome, by: user.name, reason });
      return {};
    },
    Approve: async (request, { user, reach, signal }) => {
      const at = await resolve(request.environment, reach);
      const { deployment = 0 } = request;
      const binding = bindingFrom(request.binding);
      return answerMessage(await approve(services, { at, deployment, binding, by: user }, signal));
    },
    Reject: async (request, { user, reach }) => {
      const at = await resolve(request.environment, reach);
      const { deployment = 0 } = request;
      await reject(services, { at, deployment, by: user, reason: reasonFrom(request.reason) });
      return {};
    },
    Rollback: async (request, { user, reach }) => {
      const at = await resolve(request.environment, reach);
      const run = parsed('run', 'a run id (16 characters a-z, 2-7)', parseRunId, request.run);
      return answerMessage(await rollback(services, at, { run, by: user.name }));
    },
  });
}

const projectNames = ({ coordinator }: Services): Promise<ReadonlyMap<ProjectId, string>> =>
  coordinator.read(
    ({ state }) => new Map([...state.projects].map(([id, { project }]) => [id, project.name])),
  );

function bindingFrom(message: Binding__Output | null | undefined): Binding {
  const { record = 0, settings = 0 } = required('binding', message);
  return { record, settings };
}

const answerMessage = ({ deployment, run, again }: Begun): DeploymentAnswer => ({
  deployment: deployment ?? 0,
  run: run ?? '',
  again,
});

/** It stays in the history for long. */
const longestReason = 1_000;

function reasonFrom(text = ''): string {
  if (text.length <= longestReason) return text;
  throw new ApiError(
    'invalid',
    `the reason has ${text.length} characters, at most ${longestReason} are kept`,
  );
}
