/** The service `Projects`: messages in, use cases, messages out. What it means stands in `projects.proto`. */
import type { GitCredential } from '../../shared/git/credential.js';
import { parseRunId, type ProjectId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import type { Credential__Output } from '../../shared/wire/gen/gantry/v1/Credential.js';
import type { Project as ProjectMessage } from '../../shared/wire/gen/gantry/v1/Project.js';
import type { ProjectSelector__Output } from '../../shared/wire/gen/gantry/v1/ProjectSelector.js';
import type { ProjectSettings__Output } from '../../shared/wire/gen/gantry/v1/ProjectSettings.js';
import type { RegistryCredential__Output } from '../../shared/wire/gen/gantry/v1/RegistryCredential.js';
import type { Secret as SecretMessage } from '../../shared/wire/gen/gantry/v1/Secret.js';
import { parsed } from '../../shared/wire/wire-error.js';
import type { Reach } from '../access/reach.js';
import type { ScopedSecret } from '../secrets/scoped-secrets.js';
import { describeMove } from '../triggers/moves.js';
import { demand, guard, type Guarded } from './grpc-door.js';
import { gateChangeFrom, gateSettingsMessage } from './gate-settings.js';
import { demandPrivate } from './private-call.js';
import { shownRegistries, type RegistryChange } from './project-registries.js';
import { listSecrets, removeSecret, setSecret } from './project-secrets.js';
import {
  addProject,
  changeProject,
  hookSecret,
  removeProject,
  resolveProject,
  shownCredential,
  type CredentialsChange,
  type SettingsChange,
} from './projects.js';
import type { Services } from './services.js';
import { submitRun } from './submit.js';
import { checkRepositoryAllowed, projectOf } from '../../shared/git/repository-url.js';

export function grpcProjects(services: Services): Guarded<'Projects'> {
  const resolve = (selector: ProjectSelector__Output | null | undefined, reach: Reach): Promise<Project> =>
    resolveProject(services, selector?.project ?? '', (project) => reach.has(project));

  return guard(services, 'Projects', {
    Add: async (request, call) => {
      demandPrivateFor(request, call);
      const { user, reach, signal } = call;
      const repository = await checkRepositoryAllowed(request.url ?? '', services.settings.repoRoots);
      demand(reach, projectOf(repository.name));
      const { project, madeSecrets } = await addProject(services, {
        url: request.url ?? '',
        settings: settingsFrom(request.settings, { domains: true, webhooks: true }),
        credentials: credentialsFrom(request),
        registries: (request.registries ?? []).map(registryFrom),
        by: user.name,
        signal,
      });
      // So that the answer shows what there is, and the first run starts now.
      await services.poller.pollNow(project.id).catch(() => undefined); // the project says what is wrong
      return withSecrets(await projectMessage(services, project), madeSecrets);
    },
    Set: async (request, call) => {
      demandPrivateFor(request, call);
      const { user, reach, signal } = call;
      const { project, madeSecrets } = await changeProject(services, await resolve(request.project, reach), {
        settings: settingsFrom(request.settings, {
          domains: request.setMailDomains ?? false,
          webhooks: request.setWebhooks ?? false,
        }),
        credentials: credentialsFrom(request),
        registries: (request.registries ?? []).map(registryFrom),
        by: user.name,
        signal,
      });
      return withSecrets(await projectMessage(services, project), madeSecrets);
    },
    Remove: async (request, { user, reach }) => {
      const { id } = await resolve(request, reach);
      await removeProject(services, id, user.name);
      await services.poller.refresh();
      return {};
    },
    Show: async (request, { reach }) => projectMessage(services, await resolve(request, reach)),
    List: async (_request, { reach }) => {
      const projects = await services.coordinator.read(({ state }) =>
        [...state.projects.values()].map(({ project }) => project).filter(({ id }) => reach.has(id)),
      );
      projects.sort((a, b) => (a.name < b.name ? -1 : 1));
      return { projects: await Promise.all(projects.map((project) => projectMessage(services, project))) };
    },
    Poll: async (request, { reach }) => {
      const { id } = await resolve(request, reach);
      const { runs, moves } = await services.poller.pollNow(id);
      return { runs: [...runs], moves };
    },
    Run: async (request, { user, reach, signal }) => {
      const project = await resolve(request.project, reach);
      const order = {
        run: parsed('run', 'a run id (16 characters a-z, 2-7)', parseRunId, request.run),
        source: {
          kind: 'git',
          url: project.url,
          commitish:
            request.ref === undefined || request.ref === '' ? await usualRef(services, project) : request.ref,
        },
        env: {},
        inputs: request.inputs ?? {},
        stages: [],
        by: user,
      } as const;
      const { run, again, warnings } = await submitRun(services, order, signal);
      return { run, again, warnings: [...warnings] };
    },
    Hook: async (request, call) => {
      demandPrivate(call, 'secrets of hooks');
      const { user, reach } = call;
      const project = await resolve(request.project, reach);
      const rotate = request.rotate ?? false;
      const secret = await hookSecret(services, project.id, { rotate, by: user.name });
      const url = `${services.settings.publicUrl}/hooks/${project.id}`;
      return { url, secret, project: await projectMessage(services, project) };
    },
    Deliveries: async (request, { reach }) => {
      const { id } = await resolve(request, reach);
      return { deliveries: await deliveriesOf(services, id) };
    },
    SetSecret: async (request, call) => {
      demandPrivate(call, 'secrets');
      const { user, reach } = call;
      const project = await resolve(request.project, reach);
      const { name = '', value = '' } = request;
      const order = { project, name, value, by: user.name, ...scopeOf(request.environment) };
      return secretMessage(await setSecret(services, order));
    },
    ListSecrets: async (request, { reach }) => {
      const project = await resolve(request.project, reach);
      const secrets = await listSecrets(services, { project, ...scopeOf(request.environment) });
      return { secrets: secrets.map(secretMessage) };
    },
    RemoveSecret: async (request, { user, reach }) => {
      const project = await resolve(request.project, reach);
      const order = { project, name: request.name ?? '', by: user.name, ...scopeOf(request.environment) };
      await removeSecret(services, order);
      return {};
    },
  });
}

/** Of webhooks, those that were made just now. */
const withSecrets = (message: ProjectMessage, made: ReadonlyMap<string, string>): ProjectMessage => ({
  ...message,
  settings: {
    ...message.settings,
    webhooks: (message.settings?.webhooks ?? []).map((webhook) => ({
      ...webhook,
      secret: made.get(webhook.name ?? '') ?? '',
    })),
  },
});

const scopeOf = (environment: string | undefined): { readonly environment?: string } =>
  environment === undefined || environment === '' ? {} : { environment };

const secretMessage = ({ name, environment, changedAt, changedBy }: ScopedSecret): SecretMessage => ({
  name,
  environment: environment ?? '',
  changedAt: new Date(changedAt).toISOString(),
  changedBy,
});

async function usualRef({ coordinator }: Services, { id, settings }: Project): Promise<string> {
  const head = await coordinator.read(({ state }) => state.projects.get(id)?.head);
  return settings.defaultBranch ?? head ?? 'HEAD';
}

async function projectMessage(services: Services, project: Project): Promise<ProjectMessage> {
  const [fetchCredential, pushCredential, registries, known] = await Promise.all([
    shownCredential(services, project.id, 'fetch'),
    shownCredential(services, project.id, 'push'),
    shownRegistries(services, project),
    services.coordinator.read(({ state }) => {
      const found = state.projects.get(project.id);
      return {
        head: found?.head ?? '',
        refs: [...(found?.refs.values() ?? [])].filter(({ tip }) => tip !== undefined).length,
        branches: [...(found?.branches ?? [])].map(([branch, { status, run }]) => ({ branch, status, run })),
      };
    }),
  ]);
  const { id, name, url, settings } = project;
  return {
    id,
    name,
    url,
    settings: {
      defaultBranch: settings.defaultBranch ?? '',
      pollMs: settings.pollMs,
      cancelSuperseded: settings.cancelSuperseded,
      mailDomains: [...settings.mailDomains],
      webhooks: settings.webhooks.map((webhook) => ({ ...webhook })),
      ...(settings.gate === undefined ? {} : { gate: gateSettingsMessage(settings.gate) }),
    },
    ...known,
    trouble: services.poller.troubleOf(id) ?? '',
    fetchCredential,
    pushCredential,
    registries: [...registries],
  };
}

/** Newest first. */
async function deliveriesOf({ coordinator }: Services, project: ProjectId) {
  return coordinator.read(({ state }) =>
    [...(state.projects.get(project)?.deliveries.values() ?? [])]
      .slice(-100)
      .reverse()
      .map(({ delivery, at, pusher, moves }) => ({
        id: delivery,
        at: new Date(at).toISOString(),
        pusher: pusher ?? '',
        moves: moves.map(describeMove),
        runs: moves.filter(({ asks }) => asks).map(({ run }) => run),
      })),
  );
}

/** `lists`: which lists of the request count; an empty one that counts empties. */
function settingsFrom(
  settings: ProjectSettings__Output | null | undefined,
  lists: { readonly domains: boolean; readonly webhooks: boolean },
): SettingsChange {
  const { defaultBranch, pollMs, cancelSuperseded, mailDomains = [], webhooks = [] } = settings ?? {};
  const gate = gateChangeFrom(settings?.gate);
  return {
    ...(defaultBranch === undefined ? {} : { defaultBranch }),
    ...(pollMs === undefined ? {} : { pollMs }),
    ...(cancelSuperseded === undefined ? {} : { cancelSuperseded }),
    ...(lists.domains ? { mailDomains } : {}),
    ...(lists.webhooks
      ? { webhooks: webhooks.map(({ name = '', url = '', secret = '' }) => ({ name, url, secret })) }
      : {}),
    ...(gate === undefined ? {} : { gate }),
  };
}

interface CredentialsMessage {
  readonly fetch?: Credential__Output | null;
  readonly push?: Credential__Output | null;
  readonly registries?: readonly RegistryCredential__Output[];
}

/** What it brings, or is answered with: a webhook without a secret gets one that is made here. */
function demandPrivateFor(
  request: CredentialsMessage & { readonly settings?: ProjectSettings__Output | null },
  call: { readonly isPrivate: boolean },
): void {
  const given = Object.values(credentialsFrom(request)).filter((credential) => credential !== 'none');
  const registries = (request.registries ?? []).filter(({ none }) => none !== true);
  if (given.length > 0 || registries.length > 0) demandPrivate(call, 'credentials');
  if ((request.settings?.webhooks ?? []).length > 0) demandPrivate(call, 'secrets of webhooks');
}

const registryFrom = ({
  host = '',
  user = '',
  password = '',
  none = false,
}: RegistryCredential__Output): RegistryChange => (none ? { host, none } : { host, user, password });

function credentialsFrom(request: CredentialsMessage): CredentialsChange {
  const fetch = credentialFrom(request.fetch);
  const push = credentialFrom(request.push);
  return { ...(fetch === undefined ? {} : { fetch }), ...(push === undefined ? {} : { push }) };
}

function credentialFrom(message: Credential__Output | null | undefined): GitCredential | 'none' | undefined {
  switch (message?.kind) {
    case 'https': {
      const { user = '', token = '' } = message.https ?? {};
      return { kind: 'https', user: user === '' ? 'gantry' : user, token };
    }
    case 'ssh': {
      const { privateKey = '', knownHosts = '' } = message.ssh ?? {};
      return { kind: 'ssh', privateKey, knownHosts };
    }
    case 'none':
      return 'none';
    default:
      return undefined;
  }
}
