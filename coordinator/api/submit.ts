/**
 * Submitting a run: read the pipeline, compile it, make the plan durable, then ask the leader. Answers only after the
 * run is durable. The caller makes the id, so asking twice is harmless: same id and content, same answer.
 */
import type { CommitId, ProjectId, RunId, Sha256 } from '../../shared/model/ids.js';
import type { GitCredential } from '../../shared/git/credential.js';
import type { Plan, PlannedStage, RunFacts, Source, Trust } from '../../shared/model/pipeline.js';
import { normalizeRepositoryUrl, projectOf } from '../../shared/git/repository-url.js';
import type { UserCaller } from '../access/caller.js';
import { includes } from '../access/rights.js';
import { mayRetrySeeSecrets, maySeeSecrets } from '../access/secrets-right.js';
import { planRun } from '../pipeline/plan-run.js';
import { conditionsOf } from '../pipeline/run-conditions.js';
import { renderDiagnostics } from '../pipeline/render.js';
import { fetchCredential } from '../secrets/fetch-credential.js';
import { ApiError } from './api-error.js';
import { findRun, planOf } from './run-lookup.js';
import { answeredBefore, digestOf, startRun, type Submitted } from './start-run.js';
import type { Services } from './services.js';

export interface SubmitBundle {
  readonly kind: 'bundle';
  readonly digest: Sha256;
  readonly bytes: number;
  readonly commit: CommitId;
  readonly shallow: readonly CommitId[];
  readonly baseCommit?: CommitId;
  readonly projectName: string;
  readonly title: string;
  readonly author?: string;
  readonly pipelineText: string;
  readonly pipelineFile: string;
}

export interface SubmitGit {
  readonly kind: 'git';
  readonly url: string;
  /** A commit id, branch or tag. */
  readonly commitish: string;
}

export interface SubmitOrder {
  readonly run: RunId;
  readonly source: SubmitBundle | SubmitGit;
  readonly branch?: string;
  readonly env: Readonly<Record<string, string>>;
  readonly inputs: Readonly<Record<string, string>>;
  /** Names of stages; empty: all. */
  readonly stages: readonly string[];
  readonly by: Submitter;
}

/** Whoever asks for a run, with what decides over its secrets. */
export type Submitter = Pick<UserCaller, 'name' | 'role' | 'right' | 'reach' | 'maySeeSecrets'>;

/**
 * The same id one after the other: a request that is sent again while the first one is under way (a branch may have
 * moved in between) must not put another plan under the run that the first one starts.
 */
export function submitRun(services: Services, order: SubmitOrder, signal: AbortSignal): Promise<Submitted> {
  return services.submits.do(order.run, () => submitNow(services, order, signal));
}

async function submitNow(services: Services, order: SubmitOrder, signal: AbortSignal): Promise<Submitted> {
  const { run, by: _by, ...content } = order;
  const digest = digestOf(content);
  const before = await answeredBefore(services, run, digest);
  if (before !== undefined) return before;

  const found = await readSource(services, order, signal);
  if (found.text === undefined || found.text.trim() === '') {
    throw new ApiError(
      'invalid',
      `${found.where} has no .gantry.yml: write one with \`gantry init\` and commit it`,
    );
  }
  const compiled = services.pipelines.compile(found.text, { file: found.file });
  if (!compiled.ok) {
    throw new ApiError(
      'invalid',
      renderDiagnostics(compiled.diagnostics, { file: found.file, color: false }),
    );
  }
  const project = projectOf(found.projectName);
  const isRegistered = await isOfProject(services, project.id, found.source);
  const trust = isRegistered ? trustOf(order, found) : 'submit';
  const facts: RunFacts = {
    event: order.source.kind === 'bundle' ? 'submit' : 'manual',
    trust,
    project: project.id,
    projectName: project.name,
    commit: found.source.commit,
    title: found.title.slice(0, 200),
    message: found.title,
    by: order.by.name,
    inputs: order.inputs,
    maySeeSecrets: maySeeSecrets({ trust, project: project.id }, order.by),
    ...(found.branch === undefined ? {} : { branch: found.branch }),
    ...(found.tag === undefined ? {} : { tag: found.tag }),
    ...(found.author === undefined ? {} : { author: found.author }),
    ...(found.baseCommit === undefined ? {} : { baseCommit: found.baseCommit }),
  };
  const planned = planRun(compiled, conditionsOf(facts));
  const stages = withEnvironment(selectWithNeeds(planned, order.stages), order.env);
  const plan: Plan = {
    v: 1,
    run,
    facts,
    source: found.source,
    stages,
    pipelineText: found.text,
    ...(compiled.notify === undefined ? {} : { notify: compiled.notify }),
  };
  const { source } = order;
  const checkSource = (): Promise<void> =>
    source.kind === 'bundle' ? checkBundle(services, source, signal) : Promise.resolve();
  const again = await startRun(services, { plan, digest, checkSource });
  const warnings = [renderDiagnostics(compiled.warnings, { file: found.file, color: false })];
  const secret = stages.flatMap(secretsOf)[0];
  if (secret !== undefined && facts.maySeeSecrets !== true) {
    warnings.push(
      `secret ${secret} stays closed to this run: it is a tree or setting of your own, and ${order.by.name} may not use secrets`,
    );
  }
  return { run, again, warnings: warnings.filter((warning) => warning !== '') };
}

/**
 * A commit that the remote has on a branch or tag was let there by whoever may. What the submitter adds to it (another
 * branch's name, variables, which a step may take for a program) is theirs, and so is a commit that is on no tip.
 */
function trustOf(order: SubmitOrder, found: FoundSource): Trust {
  const { source, env, branch } = order;
  if (source.kind === 'bundle' || Object.keys(env).length > 0) return 'submit';
  if (branch !== undefined && branch !== found.remoteBranch) return 'submit';
  return found.remoteBranch === undefined && found.tag === undefined ? 'submit' : 'branch';
}

/**
 * Whether the code is from the very repository that the project was added with. Names are not enough: `/srv/git/app` and
 * `/srv/git/app.git`, or the scp form with another user, are one name and may be two repositories.
 */
async function isOfProject(services: Services, project: ProjectId, source: Source): Promise<boolean> {
  if (source.kind !== 'git') return false;
  const url = await services.coordinator.read(({ state }) => state.projects.get(project)?.project.url);
  return url !== undefined && normalizeRepositoryUrl(url).url === normalizeRepositoryUrl(source.url).url;
}

const secretsOf = (stage: PlannedStage): readonly string[] =>
  [...(stage.secrets ?? []), ...stage.steps.flatMap((step) => step.secrets ?? [])].map(
    ({ secret }) => secret,
  );

const longestReason = 1_000;

export interface RetryOrder {
  readonly of: RunId;
  /** The new one. */
  readonly run: RunId;
  readonly by: Submitter;
  /** Secrets are opened to it although the run had none. */
  readonly withSecrets: boolean;
  /** Why what it deploys needs no environment that has verified it before; absent, or empty: it does. */
  readonly force?: string;
}

/** The whole of an ended run again, as a new run. */
export function retryRun(services: Services, order: RetryOrder): Promise<Submitted> {
  return services.submits.do(order.run, () => retryNow(services, order));
}

async function retryNow(services: Services, order: RetryOrder): Promise<Submitted> {
  const { of, run, by, withSecrets } = order;
  const force = forceOf(order);
  const digest = digestOf({ retryOf: of, ...(withSecrets ? { withSecrets } : {}), ...force });
  const before = await answeredBefore(services, run, digest);
  if (before !== undefined) return before;
  const found = await findRun(services, of);
  if (found.view.finishedAt === null) {
    throw new ApiError('refused', `run ${of} has not ended: cancel it first, or wait for its end`);
  }
  const old = await planOf(services, found);
  // Who vouched for the run before does not for this one; and it is nobody's verify.
  const { byAuthor: _byAuthor, force: _force, verifies: _verifies, ...facts } = old.facts;
  // The project may have been added, or removed and added anew, since.
  const isTrusted =
    old.facts.trust !== 'branch' || (await isOfProject(services, old.facts.project, old.source));
  const trust = isTrusted ? old.facts.trust : 'submit';
  const may = maySeeSecrets({ trust, project: old.facts.project }, by);
  if (withSecrets && !may) {
    throw new ApiError('refused', `--with-secrets: ${by.name} may not give secrets to run ${of}`);
  }
  const had = isTrusted && old.facts.maySeeSecrets === true;
  const sees = mayRetrySeeSecrets({ had, isOpened: withSecrets, may });
  const again = await startRun(services, {
    plan: {
      ...old,
      run,
      facts: {
        ...facts,
        trust,
        by: by.name,
        maySeeSecrets: sees,
        ...force,
      },
    },
    digest,
    // The source was there for the first run.
    retryOf: of,
  });
  const secret = old.stages.flatMap(secretsOf)[0];
  return {
    run,
    again,
    warnings: secret === undefined || sees ? [] : [closedToRetry(secret, old.facts, may)],
  };
}

/** Throws forbidden: who vouches for what nobody has verified must be allowed to deploy. */
function forceOf({ by, force }: RetryOrder): Pick<RunFacts, 'force'> {
  const reason = force?.trim() ?? '';
  if (reason === '') return {};
  if (!includes(by.right, 'admin')) throw new ApiError('forbidden', '--force: only an admin may');
  if (reason.length > longestReason) {
    throw new ApiError('invalid', `--force: the reason has at most ${longestReason} characters`);
  }
  return { force: { by: by.name, reason } };
}

const closedToRetry = (secret: string, { by }: RunFacts, may: boolean): string =>
  may
    ? `secret ${secret} stays closed to this run, as to the one before: read what ${by} has it do with it, and give it with \`gantry retry --with-secrets\``
    : `secret ${secret} stays closed to this run: you may not use secrets`;

interface FoundSource {
  readonly source: Source;
  readonly projectName: string;
  readonly text: string | undefined;
  /** For messages. */
  readonly where: string;
  readonly file: string;
  readonly title: string;
  readonly author: string | undefined;
  readonly branch: string | undefined;
  /** Where the remote has the commit. */
  readonly remoteBranch: string | undefined;
  readonly tag: string | undefined;
  readonly baseCommit: CommitId | undefined;
}

/** Throws refused unless the bundle is in storage whole. */
async function checkBundle(services: Services, source: SubmitBundle, signal: AbortSignal): Promise<void> {
  if (await services.bundles.has(source, signal)) return;
  throw new ApiError(
    'refused',
    `the bundle ${source.digest.slice(0, 12)} is not in storage: upload it again`,
  );
}

async function readSource(services: Services, order: SubmitOrder, signal: AbortSignal): Promise<FoundSource> {
  const { source } = order;
  if (source.kind === 'git') {
    const found = await services.readPipeline({
      url: source.url,
      commitish: source.commitish,
      signal,
      ...(await credentialFor(services, source.url)),
    });
    return {
      source: {
        kind: 'git',
        url: found.url,
        commit: found.commit,
        ...(found.ref === undefined ? {} : { ref: found.ref }),
      },
      projectName: found.projectName,
      text: found.text,
      where: `commit ${found.commit.slice(0, 12)} of ${found.url}`,
      file: '.gantry.yml',
      title: found.title,
      author: found.author,
      branch: order.branch ?? found.branch,
      remoteBranch: found.branch,
      tag: found.tag,
      baseCommit: undefined,
    };
  }
  return {
    source: {
      kind: 'bundle',
      digest: source.digest,
      bytes: source.bytes,
      commit: source.commit,
      shallow: source.shallow,
    },
    projectName: source.projectName,
    text: source.pipelineText,
    where: 'the submitted tree',
    file: source.pipelineFile,
    title: source.title,
    author: source.author,
    branch: order.branch,
    remoteBranch: undefined,
    tag: undefined,
    baseCommit: source.baseCommit,
  };
}

/** Of a registered project. */
async function credentialFor(
  services: Services,
  url: string,
): Promise<{ readonly credential?: GitCredential }> {
  const { id } = projectOf(normalizeRepositoryUrl(url).name);
  const isKnown = await services.coordinator.read(({ state }) => state.projects.has(id));
  const credential = isKnown ? await fetchCredential(services.vault, id) : undefined;
  return credential === undefined ? {} : { credential };
}

/** The named stages and, transitively, what they need; numbers stay as the whole plan has them. */
function selectWithNeeds(stages: readonly PlannedStage[], names: readonly string[]): readonly PlannedStage[] {
  if (names.length === 0) return stages;
  const chosen = new Set<number>();
  const choose = (stage: PlannedStage): void => {
    if (chosen.has(stage.number)) return;
    chosen.add(stage.number);
    for (const need of stage.needs) {
      const needed = stages.find((other) => other.number === need);
      if (needed !== undefined) choose(needed);
    }
  };
  for (const name of names) {
    const named = stages.filter((stage) => stage.name === name);
    if (named.length === 0) {
      const all = [...new Set(stages.map((stage) => stage.name))].join(', ');
      throw new ApiError('invalid', `--stage ${name}: the pipeline has no such stage; it has ${all}`);
    }
    named.forEach(choose);
  }
  return stages.filter((stage) => chosen.has(stage.number));
}

/** `submit --env` is last in order: above the step's own. */
function withEnvironment(
  stages: readonly PlannedStage[],
  env: Readonly<Record<string, string>>,
): readonly PlannedStage[] {
  const names = Object.keys(env);
  if (names.length === 0) return stages;
  for (const name of names) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || name.startsWith('GANTRY_')) {
      throw new ApiError(
        'invalid',
        `--env ${name}: expected NAME=VALUE; names beginning with GANTRY_ are taken`,
      );
    }
  }
  return stages.map((stage) => ({
    ...stage,
    steps: stage.steps.map((step) => ({ ...step, env: { ...step.env, ...env } })),
  }));
}
