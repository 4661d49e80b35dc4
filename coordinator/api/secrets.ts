/**
 * What an attempt may know that no assignment carries: the secrets that its stage names, and what its checkout needs.
 * Asked for by the agent that holds the attempt, at its start and again when a restarted agent adopts it. What is answered
 * is in no log, error or event.
 */
import { normalizeRepositoryUrl } from '../../shared/git/repository-url.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { AgentId, AttemptRef, Token } from '../../shared/model/ids.js';
import type { Plan, PlannedStage } from '../../shared/model/pipeline.js';
import { fetchCredential } from '../secrets/fetch-credential.js';
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
  const names = secretNames(stage);
  const checkout = await checkoutCredential(services, plan);
  // Most attempts need nothing, and may run on a network without TLS.
  if (names.length === 0 && checkout === undefined) return { values: new Map() };
  if (!ask.isPrivate) {
    throw new ApiError(
      'refused',
      'secrets and git credentials are given over TLS, or on the coordinator’s own machine, only: start the coordinator with --tls-cert and --tls-key, and the agent without --insecure',
    );
  }
  const values = await valuesOf(services, plan, names);
  if (!(values instanceof Map)) return { values: new Map(), refused: values };
  return { values, ...(checkout === undefined ? {} : { checkout }) };
}

/** Each once, in the order written. Steps that are skipped need none. */
function secretNames(stage: PlannedStage): readonly string[] {
  const steps = stage.steps.filter(({ skipped }) => skipped !== true);
  const uses = [...(stage.secrets ?? []), ...steps.flatMap(({ secrets }) => secrets ?? [])];
  return [...new Set(uses.map(({ secret }) => secret))];
}

async function valuesOf(
  services: Needs,
  { facts }: Plan,
  names: readonly string[],
): Promise<Map<string, string> | { readonly secret: string; readonly why: string }> {
  const [first] = names;
  if (first !== undefined && facts.maySeeSecrets !== true) return { secret: first, why: untrusted(facts) };
  const values = new Map<string, string>();
  for (const name of names) {
    const value = await services.vault.read({ project: facts.project, space: 'secret', name });
    if (value === undefined) {
      return {
        secret: name,
        why: `project ${facts.projectName} has no secret ${name}: an admin sets it with \`gantry secrets set ${facts.projectName} ${name}\`, then \`gantry retry\``,
      };
    }
    values.set(name, value);
  }
  return values;
}

function untrusted({ trust, by }: Plan['facts']): string {
  switch (trust) {
    case 'submit':
    case 'branch':
      return `a tree submitted by hand gets secrets only by its user’s right, and ${by} does not have it: push the change, or ask an admin`;
    case 'change':
    case 'fork':
      return 'a proposed change gets no secrets: anybody may have written it. Guard the stage with `if: event == "push"`';
  }
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
