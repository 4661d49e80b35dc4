/**
 * Performs what delivery's core decided (`../delivery`), after it is durable: looks at commits, describes deployments, makes
 * the runs of rollbacks and verifies, tells people. Every effect may be performed twice and is answered with a command, also
 * when it fails; what is not answered is asked for again. Nothing here decides what is deployed.
 */
import { isUntouched } from '../../shared/model/deployment.js';
import type { EnvironmentRef } from '../../shared/model/environment.js';
import type { CommitId, ProjectId } from '../../shared/model/ids.js';
import type { Plan } from '../../shared/model/pipeline.js';
import type { Project } from '../../shared/model/project.js';
import type { Logger } from '../../shared/log.js';
import { NotLeading, type Coordinator } from '../coordinator.js';
import type { DeliveryCommand, DeliveryEffect } from '../delivery/command.js';
import { stageOrder } from '../delivery/stage-order.js';
import { findEnvironment, findOpen, refOf, type Chore, type Environment } from '../delivery/state.js';
import { verifyAnswerOf } from '../delivery/verify-answer.js';
import type { DeliveryNews } from '../feedback/delivery-teller.js';
import type { Effect } from '../scheduler/command.js';
import type { State } from '../scheduler/state.js';
import type { ProjectRepository } from '../source/project-repository.js';
import { seenSecrets, type Describing, type SecretValues } from './describe.js';
import { valuesOf } from './record.js';
import { rollbackPlan, type Planned, type StartRollback } from './rollback-plan.js';
import type { KnownRuns } from './runs.js';
import { verifyPlan, verifyRunId, type Verify } from './verify-plan.js';

export interface DeployingOptions {
  readonly coordinator: () => Pick<Coordinator, 'perform' | 'read'>;
  readonly describing: Pick<Describing, 'describe'>;
  readonly runs: KnownRuns;
  readonly repository: (project: Project) => Pick<ProjectRepository, 'order'>;
  readonly secrets: SecretValues;
  /** See `recordKey`. */
  readonly key: Uint8Array;
  /** `content`: the same of the same run is the same request. Rejects when it cannot be submitted now. */
  readonly submit: (plan: Plan, content: unknown) => Promise<Submitted>;
  /** Resolves once everybody has heard or never will; rejects when it is to be tried again. */
  readonly tell: (news: DeliveryNews, signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

type Submitted = 'accepted' | { readonly kind: 'refused'; readonly message: string };
type Performed = Extract<Effect, { kind: 'Delivery' | 'DescribeDeployment' }>;
type Of<Kind extends DeliveryEffect['kind']> = Extract<DeliveryEffect, { kind: Kind }>;

export class Deploying {
  readonly #options: DeployingOptions;
  readonly #working = new Set<string>();

  constructor(options: DeployingOptions) {
    this.#options = options;
  }

  /** Returns at once. One that is under way already is not begun again. */
  perform(effect: Performed): void {
    const key = JSON.stringify(effect);
    if (this.#working.has(key) || this.#options.signal.aborted) return;
    this.#working.add(key);
    const work = effect.kind === 'Delivery' ? this.#do(effect.effect) : this.#describe(effect);
    void work
      .catch((error: unknown) => {
        // Not leading any more: whoever does is asked again.
        if (error instanceof NotLeading || this.#options.signal.aborted) return;
        const what = effect.kind === 'Delivery' ? effect.effect.kind : effect.kind;
        this.#options.log.error({ err: error, effect: what }, 'delivery could not do what it decided');
      })
      .finally(() => this.#working.delete(key));
  }

  /** Secrets were changed: what waits to be deployed with them is told, and approvals of what it was are void. */
  async amend(project: ProjectId, environment?: string): Promise<void> {
    const waiting = await this.#options
      .coordinator()
      .read(({ state }) =>
        [...state.deliveries.all.values()]
          .filter((one) => one.project === project && (environment ?? one.environment) === one.environment)
          .flatMap((one) =>
            one.open
              .filter(({ phase }) => !('begun' in phase))
              .map(({ deployment, run, stage }) => ({ ...refOf(one), deployment, run, stage })),
          ),
      );
    for (const { run, stage, ...of } of waiting) {
      const plan = (await this.#options.runs.find(run))?.plan;
      if (plan !== undefined) await this.#amend(plan, { ...of, stage });
    }
  }

  #describe({ run, stage }: Extract<Performed, { kind: 'DescribeDeployment' }>): Promise<void> {
    return this.#options.describing.describe({ run, stage });
  }

  #do(effect: DeliveryEffect): Promise<void> {
    switch (effect.kind) {
      case 'CompareCommits':
        return this.#compare(effect);
      case 'StartRollback':
        return this.#startRollback(effect);
      case 'Verify':
        return this.#verify(effect);
      case 'Tell':
        return this.#tell(effect);
    }
  }

  async #compare({ kind: _, ...pair }: Of<'CompareCommits'>): Promise<void> {
    const { repository, signal } = this.#options;
    const project = await this.#project(pair.project);
    // Its environments are gone with it, and wait for no answer.
    if (project === undefined) return;
    const answer = await this.#orElse(
      async () => ({
        kind: 'compared' as const,
        order: await repository(project).order(pair.one, pair.other, signal),
      }),
      (message) => ({ kind: 'unavailable' as const, message }),
    );
    await this.#answer({ kind: 'CommitsCompared', ...pair, answer });
  }

  async #startRollback(effect: StartRollback): Promise<void> {
    const isWanted = await this.#options
      .coordinator()
      .read(
        ({ state }) => stageOrder(state.deliveries, effect).kind === 'start' && !state.runs.has(effect.run),
      );
    if (!isWanted) return;
    const refused = await this.#orElse(
      () => this.#submitRollback(effect),
      (message) => ({ message, isOurs: true }),
    );
    if (refused === undefined) return;
    const { project, environment, deployment } = effect;
    await this.#answer({ kind: 'RollbackRefused', project, environment, deployment, ...refused });
  }

  /** Undefined: the run is there. */
  async #submitRollback(
    effect: StartRollback,
  ): Promise<{ readonly message: string; readonly isOurs: boolean } | undefined> {
    const { runs, submit } = this.#options;
    const old = await runs.find(effect.ofRun);
    const planned: Planned =
      old === undefined
        ? {
            kind: 'impossible',
            message: `run ${effect.ofRun}, which it makes again, is not to be had any more`,
          }
        : rollbackPlan(effect, old);
    if (planned.kind === 'impossible') return { message: planned.message, isOurs: false };
    // Before its attempt may begin: from then on the record says what it was given.
    await this.#amend(planned.plan, effect);
    const { project, environment, deployment, ofRun, ofStage } = effect;
    const outcome = await submit(planned.plan, {
      rollback: { project, environment, deployment, ofRun, ofStage },
    });
    return outcome === 'accepted' ? undefined : { message: outcome.message, isOurs: false };
  }

  async #verify(effect: Verify): Promise<void> {
    const { project, environment, deployment, verification } = effect;
    const answer = await this.#orElse(
      () => this.#verifyAnswer(effect),
      (message) => ({ kind: 'unavailable' as const, message }),
    );
    if (answer !== undefined)
      await this.#answer({ kind: 'VerifyAnswered', project, environment, deployment, verification, answer });
  }

  /** Undefined: its run goes on, and the scheduler answers when that ends; or nobody waits for it. */
  async #verifyAnswer(effect: Verify) {
    const { coordinator, runs, submit } = this.#options;
    const known = await runs.find(verifyRunId(effect));
    if (known !== undefined) {
      return known.end === undefined ? undefined : verifyAnswerOf(known.end.status, known.end.failures);
    }
    const wanted = await coordinator().read(({ state }) => verifyWanted(state, effect));
    if (wanted === undefined) return undefined;
    const deployed = await runs.find(effect.run);
    const planned: Planned =
      deployed === undefined
        ? { kind: 'impossible', message: `run ${effect.run}, which it verifies, is not to be had any more` }
        : verifyPlan(effect, deployed, wanted.url);
    if (planned.kind === 'impossible') return { kind: 'unavailable' as const, message: planned.message };
    const { project, environment, deployment, verification, failures } = effect;
    const outcome = await submit(planned.plan, {
      verify: { project, environment, deployment, verification, failures },
    });
    return outcome === 'accepted'
      ? undefined
      : { kind: 'unavailable' as const, message: `its verify cannot be run: ${outcome.message}` };
  }

  async #tell({ kind: _, what, ...effect }: Of<'Tell'>): Promise<void> {
    const { coordinator, tell, signal } = this.#options;
    const news = await coordinator().read(({ state }): DeliveryNews | undefined => {
      const project = state.projects.get(effect.project)?.project;
      const environment = findEnvironment(state.deliveries, effect);
      if (project === undefined || environment?.chores.has(effect.chore) !== true) return undefined;
      return {
        project,
        environment: effect.environment,
        chore: effect.chore,
        what,
        settings: environment.settings,
        since: sinceOf(environment, what),
      };
    });
    if (news === undefined) return;
    await tell(news, signal);
    await this.#answer({ kind: 'DeliveryChoreDone', ...effect });
  }

  /** Its variables and secrets as they are now. */
  async #amend(
    { stages, facts }: Plan,
    {
      project,
      environment,
      deployment,
      stage: number,
    }: EnvironmentRef & {
      readonly deployment: number;
      readonly stage: number;
    },
  ): Promise<void> {
    const stage = stages.find((other) => other.number === number);
    if (stage === undefined) return;
    const { secrets, key } = this.#options;
    const values = await secrets(project, environment, seenSecrets(facts, stage));
    await this.#answer({
      kind: 'AmendDeployment',
      project,
      environment,
      deployment,
      ...valuesOf({ stage, secrets: values, key }),
    });
  }

  /** What went wrong is an answer too, but that this coordinator stops or does not lead any more. */
  async #orElse<T, U>(work: () => Promise<T>, failed: (message: string) => U): Promise<T | U> {
    try {
      return await work();
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (error instanceof NotLeading) throw error;
      this.#options.log.warn({ err: error }, 'delivery could not do something now');
      return failed(error instanceof Error ? error.message : String(error));
    }
  }

  #project(id: ProjectId): Promise<Project | undefined> {
    return this.#options.coordinator().read(({ state }) => state.projects.get(id)?.project);
  }

  async #answer(command: DeliveryCommand): Promise<void> {
    await this.#options.coordinator().perform({ kind: 'Delivery', command });
  }
}

/** The commit that is there, or was before the deployment that the news is of. */
function sinceOf({ there, ended }: Environment, { notice, facts }: Chore): CommitId | undefined {
  if (notice.kind !== 'ended') return there?.commit;
  const own = ended.findIndex(({ deployment }) => deployment === facts.deployment);
  const before = ended.slice(0, Math.max(own, 0));
  return before.findLast(({ begun, end }) => begun !== undefined && !isUntouched(end))?.record.commit;
}

/** Undefined: its answer is not awaited any more. */
function verifyWanted(state: State, effect: Verify): { readonly url: string | undefined } | undefined {
  const environment = findEnvironment(state.deliveries, effect);
  if (environment === undefined) return undefined;
  const deployment = findOpen(environment, effect.deployment);
  const kind = deployment?.phase.kind;
  const isAsked =
    deployment?.run === effect.run &&
    (kind === 'verifying' || kind === 'unknown') &&
    deployment.verification === effect.verification;
  return isAsked ? { url: environment.settings.url } : undefined;
}
