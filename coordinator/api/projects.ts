/** What people do with projects: adding them, changing their settings, asking for runs. */
import { randomBytes } from 'node:crypto';
import type { GitCredential } from '../../shared/git/credential.js';
import { isBranchName } from '../../shared/git/refs.js';
import {
  checkRepositoryAllowed,
  normalizeRepositoryUrl,
  projectOf,
  type RepositoryUrl,
} from '../../shared/git/repository-url.js';
import type { ProjectId } from '../../shared/model/ids.js';
import { namePattern } from '../../shared/model/ids.js';
import {
  defaultProjectSettings,
  type Project,
  type ProjectSettings,
  type ProjectWebhook,
} from '../../shared/model/project.js';
import type { GateSettings } from '../../shared/model/gate.js';
import { webhookUrlProblem } from '../feedback/webhook-url.js';
import { checkCredential, describeCredential } from '../secrets/credentials.js';
import { ApiError } from './api-error.js';
import { changedGate } from './gate-settings.js';
import { checkRegistries, storeRegistries, type RegistryChange } from './project-registries.js';
import type { Services } from './services.js';

/** What a request says of settings; what it leaves out stays as it is. */
export interface SettingsChange {
  /** Empty: what the remote's HEAD names. */
  readonly defaultBranch?: string;
  readonly pollMs?: number;
  readonly cancelSuperseded?: boolean;
  readonly mailDomains?: readonly string[];
  readonly webhooks?: readonly (ProjectWebhook & { readonly secret: string })[];
  /** What it says of the gate; `none`: there is no gate any more. */
  readonly gate?: Partial<GateSettings> | 'none';
}

export interface CredentialsChange {
  readonly fetch?: GitCredential | 'none';
  readonly push?: GitCredential | 'none';
}

/** What is kept in the vault beside a project. */
interface Sealed {
  readonly credentials: CredentialsChange;
  readonly registries: readonly RegistryChange[];
}

export interface ProjectChanged {
  readonly project: Project;
  /** Secrets that were made, by the webhook's name: shown to whoever asked, once. */
  readonly madeSecrets: ReadonlyMap<string, string>;
}

/** A poll more often than this asks more than people wait for. */
const leastPollMs = 1_000;
const domainPattern = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;

export async function addProject(
  services: Services,
  order: Sealed & {
    readonly url: string;
    readonly settings: SettingsChange;
    readonly by: string;
    readonly signal: AbortSignal;
  },
): Promise<ProjectChanged> {
  const { by, signal } = order;
  const repository = await checkRepositoryAllowed(order.url, services.settings.repoRoots);
  const { id, name } = projectOf(repository.name);
  const settings = changedSettings(defaultProjectSettings, order.settings);
  const project: Project = { id, name, url: repository.url, settings };
  const isKnown = await services.coordinator.read(({ state }) => state.projects.has(id));
  if (isKnown) {
    throw new ApiError('refused', `project ${name} exists already: change it with \`gantry projects set\``);
  }
  await checkCredentials(repository, order.credentials);
  const registries = checkRegistries(order.registries);
  const fetch = order.credentials.fetch;
  // Before anything is kept: a wrong URL or token is told to whoever gives it.
  await services.repositories.probe(project, fetch === 'none' ? undefined : fetch, signal);
  await storeCredentials(services, project.id, order.credentials, by);
  await storeRegistries(services, project, { changes: registries, by });
  const madeSecrets = await storeWebhookSecrets(services, project.id, order.settings, by);
  await services.vault.set({ project: id, space: 'hook', name: 'in' }, newSecret(), by);
  await set(services, project, { isNew: true, by });
  return { project, madeSecrets };
}

export async function changeProject(
  services: Services,
  project: Project,
  change: Sealed & {
    readonly settings: SettingsChange;
    readonly by: string;
    readonly signal: AbortSignal;
  },
): Promise<ProjectChanged> {
  const { by, signal, credentials } = change;
  const changed: Project = { ...project, settings: changedSettings(project.settings, change.settings) };
  await checkCredentials(normalizeRepositoryUrl(project.url), credentials);
  const registries = checkRegistries(change.registries);
  if (credentials.fetch !== undefined) {
    await services.repositories.probe(
      changed,
      credentials.fetch === 'none' ? undefined : credentials.fetch,
      signal,
    );
  }
  await storeCredentials(services, project.id, credentials, by);
  await storeRegistries(services, project, { changes: registries, by });
  const madeSecrets = await storeWebhookSecrets(services, project.id, change.settings, by);
  await set(services, changed, { isNew: false, by });
  return { project: changed, madeSecrets };
}

export async function removeProject(services: Services, project: ProjectId, by: string): Promise<void> {
  const answer = await services.coordinator.perform({ kind: 'RemoveProject', project, by });
  if (answer.kind === 'not-found' || answer.kind === 'refused') {
    throw new ApiError(answer.kind, answer.message);
  }
  await services.vault.removeProject(project);
  services.repositories.forget(project);
}

/** The secret that signs what is delivered to us. */
export async function hookSecret(
  services: Services,
  project: ProjectId,
  how: { readonly rotate: boolean; readonly by: string },
): Promise<string> {
  const slot = { project, space: 'hook', name: 'in' } as const;
  const known = how.rotate ? undefined : await services.vault.read(slot);
  if (known !== undefined) return known;
  const secret = newSecret();
  await services.vault.set(slot, secret, how.by);
  const action = 'project.hook-rotate';
  if (how.rotate) await audit(services, { by: how.by, action, project, subject: project });
  return secret;
}

/** Name, id, or an ending of the name that only one project has; empty: the only one. */
export async function resolveProject(
  services: Services,
  text: string,
  isVisible: (project: ProjectId) => boolean,
): Promise<Project> {
  const all = await services.coordinator.read(({ state }) =>
    [...state.projects.values()].map(({ project }) => project).filter(({ id }) => isVisible(id)),
  );
  const wanted = text.replace(/\/+$/, '').replace(/\.git$/, '');
  const exact = all.filter(({ id, name, url }) => id === text || name === wanted || url === text);
  const found =
    text === '' ? all : exact.length > 0 ? exact : all.filter(({ name }) => name.endsWith(`/${wanted}`));
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  if (only !== undefined) {
    const names = found.map(({ name }) => name).join(', ');
    throw new ApiError('invalid', `several projects are meant by ${JSON.stringify(text)}: ${names}`);
  }
  if (all.length === 0) {
    throw new ApiError('not-found', 'there is no project yet: add one with `gantry projects add URL`');
  }
  throw new ApiError('not-found', `there is no project ${JSON.stringify(text)}: see \`gantry projects ls\``);
}

/** What a credential is, never its value; empty: none. */
export async function shownCredential(
  services: Services,
  project: ProjectId,
  name: 'fetch' | 'push',
): Promise<string> {
  const stored = await services.vault.read({ project, space: 'credential', name });
  return stored === undefined ? '' : describeCredential(stored);
}

function changedSettings(before: ProjectSettings, change: SettingsChange): ProjectSettings {
  const { defaultBranch = before.defaultBranch ?? '', pollMs = before.pollMs } = change;
  if (defaultBranch !== '' && !isBranchName(defaultBranch)) {
    throw new ApiError(
      'invalid',
      `default branch ${JSON.stringify(defaultBranch)}: this is no branch’s name`,
    );
  }
  if (pollMs !== 0 && (pollMs < leastPollMs || pollMs > 86_400_000)) {
    throw new ApiError('invalid', `poll every ${pollMs} ms: expected 1 second to 1 day, or 0 for never`);
  }
  const mailDomains = (change.mailDomains ?? before.mailDomains).map((domain) => domain.toLowerCase());
  const wrongDomain = mailDomains.find((domain) => !domainPattern.test(domain));
  if (wrongDomain !== undefined) {
    throw new ApiError(
      'invalid',
      `mail domain ${JSON.stringify(wrongDomain)}: expected one like example.org`,
    );
  }
  const webhooks = (change.webhooks ?? before.webhooks).map(({ name, url }) => ({ name, url }));
  webhooks.forEach(checkWebhook);
  if (new Set(webhooks.map(({ name }) => name)).size < webhooks.length) {
    throw new ApiError('invalid', 'two webhooks have the same name');
  }
  return {
    pollMs,
    cancelSuperseded: change.cancelSuperseded ?? before.cancelSuperseded,
    mailDomains: [...new Set(mailDomains)],
    webhooks,
    ...(defaultBranch === '' ? {} : { defaultBranch }),
    ...changedGate(before.gate, change.gate),
  };
}

function checkWebhook({ name, url }: ProjectWebhook): void {
  if (!namePattern.test(name)) {
    throw new ApiError(
      'invalid',
      `webhook ${JSON.stringify(name)}: expected a name of letters, digits, . _ -`,
    );
  }
  const problem = webhookUrlProblem(url);
  if (problem !== undefined) throw new ApiError('invalid', `webhook ${name}: ${problem}`);
}

async function checkCredentials(
  repository: RepositoryUrl,
  { fetch, push }: CredentialsChange,
): Promise<void> {
  for (const credential of [fetch, push]) {
    if (credential === undefined || credential === 'none') continue;
    const wrong = await checkCredential(credential, repository);
    if (wrong !== undefined) throw new ApiError('invalid', wrong);
  }
}

async function storeCredentials(
  services: Services,
  project: ProjectId,
  credentials: CredentialsChange,
  by: string,
): Promise<void> {
  for (const name of ['fetch', 'push'] as const) {
    const credential = credentials[name];
    if (credential === undefined) continue;
    const slot = { project, space: 'credential', name } as const;
    if (credential === 'none') await services.vault.remove(slot);
    else await services.vault.set(slot, JSON.stringify(credential), by);
    const action = credential === 'none' ? 'credential.remove' : 'credential.set';
    await audit(services, { by, action, project, subject: name });
  }
}

/** One that has none gets one that is made here. */
async function storeWebhookSecrets(
  services: Services,
  project: ProjectId,
  { webhooks = [] }: SettingsChange,
  by: string,
): Promise<ReadonlyMap<string, string>> {
  const made = new Map<string, string>();
  for (const { name, secret } of webhooks) {
    const slot = { project, space: 'webhook', name } as const;
    if (secret === '' && (await services.vault.read(slot)) !== undefined) continue;
    if (secret === '') made.set(name, newSecret());
    await services.vault.set(slot, made.get(name) ?? secret, by);
  }
  return made;
}

async function set(
  services: Services,
  project: Project,
  how: { readonly isNew: boolean; readonly by: string },
): Promise<void> {
  const answer = await services.coordinator.perform({ kind: 'SetProject', project, ...how });
  if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
  if (answer.kind === 'not-found') throw new ApiError('not-found', answer.message);
  await services.poller.refresh();
}

export async function audit(
  services: Services,
  what: {
    readonly by: string;
    readonly action: string;
    readonly subject: string;
    readonly project?: ProjectId;
    readonly detail?: string;
  },
): Promise<void> {
  await services.coordinator.perform({ kind: 'Audit', ...what });
}

const newSecret = (): string => randomBytes(32).toString('base64url');
