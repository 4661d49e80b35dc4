/** What must hold in every story, looked at as it happens: by the journal, and by the boxes that really deploy. */
import { expect } from 'vitest';
import type { StageRef } from '../../../coordinator/delivery/command.js';
import { digestsOf } from '../../../coordinator/delivery/promotion.js';
import { findEnded, findOpen, findPlace } from '../../../coordinator/delivery/state.js';
import type { DeliveryEvent } from '../../../shared/model/environment.js';
import { keyOf } from './fake-scheduler.js';
import type { Box, World } from './world.js';

type Requested = Extract<DeliveryEvent, { kind: 'DeployRequested' }>;
const nameOf = ({ environment, deployment }: { environment: string; deployment: number }): string =>
  `${environment} ${deployment}`;

export class Checks {
  readonly requested = new Map<string, Requested>();
  readonly ended = new Map<string, Extract<DeliveryEvent, { kind: 'DeployEnded' }>>();
  readonly began = new Map<string, Extract<DeliveryEvent, { kind: 'DeployBegan' }>>();
  readonly #unknown = new Set<string>();
  readonly #holders = new Map<string, string>();
  readonly #boxes = new Map<string, Box>();
  /** Deployments whose outcome an agent, a verify or a person has said. */
  readonly #justified = new Set<string>();

  constructor(readonly world: World) {}

  /** Somebody who may say so is about to say how the deployment of this stage came out. */
  justify(at: StageRef): void {
    this.#justified.add(keyOf(at));
  }

  /** Events that are in the journal from now on. */
  look(events: readonly DeliveryEvent[]): void {
    for (const event of events) this.#lookAt(event);
  }

  #lookAt(event: DeliveryEvent): void {
    if (!('deployment' in event)) return;
    const name = nameOf(event);
    const of = this.requested.get(name);
    switch (event.kind) {
      case 'DeployRequested':
        expect(of).toBeUndefined();
        this.requested.set(name, event);
        this.#checkRollback(event);
        return;
      case 'DeployLocked':
        expect(this.#holders.get(event.environment)).toBeUndefined();
        this.#holders.set(event.environment, name);
        return;
      case 'DeployBegan':
        expect(this.#holders.get(event.environment)).toBe(name);
        expect(this.began.has(name)).toBe(false);
        this.began.set(name, event);
        this.#checkPromotion(of!);
        return;
      case 'DeployUnknown':
        this.#unknown.add(name);
        return;
      case 'DeployReturned':
      case 'DeployStepsEnded':
        this.#unknown.delete(name);
        return;
      case 'DeployEnded':
        expect(this.ended.has(name)).toBe(false);
        this.ended.set(name, event);
        // What began frees its environment when somebody who may says so, and not before.
        if (this.began.has(name)) expect(this.#justified).toContain(keyOf(of!));
        if (this.#unknown.delete(name)) expect(this.#holders.get(event.environment)).toBe(name);
        if (this.#holders.get(event.environment) === name) this.#holders.delete(event.environment);
        return;
      case 'DeployAmended':
      case 'DeployApprovalAsked':
      case 'DeployCleared':
      case 'DeployApproved':
      case 'DeployStageReleased':
      case 'DeployEndedLate':
        return;
    }
  }

  /** By itself an environment goes back from a failed verify of what was no rollback, once, and to what was verified. */
  #checkRollback(event: Requested): void {
    if (event.of.kind !== 'rollback') return;
    const { of: to, cause } = event.of;
    const target = this.ended.get(nameOf({ ...event, deployment: to }));
    expect(target?.end.kind).toBe('verified');
    expect(event.record.artifacts).toEqual(
      this.requested.get(nameOf({ ...event, deployment: to }))!.record.artifacts,
    );
    if (cause === 'asked') return;
    const causes = [...this.ended.values()].filter(
      (other) => other.environment === event.environment && other.rollsBackTo !== undefined,
    );
    const made = [...this.requested.values()].filter(
      (other) =>
        other.environment === event.environment && other.of.kind === 'rollback' && other.of.cause === cause,
    );
    expect(made.length).toBe(causes.length);
    expect(this.requested.get(nameOf(causes.at(-1)!))!.of.kind).toBe('stage');
  }

  /** What begins in production was verified in staging, the same commit with the same digests, or somebody forced it. */
  #checkPromotion({ environment, of, record }: Requested): void {
    if (environment !== 'production' || of.kind === 'rollback' || of.force !== undefined) return;
    const isProven = [...this.ended.values()].some((other) => {
      const before = this.requested.get(nameOf(other))!;
      const digests = digestsOf(before.record);
      return (
        other.environment === 'staging' &&
        other.end.kind === 'verified' &&
        before.record.commit === record.commit &&
        digestsOf(record).every((digest) => digests.includes(digest))
      );
    });
    expect(isProven).toBe(true);
  }

  /** A box begins its first step: the moment that the promise is about. */
  firstStep(box: Box): void {
    const { deliveries } = this.world;
    const place = findPlace(deliveries, box.at)!;
    const { environment, deployment: number } = place;
    // No deployment has two attempts that began.
    expect(this.#boxes.has(keyOf(box.at))).toBe(false);
    this.#boxes.set(keyOf(box.at), box);
    const deployment = findOpen(environment, number);
    // A person, or its verify, may have settled one that was thought lost: whoever did has said that it may be so.
    if (deployment !== undefined) {
      expect(['running', 'unknown']).toContain(deployment.phase.kind);
      expect(environment.holder).toBe(number);
    }
    for (const other of this.#boxes.values()) {
      if (other === box || other.doing !== 'deploying') continue;
      const its = findPlace(deliveries, other.at)!;
      if (its.environment !== environment) continue;
      const how = findEnded(environment, its.deployment)?.end.kind;
      expect(['verified', 'verify-failed', 'settled-bad']).toContain(how);
      expect(this.#justified).toContain(keyOf(other.at));
    }
  }
}
