/**
 * What an attempt may know that no assignment carries: the secrets that its stage names, and what its checkout needs.
 * Asked for by the agent that holds the attempt, at its start and again when a restarted agent adopts it. What is answered
 * is in no log, error or event.
 */
import { normalizeRepositoryUrl } from '../../shared/git/repository-url.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { AgentId, AttemptRef, Token } from '../../shared/model/ids.js';
import type { Plan, PlannedStage, RunFacts } from '../../shared/model/pipeline.js';
import { noRegistryAccess, type RegistryAccess } from '../../shared/model/registry.js';
import { getsEnvironmentSecrets } from '../delivery/stage-order.js';
import { findEnvironment, findOpen, findPlace, type Deliveries } from '../delivery/state.js';
import type { State } from '../scheduler/state.js';
import { registryCredentials } from '../secrets/registry-credentials.js';
import { fetchCredential } from '../secrets/fetch-credential.js';
import { deploymentSecrets } from '../secrets/scoped-secrets.js';
import { ApiError } from './api-error.js';
import { checkLease } from './leases.js';
import type { Services } from './services.js';

export interface SecretsAsk {
  readonly agent: AgentId;
  readonly ref: AttemptRef;
  readonly token: Token;
  /** Whether nobody on the way can read the answer: TLS, or a caller on this machine. */
  readonly isPrivate: boolean;
}

export interface AttemptSecrets {
  /** By the secret's name. */
  readonly values: ReadonlyMap<string, string>;
  /** Of the project's own repository, for fetching; never one for pushing. */
  readonly checkout?: GitCredential;
  /** Of the project's registries: for the agent's Docker daemon, never for steps. */
  readonly registries: RegistryAccess;
  /** The attempt cannot run: a secret that it names and does not get, with what to do. */
  readonly refused?: { readonly secret: string; readonly why: string };
}

type Needs = Pick<Services, 'coordinator' | 'plans' | 'vault'>;

/** Throws ApiError: forbidden without the lease of a live attempt; refused over a channel that others can read. */
export async function secretsFor(services: Needs, ask: SecretsAsk): Promise<AttemptSecrets> {
  // Also of one that has ended: a restarted agent masks the log that it has still to archive.
  await checkLease(services, ask.agent, ask.ref, ask.token);
  const plan = await services.plans.get(ask.ref.run);
  const stage = plan?.stages.find(({ number }) => number === ask.ref.stage);
  if (plan === undefined || stage === undefined) {
    throw new ApiError('not-found', `there is no plan of stage ${ask.ref.run}/${ask.ref.stage}`);
  }
  const checkout = await checkoutCredential(services, plan);
  const registries = await registriesOf(services, plan.facts, ask);
  // Most attempts need nothing, and may run on a network without TLS.
  if (secretNames(stage).length === 0 && checkout === undefined) return { values: new Map(), registries };
  if (!ask.isPrivate) {
    throw new ApiError(
      'refused',
      'secrets and git credentials are given over TLS, or on the coordinator’s own machine, only: start the coordinator with --tls-cert and --tls-key, and the agent without --insecure',
    );
  }
  const values = await valuesOf(services, { facts: plan.facts, stage, ask });
  if ('secret' in values) return { values: new Map(), registries, refused: values };
  return { values, registries, ...(checkout === undefined ? {} : { checkout }) };
}

/** Each once, in the order written. Steps that are skipped need none. */
function secretNames(stage: PlannedStage): readonly string[] {
  const steps = stage.steps.filter(({ skipped }) => skipped !== true);
  const uses = [...(stage.secrets ?? []), ...steps.flatMap(({ secrets }) => secrets ?? [])];
  return [...new Set(uses.map(({ secret }) => secret))];
}

type Refusal = NonNullable<AttemptSecrets['refused']>;

async function valuesOf(
  services: Needs,
  { facts, stage, ask }: { readonly facts: RunFacts; readonly stage: PlannedStage; readonly ask: SecretsAsk },
): Promise<ReadonlyMap<string, string> | Refusal> {
  const names = secretNames(stage);
  const [first] = names;
  if (first === undefined) return new Map();
  if (facts.maySeeSecrets !== true) return { secret: first, why: untrusted(facts) };
  const { project, projectName } = facts;
  const environment = stage.environment ?? facts.verifies?.environment;
  if (environment !== undefined) {
    const closed = await services.coordinator.read(({ state }) => whyClosed(state, ask, stage.environment));
    if (closed !== undefined) return { secret: first, why: closed };
  }
  const values = await deploymentSecrets(services.vault, project, environment, names);
  const missing = names.find((name) => !values.has(name));
  return missing === undefined ? values : { secret: missing, why: noSuch(missing, projectName, environment) };
}

/**
 * A lease alone is not enough: a deployment has the environment for itself, or it is the verify that such a deployment waits
 * for. The latter names the secrets that its deployment did, and runs what that pipeline says.
 */
function whyClosed(
  { deliveries, runs }: State,
  { ref: { run, stage }, token }: SecretsAsk,
  environment: string | undefined,
): string | undefined {
  if (environment !== undefined) {
    const place = findPlace(deliveries, { run, stage });
    const isThere = place?.environment.environment === environment;
    if (isThere && getsEnvironmentSecrets(deliveries, { run, stage, token })) return undefined;
    return `the stage deploys to ${environment}, and gets secrets only while its deployment has ${environment} for itself: \`gantry environments show ${environment}\``;
  }
  const facts = runs.get(run)?.facts;
  const isAwaited = facts !== undefined && isVerifyAwaited(deliveries, facts);
  return isAwaited ? undefined : 'no deployment waits for this verify any more, and so it gets no secrets';
}

function isVerifyAwaited(deliveries: Deliveries, { project, verifies }: RunFacts): boolean {
  if (verifies === undefined) return false;
  const found = findEnvironment(deliveries, { project, environment: verifies.environment });
  const deployment = found === undefined ? undefined : findOpen(found, verifies.deployment);
  const kind = deployment?.phase.kind;
  return (
    deployment?.run === verifies.run &&
    (kind === 'verifying' || kind === 'unknown') &&
    deployment.verification === verifies.verification
  );
}

function noSuch(name: string, project: string, environment: string | undefined): string {
  const what =
    environment === undefined
      ? `project ${project} has no secret ${name}`
      : `neither environment ${environment} nor project ${project} has a secret ${name}`;
  const flag = environment === undefined ? '' : ` --environment ${environment}`;
  return `${what}: an admin sets it with \`gantry secrets set ${project} ${name}${flag}\`, then \`gantry retry\``;
}

function untrusted({ trust, by }: RunFacts): string {
  switch (trust) {
    case 'submit':
    case 'branch':
      return `a tree submitted by hand gets secrets only by its user’s right, and ${by} does not have it, or did not give it: push the change, or ask an admin for \`gantry retry --with-secrets\``;
    case 'change':
    case 'fork':
      return 'a proposed change gets no secrets: anybody may have written it. Guard the stage with `if: event == "push"`';
  }
}

/** Kept back without failing the attempt: most images need none, and where one does, the reason is told. */
async function registriesOf(
  { vault }: Needs,
  facts: RunFacts,
  { isPrivate }: SecretsAsk,
): Promise<RegistryAccess> {
  const { project, maySeeSecrets } = facts;
  const isGiven = maySeeSecrets === true && isPrivate;
  if (isGiven) return { credentials: await registryCredentials(vault, project) };
  const hosts = (await vault.list(project, 'registry')).map(({ slot }) => slot.name);
  if (hosts.length === 0) return noRegistryAccess;
  const why = maySeeSecrets === true ? 'they are given over TLS only' : untrusted(facts);
  const withheld = `the project’s credentials for ${hosts.join(', ')} are kept from this run: ${why}`;
  return { credentials: [], withheld };
}

/** Only for the registered project's own repository, under the URL that it is registered with. */
async function checkoutCredential(services: Needs, plan: Plan): Promise<GitCredential | undefined> {
  const { source, facts } = plan;
  if (source.kind !== 'git') return undefined;
  const registered = await services.coordinator.read(
    ({ state }) => state.projects.get(facts.project)?.project.url,
  );
  if (registered === undefined || !isSame(registered, source.url)) return undefined;
  return fetchCredential(services.vault, facts.project);
}

const isSame = (a: string, b: string): boolean =>
  normalizeRepositoryUrl(a).url === normalizeRepositoryUrl(b).url;
