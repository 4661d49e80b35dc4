/** The runs that test candidates: planned at the merged commit, submitted once, and their end told to whoever missed it. */
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import type { Failure } from '../../shared/model/failure.js';
import { sourceName } from '../../shared/model/gate.js';
import type { RunId } from '../../shared/model/ids.js';
import type { Plan, RunFacts } from '../../shared/model/pipeline.js';
import type { Project } from '../../shared/model/project.js';
import type { RunView, StageView } from '../../shared/model/run.js';
import { compilePipeline } from '../pipeline/compile.js';
import { planRun } from '../pipeline/plan-run.js';
import { renderDiagnostics } from '../pipeline/render.js';
import { conditionsOf } from '../pipeline/run-conditions.js';
import { NotLeading, type Coordinator } from '../coordinator.js';
import type { GateCommand, GateEffect, RunResult, StageResult } from '../gate/command.js';
import { isRunWanted } from '../gate/state.js';
import { gateSettingsOf, runResultOf } from '../scheduler/gates.js';
import type { ReadCommit } from '../source/project-repository.js';

type StartRun = Extract<GateEffect, { kind: 'StartRun' }>;

export interface GateRunsOptions {
  readonly coordinator: () => Pick<Coordinator, 'read'>;
  /** Rejects when it cannot be submitted now. */
  readonly submit: (
    plan: Plan,
    retryOf: RunId | undefined,
  ) => Promise<'accepted' | { readonly kind: 'refused'; readonly message: string }>;
  /** A run that has left the state; undefined: there is none. */
  readonly ended: (run: RunId) => Promise<RunView | undefined>;
  readonly newRunId: () => RunId;
  readonly signal: AbortSignal;
}

export interface CandidateCode {
  readonly project: Project;
  /** Undefined: the candidate is lost. */
  read(signal: AbortSignal): Promise<ReadCommit | undefined>;
  /** Paths that differ from the base. */
  changed(signal: AbortSignal): Promise<readonly string[] | undefined>;
}

const file = '.gantry.yml';

export class GateRuns {
  readonly #options: GateRunsOptions;

  constructor(options: GateRunsOptions) {
    this.#options = options;
  }

  /** Makes sure that the run exists. Undefined: nobody waits for it any more. */
  async start(effect: StartRun, code: CandidateCode): Promise<GateCommand | undefined> {
    const { run } = effect;
    try {
      return (await this.#known(run)) ?? (await this.#submit(effect, code));
    } catch (error) {
      if (error instanceof NotLeading) throw error;
      this.#options.signal.throwIfAborted();
      return this.#refused(run, failureOf(error));
    }
  }

  /** What there is to tell of a run that exists. */
  async #known(run: RunId): Promise<GateCommand | undefined> {
    const live = await this.#options.coordinator().read(({ state }) => {
      const found = state.runs.get(run);
      if (found === undefined) return undefined;
      return found.ended === undefined ? 'goes on' : runResultOf(found);
    });
    if (live === 'goes on') return { kind: 'RunStarted', run };
    if (live !== undefined) return this.#ended(run, live);
    const recorded = await this.#options.ended(run);
    return recorded === undefined ? undefined : this.#ended(run, resultOf(recorded));
  }

  async #submit(effect: StartRun, code: CandidateCode): Promise<GateCommand | undefined> {
    const { run, candidate, retryOf } = effect;
    const { coordinator, signal } = this.#options;
    const settings = await coordinator().read(({ state }) =>
      isRunWanted(state.gates, run) ? gateSettingsOf(state, effect.project) : undefined,
    );
    if (settings === undefined) return undefined;
    const commit = await code.read(signal);
    if (commit === undefined) throw new Error('the merged commit is not on this machine, nor in storage');
    if (commit.text === undefined || commit.text.trim() === '') {
      return this.#refused(run, {
        kind: 'invalid-pipeline',
        message: `it has no ${file}: write one with \`gantry init\``,
      });
    }
    const compiled = compilePipeline(commit.text, { file });
    if (!compiled.ok) {
      const message = renderDiagnostics(compiled.diagnostics, { file, color: false });
      return this.#refused(run, { kind: 'invalid-pipeline', message });
    }
    const facts = factsOf(effect, code.project, settings.seesSecrets);
    const changed = compiled.asksForChanges ? await code.changed(signal) : undefined;
    const plan: Plan = {
      v: 1,
      run,
      facts,
      source: { kind: 'bundle', commit: candidate.commit, ...candidate.bundle },
      stages: planRun(compiled, { ...conditionsOf(facts), ...(changed === undefined ? {} : { changed }) }),
      pipelineText: commit.text,
    };
    const outcome = await this.#options.submit(plan, retryOf);
    if (outcome === 'accepted') return { kind: 'RunStarted', run };
    // Its entry left meanwhile, or its pipeline is one that nobody can run.
    const isWanted = await coordinator().read(({ state }) => isRunWanted(state.gates, run));
    return isWanted ? this.#refused(run, { kind: 'invalid-pipeline', message: outcome.message }) : undefined;
  }

  #refused(run: RunId, failure: Failure): GateCommand {
    return { kind: 'RunRefused', run, failure, spare: this.#options.newRunId() };
  }

  #ended(run: RunId, result: RunResult): GateCommand {
    return { kind: 'RunEnded', run, result, spare: this.#options.newRunId() };
  }
}

/** What it runs has not landed: it is trusted like any other change, and gets secrets only if the project says so. */
function factsOf({ candidate, of, target }: StartRun, project: Project, maySeeSecrets: boolean): RunFacts {
  return {
    event: 'gate',
    trust: 'change',
    project: project.id,
    projectName: project.name,
    branch: sourceName(of.source),
    target,
    commit: candidate.commit,
    baseCommit: candidate.base,
    title: of.title.slice(0, 200),
    message: of.title,
    by: of.by,
    inputs: {},
    maySeeSecrets,
    ...(of.author === undefined ? {} : { author: of.author }),
  };
}

function resultOf({ status, stages }: RunView): RunResult {
  return {
    status: status === 'succeeded' || status === 'canceled' ? status : 'failed',
    stages: stages.map((stage): StageResult => ({
      name: stage.name,
      title: stage.title,
      status: endOf(stage),
      allowFailure: stage.allowFailure,
      ...(stage.failure === null ? {} : { failure: stage.failure }),
    })),
  };
}

function endOf({ status }: StageView): StageResult['status'] {
  switch (status) {
    case 'succeeded':
    case 'failed':
    case 'skipped':
      return status;
    // The run has ended, so none of these still is.
    case 'pending':
    case 'waiting':
    case 'running':
    case 'canceled':
      return 'canceled';
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof CheckoutError) return error.failure;
  return { kind: 'internal', message: error instanceof Error ? error.message : String(error) };
}
