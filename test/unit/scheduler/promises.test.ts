import fc from 'fast-check';
import { expect, test } from 'vitest';
import { suits } from '../../../coordinator/scheduler/match.js';
import type { Event, StageOutline } from '../../../shared/model/event.js';
import { facts, outline, projectId } from './core.js';
import { Fleet, type FleetPlan } from './fleet.js';

const labels = ['os=linux', 'gpu', 'arm'];

const stagesArbitrary: fc.Arbitrary<readonly StageOutline[]> = fc
  .array(
    fc.record({
      needs: fc.array(fc.nat(6), { maxLength: 3 }),
      labels: fc.subarray(labels),
      allowFailure: fc.boolean(),
      maxAttempts: fc.integer({ min: 1, max: 4 }),
    }),
    { minLength: 1, maxLength: 7 },
  )
  .map((drafts) =>
    drafts.map(({ needs, ...rest }, index) =>
      outline(index + 1, {
        ...rest,
        // Only stages before it, so that there is no circle.
        needs: [...new Set(needs.filter((need) => need < index).map((need) => need + 1))],
      }),
    ),
  );

const planArbitrary: fc.Arbitrary<FleetPlan> = fc.record({
  seed: fc.integer(),
  runs: fc.array(fc.record({ stages: stagesArbitrary, project: fc.nat(2), isCanceled: fc.boolean() }), {
    minLength: 1,
    maxLength: 5,
  }),
  agents: fc.array(
    fc.record({
      labels: fc
        .subarray(labels, { minLength: 1 })
        .map((some) => [...new Set([...some, 'os=linux'])].toSorted()),
      slots: fc.integer({ min: 1, max: 3 }),
      projects: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.subarray([0, 1, 2])),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  pace: fc.constantFrom(0.02, 0.1, 0.5),
  chaosTicks: fc.integer({ min: 20, max: 600 }),
});

type Named = Event & { readonly run: string; readonly stage: number };
const keyOf = ({ run, stage }: Named): string => `${run}/${stage}`;

/** What the journal alone must show, whoever reads it. */
class Auditor {
  readonly #ended = new Map<string, Extract<Event, { kind: 'StageEnded' }>>();
  readonly #runs = new Map<string, Extract<Event, { kind: 'RunAccepted' }>>();
  readonly #runsEnded = new Map<string, string>();
  readonly #agents = new Map<string, Extract<Event, { kind: 'AgentRegistered' }>>();
  readonly #reports = new Map<number, number>();
  readonly #results = new Map<string, string>();
  readonly #holders = new Map<number, string>();
  /** Tokens of leases that have not ended. */
  readonly #leases = new Set<number>();
  #token = 0;
  #read = 0;

  read(fleet: Fleet): void {
    for (const event of fleet.events.slice(this.#read)) this.#take(fleet, event);
    this.#read = fleet.events.length;
  }

  #take(fleet: Fleet, event: Event): void {
    switch (event.kind) {
      case 'RunAccepted':
        expect(this.#runs.has(event.run)).toBe(false);
        this.#runs.set(event.run, event);
        break;
      case 'AgentRegistered':
        this.#agents.set(event.agent, event);
        break;
      case 'StageLeased': {
        expect(event.token).toBeGreaterThan(this.#token);
        this.#token = event.token;
        expect(this.#ended.has(keyOf(event))).toBe(false);
        const run = this.#runs.get(event.run)!;
        const stage = run.stages.find(({ number }) => number === event.stage)!;
        for (const need of stage.needs) {
          const ended = this.#ended.get(`${event.run}/${need}`);
          const isAllowed = run.stages.find(({ number }) => number === need)!.allowFailure;
          expect(ended?.status === 'succeeded' || (ended?.status === 'failed' && isAllowed)).toBe(true);
        }
        const agent = this.#agents.get(event.agent)!;
        expect(suits(agent, stage.labels, run.facts)).toBe(true);
        // A lost attempt may come back later and be one too many; then the agent refuses what it has no slot for.
        this.#holders.set(event.token, event.agent);
        this.#leases.add(event.token);
        const held = [...this.#leases].filter((token) => this.#holders.get(token) === event.agent);
        expect(held.length).toBeLessThanOrEqual(agent.slots);
        break;
      }
      case 'LeaseReturned':
      case 'AttemptLost':
        this.#leases.delete(event.token);
        break;
      case 'AttemptReported':
        expect(this.#ended.has(keyOf(event)) && event.report.kind !== 'LogsArchived').toBe(false);
        expect(event.n).toBe((this.#reports.get(event.token) ?? 0) + 1);
        this.#reports.set(event.token, event.n);
        if (event.report.kind === 'AttemptFinished') this.#leases.delete(event.token);
        else if (event.report.kind !== 'LogsArchived') this.#leases.add(event.token);
        if (event.report.kind === 'AttemptFinished') {
          // What is accepted was really done, by the holder of this token.
          expect(fleet.ended.get(event.token)).toBe(event.report.status);
          this.#results.set(keyOf(event), event.report.status);
        }
        break;
      case 'StageEnded':
        expect(this.#ended.has(keyOf(event))).toBe(false);
        this.#ended.set(keyOf(event), event);
        if (event.status === 'succeeded') expect(this.#results.get(keyOf(event))).toBe('succeeded');
        break;
      case 'RunEnded':
        expect(this.#runsEnded.has(event.run)).toBe(false);
        this.#runsEnded.set(event.run, event.status);
        expect(event.status).toBe(this.#outcome(event.run));
        break;
      default:
        break;
    }
  }

  #outcome(run: string): string {
    const ends = this.#runs.get(run)!.stages.map((stage) => {
      const ended = this.#ended.get(`${run}/${stage.number}`);
      expect(ended).toBeDefined();
      return ended?.status === 'failed' && stage.allowFailure ? 'succeeded' : ended?.status;
    });
    return ends.includes('failed') ? 'failed' : ends.includes('canceled') ? 'canceled' : 'succeeded';
  }

  finish(plan: FleetPlan): void {
    expect(this.#runsEnded.size).toBe(plan.runs.length);
  }
}

/** After a turn nothing is left undone, and everything that waits is somewhere. */
function checkOrder({ core }: Fleet): void {
  const { state, presence } = core;
  if (presence.isFresh) return;
  expect(presence.market.active.size).toBe(0);
  for (const stage of state.waiting) {
    const isQueued = presence.market.placeOf(stage) !== undefined;
    const rest = presence.rests.get(stage);
    const isResting = rest !== undefined && rest.untilMs > core.now.monotonicMs;
    const last = stage.attempts.at(-1);
    const isClaimed = last !== undefined && presence.agents.get(last.agent)?.claims.has(stage) === true;
    expect([isQueued, isResting || isClaimed]).toEqual([!(isResting || isClaimed), isResting || isClaimed]);
    expect(core.reasons(stage.run.run, stage.outline.number)).not.toEqual([]);
  }
}

test('Whatever is lost, doubled, reordered or restarted, every run ends once and every result counts once', () => {
  fc.assert(
    fc.property(planArbitrary, (plan) => {
      const fleet = new Fleet(plan);
      const auditor = new Auditor();
      fleet.live((now) => {
        auditor.read(now);
        checkOrder(now);
      });
      auditor.finish(plan);
      const { state, presence } = fleet.core;
      fleet.core.turn();
      expect(state.waiting.size + state.shares.size + state.touched.stages.size).toBe(0);
      expect([presence.attempts.size, presence.rests.size, presence.stageTimers.nextMs]).toEqual([
        0,
        0,
        undefined,
      ]);
      fleet.core.restart();
    }),
    { numRuns: Number(process.env['GANTRY_PROPERTY_RUNS'] ?? 20) },
  );
}, 240_000);

test('Projects that agents name and others that they do not are told apart', () => {
  expect(suits({ labels: [], projects: [projectId(1)], trust: ['submit'] }, [], facts())).toBe(true);
  expect(suits({ labels: [], projects: [projectId(2)], trust: ['submit'] }, [], facts())).toBe(false);
});
