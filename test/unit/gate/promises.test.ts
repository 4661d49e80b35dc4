import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commitId } from './core.js';
import { World, type WorldPlan } from './world.js';

/** `GANTRY_GATE_SOAK=5000` plays so many stories instead of a few seconds of them. */
const soak = Number(process.env['GANTRY_GATE_SOAK'] ?? 0);
const limits = soak > 0 ? { numRuns: soak } : { numRuns: 250, interruptAfterTimeLimit: 3_000 };
const timeoutMs = soak > 0 ? 3_600_000 : 60_000;

const planOf = (more: {
  readonly brokenBypasses: boolean;
  readonly crashes: fc.Arbitrary<boolean>;
}): fc.Arbitrary<WorldPlan> =>
  fc.record({
    seed: fc.integer(),
    depth: fc.integer({ min: 1, max: 4 }),
    changes: fc.array(
      fc.record({
        isBroken: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
        enemy: fc.nat(30),
        file: fc.nat(12),
        isStacked: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
        method: fc.constantFrom('merge' as const, 'squash' as const),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    bypasses: fc.array(
      fc.record({ file: fc.integer({ min: 10, max: 16 }), isBroken: fc.constant(more.brokenBypasses) }),
      { maxLength: 4 },
    ),
    ticks: fc.integer({ min: 20, max: 500 }),
    crashes: more.crashes,
  });

/** What must hold at the end of every story, beside what the world asserts on its way. */
function checkEnd(world: World): void {
  const { git, core } = world;
  // Everybody who came has left, once, and the gate knows where the target is.
  expect([...world.ended.keys()].toSorted()).toEqual(world.queued.toSorted());
  expect(core.gate.tip).toBe(git.tip);
  // In the order in which they came.
  const order = world.landed.map((entry) => world.queued.indexOf(entry));
  expect(order).toEqual(order.toSorted((a, b) => a - b));
  // The target holds each landed entry once, and nothing of those that were ejected but what others brought along.
  const history = git.ancestors(git.tip);
  const held = [...world.candidates].filter(([commit]) => history.has(commit)).map(([, entry]) => entry);
  expect(new Set(held).size).toBe(held.length);
  // Or of what a push brought that nobody can recall: if its entry had left by then, it is told as one past the gate.
  const late = held.filter((entry) => !world.landed.includes(entry));
  for (const entry of late) expect(world.late).toContain(entry);
  expect(held.filter((entry) => !late.includes(entry)).toSorted()).toEqual(world.landed.toSorted());
  // The gate's own pushes are nobody's way around it.
  const told = core.events.filter((event) => event.kind === 'GateBypassed');
  expect(told.length).toBeLessThanOrEqual(world.bypassed + world.late.size);
  // Each landing has its push run.
  for (const event of core.events) {
    if (event.kind === 'GateLanded') expect(world.pushRuns).toContain(event.commit);
  }
}

test(
  'main is green after every landing, everybody ejected deserved it, nothing lands twice or is lost, order holds',
  () => {
    fc.assert(
      fc.property(planOf({ brokenBypasses: false, crashes: fc.boolean() }), (plan) => {
        const world = new World(plan);
        world.run();
        checkEnd(world);
        expect(world.isGreen(world.git.get(world.git.tip).tree)).toBe(true);
      }),
      limits,
    );
  },
  timeoutMs,
);

test(
  'a target that a push past the gate broke takes nothing that leaves it broken',
  () => {
    fc.assert(
      fc.property(planOf({ brokenBypasses: true, crashes: fc.constant(true) }), (plan) => {
        const world = new World(plan);
        world.run();
        checkEnd(world);
      }),
      limits,
    );
  },
  timeoutMs,
);

test(
  'every good change lands, whoever is broken beside it',
  () => {
    fc.assert(
      fc.property(planOf({ brokenBypasses: false, crashes: fc.constant(true) }), (drawn) => {
        // A file for each, no stack: what is not broken, alone or together, is good wherever it lands.
        const changes = drawn.changes.map((change, n) => ({ ...change, file: 100 + n, isStacked: false }));
        const world = new World({ ...drawn, changes });
        world.run();
        checkEnd(world);
        changes.forEach(({ isBroken, enemy }, n) => {
          const hasEnemy = enemy !== n || changes.some((other, m) => m !== n && other.enemy === n);
          if (isBroken || hasEnemy) return;
          const entry = [...world.commits.keys()][n]!;
          const how = world.ended.get(entry);
          // A person, a moved branch or a hung run may take it out; nothing else.
          expect(['landed', 'already-landed', 'asked', 'deleted', 'force-pushed', 'failed']).toContain(how);
          if (how === 'failed') expect(world.hung).toContain(entry);
        });
      }),
      limits,
    );
  },
  timeoutMs,
);

test('a story without trouble lands everything in its order, depth or no depth', () => {
  for (const depth of [1, 2, 3, 4]) {
    const world = new World({
      seed: 7,
      depth,
      changes: Array.from({ length: 6 }, (_, n) => ({
        isBroken: false,
        enemy: n,
        file: n,
        isStacked: false,
        method: 'merge',
      })),
      bypasses: [],
      ticks: 0,
      crashes: false,
    });
    world.run();
    expect(world.landed).toEqual(world.queued);
    expect(world.git.get(world.git.tip).tree.size).toBe(7);
    expect(world.git.contains(world.git.tip, commitId(1))).toBe(true);
  }
});
