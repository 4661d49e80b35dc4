/** A project with environments on the real loop: deployments are asked for as the effects would, and begun by an agent. */
import type { DeliveryAnswer, DeliveryCommand } from '../../../coordinator/delivery/command.js';
import { projectOf } from '../../../shared/git/repository-url.js';
import type { DeploymentRecord } from '../../../shared/model/deployment.js';
import { defaultEnvironmentSettings, type EnvironmentSettings } from '../../../shared/model/environment.js';
import { parseCommitId, type CommitId, type RunId, type Token } from '../../../shared/model/ids.js';
import type { Plan, PlannedStage, RunFacts } from '../../../shared/model/pipeline.js';
import { defaultProjectSettings, type Project } from '../../../shared/model/project.js';
import { plannedStage } from '../../support/agent-world.js';
import { facts, outline, runId, submission } from '../scheduler/ids.js';
import { World } from './world.js';

export const app: Project = {
  ...projectOf('example.org/app'),
  url: 'https://example.org/app.git',
  settings: { ...defaultProjectSettings, defaultBranch: 'main' },
};
export const commitOf = (n: number): CommitId => parseCommitId(n.toString(16).padStart(40, '0'))!;

interface RunChanges {
  readonly stage?: Partial<PlannedStage>;
  readonly facts?: Partial<RunFacts>;
}
interface RecordChanges {
  readonly record?: Partial<DeploymentRecord>;
}

export class DeploymentWorld {
  readonly world = new World();

  async start(): Promise<this> {
    await this.world.start();
    await this.world.coordinator.perform({ kind: 'SetProject', project: app, isNew: true, by: 'ann' });
    return this;
  }

  stop(): Promise<void> {
    return this.world.stop();
  }

  async tell(command: DeliveryCommand): Promise<DeliveryAnswer> {
    const answer = await this.world.coordinator.perform({ kind: 'Delivery', command });
    if (answer.kind !== 'delivery') throw new Error(`answered ${answer.kind}`);
    return answer.answer;
  }

  async set(environment: string, changes: Partial<EnvironmentSettings> = {}): Promise<void> {
    const settings = { ...defaultEnvironmentSettings, ...changes };
    await this.tell({ kind: 'SetEnvironment', project: app.id, environment, settings, by: 'ann' });
  }

  /** Run `n` of commit `n`, whose only stage deploys there, and its deployment. */
  async deploy(n: number, environment: string, changes: RunChanges & RecordChanges = {}): Promise<RunId> {
    const { facts: about } = await this.submit(n, { ...changes, stage: { environment, ...changes.stage } });
    const run = runId(n);
    await this.tell({
      kind: 'RequestDeployment',
      project: app.id,
      environment,
      run,
      stage: 1,
      source: { event: about.event, trust: about.trust, branch: 'main' },
      record: {
        commit: about.commit,
        artifacts: [],
        images: [],
        steps: [],
        env: [],
        secrets: [],
        verifies: false,
        ...changes.record,
      },
      title: about.title,
      by: about.by,
    });
    return run;
  }

  async submit(n: number, changes: RunChanges): Promise<Plan> {
    const about = facts({
      event: 'push',
      trust: 'branch',
      branch: 'main',
      project: app.id,
      projectName: app.name,
      commit: commitOf(n),
      maySeeSecrets: true,
      ...changes.facts,
    });
    const stage = plannedStage(changes.stage);
    const plan: Plan = {
      v: 1,
      run: runId(n),
      facts: about,
      source: { kind: 'git', url: app.url, commit: about.commit },
      stages: [stage],
      pipelineText: '',
    };
    await this.world.plans.put(plan);
    const { environment } = stage;
    const outlines = [outline(1, environment === undefined ? {} : { environment })];
    await this.world.coordinator.perform(submission(n, outlines, about));
    return plan;
  }

  /** The lease's token, once the stage has one. */
  async leased(run: RunId): Promise<Token> {
    const lease = await this.world.lease(run, 1, 1);
    if (lease === undefined) throw new Error('the stage is not leased');
    return lease.token as Token; // The loop gives tokens.
  }

  async begin(run: RunId): Promise<void> {
    await this.world.report({ run, stage: 1, attempt: 1 }, { kind: 'AttemptStarted', executor: 'host' });
  }

  async finish(run: RunId): Promise<void> {
    const ref = { run, stage: 1, attempt: 1 };
    await this.world.report(ref, { kind: 'StepStarted', step: 1, shell: 'sh' });
    await this.world.report(ref, { kind: 'AttemptFinished', status: 'succeeded', logs: [] });
  }
}
