/** Finds out what a stage would deploy, and asks for its deployment. */
import { backoffMs } from '../../shared/async/backoff.js';
import { sleep } from '../../shared/async/sleep.js';
import { BlobError } from '../../shared/blob/blob-error.js';
import type { Manifest } from '../../shared/model/artifact.js';
import type { AttemptRef, ProjectId, Sha256 } from '../../shared/model/ids.js';
import { stageTitle, type PlannedStage, type RunFacts } from '../../shared/model/pipeline.js';
import type { Logger } from '../../shared/log.js';
import { NotLeading, type Coordinator } from '../coordinator.js';
import type { DeliveryCommand, StageRef } from '../delivery/command.js';
import { findEnvironment } from '../delivery/state.js';
import { latestResult } from '../history/record.js';
import { orderFor } from '../scheduler/deliveries.js';
import { findStage, type State } from '../scheduler/state.js';
import { builtBy } from './images.js';
import { recordOf, secretNames, type Needed } from './record.js';
import type { KnownRun, KnownRuns } from './runs.js';

export interface DescribingOptions {
  readonly coordinator: () => Pick<Coordinator, 'perform' | 'read'>;
  readonly runs: KnownRuns;
  /** Rejects with `BlobError`. */
  readonly manifest: (ref: AttemptRef, sha256: Sha256, signal: AbortSignal) => Promise<Manifest>;
  readonly secrets: SecretValues;
  /** See `recordKey`. */
  readonly key: Uint8Array;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Values of those secrets that there are: of the environment, else of the project. */
export type SecretValues = (
  project: ProjectId,
  environment: string,
  names: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

const backoff = { firstMs: 500, maxMs: 30_000 };

/** It cannot be described, today or later. */
class Impossible extends Error {}

export class Describing {
  readonly #options: DescribingOptions;

  constructor(options: DescribingOptions) {
    this.#options = options;
  }

  /** Resolves when the deployment was asked for, cannot be, or nobody waits for it. Rejects with NotLeading and the signal's reason. */
  async describe(at: StageRef): Promise<void> {
    const { coordinator, log, signal } = this.#options;
    for (let failures = 0; ; failures += 1) {
      const isAwaited = await coordinator().read(({ state }) => isDescriptionAwaited(state, at));
      if (!isAwaited) return;
      try {
        await this.#request(at);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof NotLeading) throw error;
        if (error instanceof Impossible) {
          const { message } = error;
          await coordinator().perform({ kind: 'DeploymentImpossible', ...at, message });
          return;
        }
        log.warn({ ...at, err: error }, 'what a stage deploys cannot be found out now: trying again');
        await sleep(backoffMs(backoff, failures, Math.random()), signal);
      }
    }
  }

  async #request(at: StageRef): Promise<void> {
    const command = await this.#commandFor(at);
    const answer = await this.#options.coordinator().perform({ kind: 'Delivery', command });
    const said = answer.kind === 'delivery' ? answer.answer : answer;
    if (said.kind === 'refused' || said.kind === 'not-found') throw new Impossible(said.message);
  }

  async #commandFor(at: StageRef): Promise<Extract<DeliveryCommand, { kind: 'RequestDeployment' }>> {
    const { runs, secrets, key } = this.#options;
    const run = await runs.find(at.run);
    const stage = run?.plan.stages.find(({ number }) => number === at.stage);
    const environment = stage?.environment;
    if (run === undefined || stage === undefined || environment === undefined) {
      throw new Error('the plan of the run is not in the plan store');
    }
    const { facts } = run.plan;
    await this.#demandNothingNew(facts.project, environment, stage);
    const { event, trust, branch, title, by, force, project } = facts;
    const values = await secrets(project, environment, seenSecrets(facts, stage));
    const needed = await this.#needed(run, stage);
    return {
      kind: 'RequestDeployment',
      project,
      environment,
      ...at,
      source: { event, trust, ...(branch === undefined ? {} : { branch }) },
      record: recordOf({ facts, stage, needed, secrets: values, key }),
      title,
      by,
      ...(force === undefined ? {} : { force }),
    };
  }

  /** An image that the stage builds itself is one that nobody has verified. */
  async #demandNothingNew(project: ProjectId, environment: string, stage: PlannedStage): Promise<void> {
    if (stage.steps.every(({ build, skipped }) => build === undefined || skipped === true)) return;
    const from = await this.#options
      .coordinator()
      .read(
        ({ state }) => findEnvironment(state.deliveries, { project, environment })?.settings.promotesFrom,
      );
    if (from === undefined) return;
    throw new Impossible(
      `${environment} takes what ${from} has verified, and this stage builds an image of its own: build it in a stage that ${from} needs too`,
    );
  }

  async #needed(run: KnownRun, { needs, inputs }: PlannedStage): Promise<readonly Needed[]> {
    const needed: Needed[] = [];
    for (const number of needs) {
      const stage = run.plan.stages.find((other) => other.number === number);
      const result = latestResult(run.results, number);
      // A skipped one leaves nothing.
      if (stage === undefined || result === undefined) continue;
      const from = result.from ?? { run: run.plan.run, stage: number, attempt: result.attempt };
      needed.push(
        await this.#left({ stage: number, title: stageTitle(stage), from, manifest: result.manifest }, run),
      );
    }
    for (const input of inputs ?? []) needed.push(await this.#left(input, run));
    return needed;
  }

  async #left(
    {
      stage,
      title,
      from,
      manifest,
    }: {
      readonly stage: number;
      readonly title: string;
      readonly from: AttemptRef;
      readonly manifest: { readonly sha256: Sha256 } | undefined;
    },
    here: KnownRun,
  ): Promise<Needed> {
    const run = from.run === here.plan.run ? here : await this.#options.runs.find(from.run);
    if (run === undefined)
      throw new Impossible(`run ${from.run}, which made what ${title} gives, is not to be had any more`);
    const artifacts =
      manifest === undefined ? [] : (await this.#manifest(from, { title, ...manifest })).artifacts;
    return { stage, title, run: from.run, artifacts, built: builtBy(run.events, from) };
  }

  async #manifest(
    from: AttemptRef,
    { title, sha256 }: { readonly title: string; readonly sha256: Sha256 },
  ): Promise<Manifest> {
    try {
      return await this.#options.manifest(from, sha256, this.#options.signal);
    } catch (error) {
      const kind = error instanceof BlobError ? error.failure.kind : undefined;
      if (kind !== 'blob-not-found' && kind !== 'verification-failed') throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new Impossible(`the artifacts of ${title} (run ${from.run}) are lost: ${why}`);
    }
  }
}

/** Names whose values the stage would get. */
export const seenSecrets = (
  { maySeeSecrets }: Pick<RunFacts, 'maySeeSecrets'>,
  stage: PlannedStage,
): readonly string[] => (maySeeSecrets === true ? secretNames(stage) : []);

function isDescriptionAwaited(state: State, at: StageRef): boolean {
  const stage = findStage(state, at.run, at.stage);
  return stage?.phase.kind === 'waiting' && orderFor(state, stage).kind === 'request';
}
