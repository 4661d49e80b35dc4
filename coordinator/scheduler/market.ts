/**
 * Where waiting stages meet free agents. A *lane* holds the stages that the same agents can take; an *offer* holds
 * the agents that offer the same. A lane is *active* while it has both a stage and a free agent, so whoever
 * dispatches looks at active lanes only: neither a million stages nobody can take nor ten thousand busy agents cost
 * anything. Lanes and offers are matched once, when either is new.
 */
import type { AgentId } from '../../shared/model/ids.js';
import type { Trust } from '../../shared/model/pipeline.js';
import { missingLabels, takesTrust, type Offering } from './match.js';
import { Lane, type Offer } from './queue.js';
import { olderStage } from './fairness.js';
import type { StageState } from './state.js';

/** Lanes without a stage that are kept because matching a new one costs a look at every offer. */
const keptLanes = 1_000;
/** Above this many, a place in the queue is not counted out. */
const countedPlaces = 10_000;

export class Market {
  readonly active = new Set<Lane>();
  readonly #lanes = new Map<string, Lane>();
  readonly #lanesOf = new Map<string, Set<Lane>>();
  readonly #offers = new Map<string, Offer>();
  readonly #offerOf = new Map<AgentId, Offer>();
  /** The object that was enrolled last: while it is the same, its offer need not be found again. */
  readonly #enrolled = new Map<AgentId, Offering>();
  /** Projects that some offer names, and by how many offers. */
  readonly #named = new Map<string, number>();

  addStage(stage: StageState, share: number): void {
    const lane = this.#laneFor(stage.outline.labels, stage.run.facts.trust, stage.run.facts.project);
    lane.add(stage, share);
    this.#lanesWith(stage.run.facts.project).add(lane);
    this.#weigh(lane);
  }

  removeStage(stage: StageState): void {
    const { project, trust } = stage.run.facts;
    const lane = this.#lanes.get(this.#keyFor(stage.outline.labels, trust, project));
    if (lane === undefined) return;
    lane.delete(stage);
    this.#leave(lane, project);
  }

  /** The project holds this many leases now. */
  setShare(project: string, share: number): void {
    for (const lane of this.#lanesOf.get(project) ?? []) {
      const queue = lane.queueOf(project);
      if (queue === undefined || queue.share === share) continue;
      queue.share = share;
      lane.queues.update(queue);
    }
  }

  /** Says what the agent offers and whether it can take a stage now. */
  enroll(agent: AgentId, offering: Offering, isFree: boolean): void {
    if (this.#enrolled.get(agent) !== offering) this.#join(agent, offering);
    const offer = this.#offerOf.get(agent);
    if (offer !== undefined && offer.free.has(agent) !== isFree) this.#setFree(offer, agent, isFree);
  }

  #join(agent: AgentId, offering: Offering): void {
    const key = JSON.stringify([offering.labels, offering.projects, offering.trust]);
    if (this.#offerOf.get(agent)?.key !== key) {
      this.dismiss(agent);
      const offer = this.#offers.get(key) ?? this.#newOffer(key, offering);
      offer.members.add(agent);
      this.#offerOf.set(agent, offer);
    }
    this.#enrolled.set(agent, offering);
  }

  dismiss(agent: AgentId): void {
    this.#enrolled.delete(agent);
    const offer = this.#offerOf.get(agent);
    if (offer === undefined) return;
    this.#setFree(offer, agent, false);
    this.#offerOf.delete(agent);
    offer.members.delete(agent);
    if (offer.members.size === 0) this.#dropOffer(offer);
  }

  /** The agent got a stage: others of its offer are asked first next time. */
  served(agent: AgentId): void {
    const free = this.#offerOf.get(agent)?.free;
    if (free?.delete(agent) === true) free.add(agent);
  }

  isFreeFor(agent: AgentId, lane: Lane): boolean {
    const offer = this.#offerOf.get(agent);
    return offer?.free.has(agent) === true && lane.free.has(offer);
  }

  /** Place in the lane by age, from 1, and the lane's length. No place where counting would take too long. */
  placeOf(stage: StageState): { readonly place: number | undefined; readonly of: number } | undefined {
    const { project, trust } = stage.run.facts;
    const lane = this.#lanes.get(this.#keyFor(stage.outline.labels, trust, project));
    if (lane?.queueOf(project)?.stages.has(stage) !== true) return undefined;
    if (lane.size > countedPlaces) return { place: undefined, of: lane.size };
    let place = 1;
    for (const queue of lane.queues.values()) {
      for (const other of queue.stages.values()) if (olderStage(other, stage)) place += 1;
    }
    return { place, of: lane.size };
  }

  #keyFor(labels: readonly string[], trust: Trust, project: string): string {
    return `${trust}\n${this.#named.has(project) ? project : ''}\n${labels.join('\n')}`;
  }

  #laneFor(labels: readonly string[], trust: Trust, project: string): Lane {
    const key = this.#keyFor(labels, trust, project);
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane = new Lane({ key, labels, trust, project: this.#named.has(project) ? project : undefined });
    this.#lanes.set(key, lane);
    for (const offer of this.#offers.values()) join(lane, offer);
    return lane;
  }

  #lanesWith(project: string): Set<Lane> {
    const lanes = this.#lanesOf.get(project) ?? new Set<Lane>();
    this.#lanesOf.set(project, lanes);
    return lanes;
  }

  /** The lane lost a stage of the project. */
  #leave(lane: Lane, project: string): void {
    if (lane.queueOf(project) === undefined) {
      const lanes = this.#lanesOf.get(project);
      lanes?.delete(lane);
      if (lanes?.size === 0) this.#lanesOf.delete(project);
    }
    this.#weigh(lane);
    if (lane.size === 0 && this.#lanes.size > keptLanes) {
      this.#lanes.delete(lane.key);
      for (const offer of this.#offers.values()) offer.lanes.delete(lane);
    }
  }

  #weigh(lane: Lane): void {
    if (lane.size > 0 && lane.free.size > 0) this.active.add(lane);
    else this.active.delete(lane);
  }

  #setFree(offer: Offer, agent: AgentId, isFree: boolean): void {
    const before = offer.free.size;
    if (isFree) offer.free.add(agent);
    else offer.free.delete(agent);
    if (before > 0 === offer.free.size > 0) return;
    for (const lane of offer.lanes) {
      if (isFree) lane.free.add(offer);
      else lane.free.delete(offer);
      this.#weigh(lane);
    }
  }

  #newOffer(key: string, offering: Offering): Offer {
    const { labels, projects, trust } = offering;
    const offer = {
      key,
      labels,
      projects,
      trust,
      members: new Set<AgentId>(),
      free: new Set<AgentId>(),
      lanes: new Set<Lane>(),
    };
    this.#offers.set(key, offer);
    for (const project of projects) this.#count(project, 1);
    for (const lane of this.#lanes.values()) join(lane, offer);
    return offer;
  }

  #dropOffer(offer: Offer): void {
    this.#offers.delete(offer.key);
    for (const project of offer.projects) this.#count(project, -1);
  }

  /** A project that an offer begins or ceases to name moves to lanes of its own, or back to everybody's. */
  #count(project: string, by: number): void {
    const before = this.#named.get(project) ?? 0;
    if (before + by > 0) this.#named.set(project, before + by);
    else this.#named.delete(project);
    if (before > 0 === before + by > 0) return;
    for (const old of [...(this.#lanesOf.get(project) ?? [])]) {
      const queue = old.takeProject(project);
      this.#leave(old, project);
      if (queue === undefined) continue;
      const lane = this.#laneFor(old.labels, old.trust, project);
      lane.putProject(queue);
      this.#lanesWith(project).add(lane);
      this.#weigh(lane);
    }
  }
}

function join(lane: Lane, offer: Offer): void {
  const isSuited =
    takesTrust(offer, lane.trust) &&
    (offer.projects.length === 0 || (lane.project !== undefined && offer.projects.includes(lane.project))) &&
    missingLabels(lane.labels, offer.labels).length === 0;
  if (!isSuited) return;
  offer.lanes.add(lane);
  if (offer.free.size > 0) lane.free.add(offer);
}
