/**
 * Submitting a run: read the pipeline, compile it, make the plan durable, then ask the leader. Answers only after the
 * run is durable. The caller makes the id, so asking twice is harmless: same id and content, same answer.
 */
import { bundleKey } from '../../shared/blob/layout.js';
import { parseSha256, type CommitId, type RunId, type Sha256 } from '../../shared/model/ids.js';
import type { Plan, PlannedStage, RunFacts, Source } from '../../shared/model/pipeline.js';
import { projectOf } from '../../shared/git/repository-url.js';
import { sha256Hex } from '../access/keys.js';
import { maxEntryBytes } from '../journal/journal.js';
import { compilePipeline } from '../pipeline/compile.js';
import { outlineOf } from '../pipeline/outline.js';
import { renderDiagnostics } from '../pipeline/render.js';
import { ApiError } from './api-error.js';
import { findRun, planOf } from './run-lookup.js';
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
  readonly by: string;
}

export interface Submitted {
  readonly run: RunId;
  readonly again: boolean;
  readonly warnings: readonly string[];
}

/** Above this the outline of a run does not fit one entry of the journal. */
const maxOutlineBytes = maxEntryBytes - 64 * 1024;

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
  const compiled = compilePipeline(found.text, { file: found.file });
  if (!compiled.ok) {
    throw new ApiError(
      'invalid',
      renderDiagnostics(compiled.diagnostics, { file: found.file, color: false }),
    );
  }
  const stages = withEnvironment(selectWithNeeds(compiled.stages, order.stages), order.env);
  const project = projectOf(found.projectName);
  const facts: RunFacts = {
    event: order.source.kind === 'bundle' ? 'submit' : 'manual',
    trust: order.source.kind === 'bundle' ? 'submit' : 'branch',
    project: project.id,
    projectName: project.name,
    commit: found.source.commit,
    title: found.title.slice(0, 200),
    by: order.by,
    inputs: order.inputs,
    ...(found.branch === undefined ? {} : { branch: found.branch }),
    ...(found.tag === undefined ? {} : { tag: found.tag }),
    ...(found.author === undefined ? {} : { author: found.author }),
    ...(found.baseCommit === undefined ? {} : { baseCommit: found.baseCommit }),
  };
  const plan: Plan = { v: 1, run, facts, source: found.source, stages, pipelineText: found.text };
  const { source } = order;
  const checkSource = (): Promise<void> =>
    source.kind === 'bundle' ? checkBundle(services, source, signal) : Promise.resolve();
  const again = await submitPlan(services, { plan, digest, checkSource });
  const warnings = renderDiagnostics(compiled.warnings, { file: found.file, color: false });
  return { run, again, warnings: warnings === '' ? [] : [warnings] };
}

/** The whole of an ended or live run again, as a new run. */
export function retryRun(services: Services, of: RunId, run: RunId, by: string): Promise<Submitted> {
  return services.submits.do(run, () => retryNow(services, of, run, by));
}

async function retryNow(services: Services, of: RunId, run: RunId, by: string): Promise<Submitted> {
  const digest = digestOf({ retryOf: of });
  const before = await answeredBefore(services, run, digest);
  if (before !== undefined) return before;
  const found = await findRun(services, of);
  if (found.view.finishedAt === null) {
    throw new ApiError('refused', `run ${of} has not ended: cancel it first, or wait for its end`);
  }
  const old = await planOf(services, found);
  const again = await submitPlan(services, {
    plan: { ...old, run, facts: { ...old.facts, by } },
    digest,
    // It was there for the first run.
    checkSource: () => Promise.resolve(),
    retryOf: of,
  });
  return { run, again, warnings: [] };
}

interface Submission {
  readonly plan: Plan;
  readonly digest: Sha256;
  /** Rejects when the code is not where the plan says. */
  readonly checkSource: () => Promise<void>;
  readonly retryOf?: RunId;
}

/** Whether the run was accepted before. */
async function submitPlan(services: Services, submission: Submission): Promise<boolean> {
  const { plan, digest, checkSource, retryOf } = submission;
  const outlines = plan.stages.map(outlineOf);
  const bytes = Buffer.byteLength(JSON.stringify(outlines));
  if (bytes > maxOutlineBytes) {
    throw new ApiError(
      'invalid',
      `the pipeline is too large: names, needs and labels of its ${outlines.length} stages take ${bytes} bytes, at most ${maxOutlineBytes} fit`,
    );
  }
  // Side by side: each is a round trip. The plan of a refused run is swept at the next start.
  await Promise.all([services.plans.put(plan), checkSource()]);
  const answer = await services.coordinator.perform({
    kind: 'Submit',
    run: plan.run,
    digest,
    facts: plan.facts,
    stages: outlines,
    ...(retryOf === undefined ? {} : { retryOf }),
  });
  if (answer.kind === 'refused') throw new ApiError('refused', answer.message);
  if (answer.kind !== 'accepted') throw new Error(`a submit was answered ${answer.kind}`);
  return answer.again;
}

/** A run that is known already: the same content gets the same answer, other content is refused. */
async function answeredBefore(
  services: Services,
  run: RunId,
  digest: Sha256,
): Promise<Submitted | undefined> {
  const known = await services.coordinator.read(
    ({ state }) => state.runs.get(run)?.digest ?? state.recorded.get(run)?.digest,
  );
  const before = known ?? (await services.history.index.get(run))?.digest;
  if (before === undefined) return undefined;
  if (before === digest) return { run, again: true, warnings: [] };
  throw new ApiError('refused', `run ${run} exists with other content: a new run needs a new id`);
}

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
  readonly tag: string | undefined;
  readonly baseCommit: CommitId | undefined;
}

/** Throws refused unless the bundle is in storage whole. */
async function checkBundle(services: Services, source: SubmitBundle, signal: AbortSignal): Promise<void> {
  const stored = await services.blobs.head(bundleKey(source.digest), { signal });
  if (stored?.bytes === source.bytes) return;
  throw new ApiError(
    'refused',
    `the bundle ${source.digest.slice(0, 12)} is not in storage: upload it again`,
  );
}

async function readSource(services: Services, order: SubmitOrder, signal: AbortSignal): Promise<FoundSource> {
  const { source } = order;
  if (source.kind === 'git') {
    const found = await services.readPipeline({ url: source.url, commitish: source.commitish, signal });
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
    tag: undefined,
    baseCommit: source.baseCommit,
  };
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

/** Digest of a request's content, whatever the order of its keys. */
function digestOf(content: unknown): Sha256 {
  const canonical = JSON.stringify(content, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  const digest = parseSha256(sha256Hex(canonical));
  if (digest === undefined) throw new Error('sha256Hex made something that is no SHA-256');
  return digest;
}
