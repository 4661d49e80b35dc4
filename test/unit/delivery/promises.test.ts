import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stageOrder } from '../../../coordinator/delivery/stage-order.js';
import { World, type WorldPlan } from './world.js';

/** `GANTRY_DELIVERY_SOAK=5000` plays so many stories instead of a few seconds of them. */
const soak = Number(process.env['GANTRY_DELIVERY_SOAK'] ?? 0);
const limits = soak > 0 ? { numRuns: soak } : { numRuns: 100, interruptAfterTimeLimit: 3_000 };
const timeoutMs = soak > 0 ? 3_600_000 : 60_000;

const plans: fc.Arbitrary<WorldPlan> = fc.record({
  seed: fc.integer(),
  ticks: fc.integer({ min: 20, max: 600 }),
  crashes: fc.boolean(),
  approval: fc.boolean(),
  rollsBack: fc.boolean(),
  badOneIn: fc.integer({ min: 2, max: 6 }),
});

test(
  'one deployment at a time, none twice, nothing freed by silence, production gets what staging verified, and all come to an end',
  () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const world = new World(plan);
        world.run();
        checkEnd(world);
      }),
      limits,
    );
  },
  timeoutMs,
);

/** Beside what is asserted on the way: whatever was asked for has ended, once, and everybody agrees how. */
function checkEnd(world: World): void {
  const { requested, ended, began } = world.checks;
  expect([...ended.keys()].toSorted()).toEqual([...requested.keys()].toSorted());
  for (const name of began.keys()) expect(ended.has(name)).toBe(true);
  for (const environment of world.environments) {
    expect(environment.holder).toBeUndefined();
    expect(environment.rollbackDue).toBeUndefined();
  }
  for (const { at, ended: status, canceledBy } of world.scheduler.stages.values()) {
    const order = stageOrder(world.deliveries, at);
    if (order.kind !== 'end') continue;
    // A run does not wait for ever for what is unknown, and one that is canceled while it waits ends at once.
    const isReleased = world.events.some((event) => event.kind === 'DeployStageReleased');
    if (!isReleased && canceledBy === undefined) expect(status).toBe(order.status);
  }
}

test('the stories are not boring: everything that can happen to a deployment happens', () => {
  const ends = new Set<string>();
  const kinds = new Set<string>();
  for (let seed = 1; seed <= 16; seed += 1) {
    const world = new World({
      seed: seed * 7_919,
      ticks: 400,
      crashes: seed % 2 === 0,
      approval: seed % 3 !== 0,
      rollsBack: seed % 4 !== 0,
      badOneIn: 3,
    });
    world.run();
    for (const { end } of world.checks.ended.values()) ends.add(end.kind);
    for (const { kind } of world.events) kinds.add(kind);
  }
  for (const end of [
    'verified',
    'failed',
    'verify-failed',
    'settled-bad',
    'canceled',
    'rejected',
    'superseded',
    'expired',
    'outdated',
    'not-promoted',
  ]) {
    expect([...ends]).toContain(end);
  }
  for (const kind of ['DeployReturned', 'DeployUnknown', 'DeployEndedLate', 'DeployStageReleased']) {
    expect([...kinds]).toContain(kind);
  }
});
