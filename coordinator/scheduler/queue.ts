/** Stages that wait for an agent, in lanes: a lane holds those that the same agents can take. */
import type { AgentId, ProjectId } from '../../shared/model/ids.js';
import type { Trust } from '../../shared/model/pipeline.js';
import { olderStage, servedBefore } from './fairness.js';
import { Heap } from './heap.js';
import type { Offering } from './match.js';
import type { StageState } from './state.js';

/** The agents that offer the same. */
export interface Offer extends Offering {
  readonly key: string;
  readonly members: Set<AgentId>;
  /** Members that can take a stage now; who was served last comes last. */
  readonly free: Set<AgentId>;
  /** Lanes that it suits. */
  readonly lanes: Set<Lane>;
}

/** The waiting stages of one project in one lane, oldest first. */
export class ProjectQueue {
  readonly stages = new Heap<StageState>(olderStage);
  share: number;

  constructor(
    readonly project: ProjectId,
    share: number,
  ) {
    this.share = share;
  }

  get first(): StageState | undefined {
    return this.stages.peek();
  }
}

export class Lane {
  /** Required labels, sorted. */
  readonly labels: readonly string[];
  readonly trust: Trust;
  /** Set where some agent serves chosen projects only and this is one of them; otherwise the lane is of all others. */
  readonly project: string | undefined;
  readonly key: string;
  readonly queues = new Heap<ProjectQueue>(servedBefore);
  readonly #byProject = new Map<string, ProjectQueue>();
  /** Offers that suit the lane and have an agent to spare. */
  readonly free = new Set<Offer>();
  size = 0;

  constructor(place: {
    readonly key: string;
    readonly labels: readonly string[];
    readonly trust: Trust;
    readonly project: string | undefined;
  }) {
    this.key = place.key;
    this.labels = place.labels;
    this.trust = place.trust;
    this.project = place.project;
  }

  /** The queue that is served next. */
  get next(): ProjectQueue | undefined {
    return this.queues.peek();
  }

  queueOf(project: string): ProjectQueue | undefined {
    return this.#byProject.get(project);
  }

  /** `share`: leases that the stage's project holds now. Adding twice is harmless. */
  add(stage: StageState, share: number): void {
    const project = stage.run.facts.project;
    let queue = this.#byProject.get(project);
    if (queue === undefined) {
      queue = new ProjectQueue(project, share);
      this.#byProject.set(project, queue);
    }
    if (queue.stages.has(stage)) return;
    queue.stages.update(stage);
    this.size += 1;
    this.queues.update(queue);
  }

  delete(stage: StageState): void {
    const queue = this.#byProject.get(stage.run.facts.project);
    if (queue?.stages.delete(stage) !== true) return;
    this.size -= 1;
    if (queue.stages.size > 0) this.queues.update(queue);
    else this.takeProject(queue.project);
  }

  /** Takes a project's queue out as it is. */
  takeProject(project: string): ProjectQueue | undefined {
    const queue = this.#byProject.get(project);
    if (queue === undefined) return undefined;
    this.#byProject.delete(project);
    this.queues.delete(queue);
    this.size -= queue.stages.size;
    return queue;
  }

  /** Puts a queue that was taken out of another lane here, where its project has none. */
  putProject(queue: ProjectQueue): void {
    this.#byProject.set(queue.project, queue);
    this.queues.update(queue);
    this.size += queue.stages.size;
  }
}
