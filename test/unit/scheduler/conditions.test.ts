import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { outlineOf } from '../../../coordinator/pipeline/outline.js';
import { planRun } from '../../../coordinator/pipeline/plan-run.js';
import { conditionsOf, type RunConditions } from '../../../coordinator/pipeline/run-conditions.js';
import { applyEntry } from '../../../coordinator/scheduler/apply.js';
import { emptyState } from '../../../coordinator/scheduler/state.js';
import type { Entry, StageOutline } from '../../../shared/model/event.js';
import type { RunFacts } from '../../../shared/model/pipeline.js';
import { Core, facts, kinds, outline, plain } from './core.js';

const failure = { kind: 'exit-code', step: 1, exitCode: 1 } as const;

/** The stages of a pipeline, planned for a run with these facts. */
function planned(
  text: string,
  changes: Partial<RunFacts>,
  changed: readonly string[] | undefined,
): { readonly outlines: readonly StageOutline[]; readonly skippedSteps: ReadonlyMap<number, number[]> } {
  const compiled = compilePipeline(text, { file: 'f' });
  if (!compiled.ok) throw new Error(compiled.diagnostics.map((one) => one.message).join('; '));
  const run: RunConditions = {
    ...conditionsOf(facts(changes)),
    ...(changed === undefined ? {} : { changed }),
  };
  const stages = planRun(compiled, run);
  return {
    outlines: stages.map(outlineOf),
    skippedSteps: new Map(
      stages.map((stage) => [
        stage.number,
        stage.steps.filter((step) => step.skipped === true).map((step) => step.number),
      ]),
    ),
  };
}

function coreWithAgent(): Core {
  const core = new Core();
  core.join(1, { labels: ['executor=host', 'os=linux'], slots: 100 });
  return core;
}

interface Text {
  readonly text: string;
  /** It speaks of needs, `always()` or `failed()`. */
  readonly alone: boolean;
  readonly value: (asked: Asked) => boolean;
}

/** What the oracle knows where a condition is asked. */
interface Asked {
  readonly run: Run;
  readonly cell: string | undefined;
  readonly status: (stage: string) => string;
  readonly hasFailure: () => boolean;
}

interface Run {
  readonly branch: string;
  readonly go: string | undefined;
  readonly changed: readonly string[] | undefined;
}

interface Drawn {
  readonly name: string;
  readonly needs: readonly string[];
  readonly cells: number;
  readonly allowFailure: boolean;
  readonly condition: Text | undefined;
  readonly stepCondition: Text | undefined;
  /** By cell. */
  readonly fails: readonly boolean[];
}

const quiet = (text: string, value: (asked: Asked) => boolean): Text => ({ text, alone: false, value });

function leaves(needs: readonly string[], hasMatrix: boolean): fc.Arbitrary<Text> {
  const facts = [
    quiet('branch == "main"', ({ run }) => run.branch === 'main'),
    quiet('branch.startsWith("release/")', ({ run }) => run.branch.startsWith('release/')),
    quiet('branch in ["main", "next"]', ({ run }) => run.branch === 'main' || run.branch === 'next'),
    quiet('branch.matches("^r.*1$")', ({ run }) => run.branch === 'release/1'),
    quiet('inputs.go == "yes"', ({ run }) => run.go === 'yes'),
    quiet('inputs.go == ""', ({ run }) => run.go === undefined),
    quiet('changed("src/**")', ({ run }) => run.changed?.some((path) => path.startsWith('src/')) ?? true),
    quiet('true', () => true),
    quiet('false', () => false),
    ...(hasMatrix ? [quiet('matrix.m == "m0"', ({ cell }) => cell === 'm0')] : []),
  ];
  const alone: Text[] = [
    { text: 'always()', alone: true, value: () => true },
    { text: 'failed()', alone: true, value: ({ hasFailure }) => hasFailure() },
    ...needs.flatMap((need) =>
      ['succeeded', 'failed', 'skipped'].map((status) => ({
        text: `needs.${need}.status == "${status}"`,
        alone: true,
        value: (asked: Asked) => asked.status(need) === status,
      })),
    ),
  ];
  return fc.oneof(
    fc.constantFrom(...facts),
    ...(needs.length === 0 ? [] : [fc.constantFrom(...alone)]),
    fc.constantFrom(...facts),
  );
}

function conditionOf(needs: readonly string[], hasMatrix: boolean): fc.Arbitrary<Text> {
  return fc.letrec<{ any: Text }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaves(needs, hasMatrix),
      tie('any').map(({ text, alone, value }) => ({
        text: `!(${text})`,
        alone,
        value: (asked: Asked) => !value(asked),
      })),
      fc.tuple(tie('any'), tie('any'), fc.boolean()).map(([left, right, isAnd]): Text => ({
        text: `(${left.text} ${isAnd ? '&&' : '||'} ${right.text})`,
        alone: left.alone || right.alone,
        value: (asked) => {
          const [one, other] = [left.value(asked), right.value(asked)];
          return isAnd ? one && other : one || other;
        },
      })),
    ),
  })).any;
}

const drawing: fc.Arbitrary<readonly Drawn[]> = fc
  .array(
    fc.record({
      needs: fc.uniqueArray(fc.nat(7), { maxLength: 3 }),
      cells: fc.integer({ min: 0, max: 3 }),
      allowFailure: fc.boolean(),
      fails: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      isConditional: fc.boolean(),
      hasStepCondition: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .chain((drafts) =>
    fc.tuple(
      ...drafts.map(({ isConditional, hasStepCondition, ...draft }, index) => {
        const needs = draft.needs.filter((need) => need < index).map((need) => `s${need}`);
        return fc.record({
          ...{ name: fc.constant(`s${index}`), needs: fc.constant(needs), cells: fc.constant(draft.cells) },
          ...{ allowFailure: fc.constant(draft.allowFailure), fails: fc.constant(draft.fails) },
          condition: isConditional ? conditionOf(needs, draft.cells > 0) : fc.constant(undefined),
          stepCondition: hasStepCondition ? conditionOf([], draft.cells > 0) : fc.constant(undefined),
        });
      }),
    ),
  );

const runArbitrary: fc.Arbitrary<Run> = fc.record({
  branch: fc.constantFrom('main', 'next', 'release/1', 'topic'),
  go: fc.constantFrom(undefined, 'yes', 'no'),
  changed: fc.constantFrom(undefined, [], ['src/a.ts'], ['docs/a.md', 'src']),
});

const textOf = (stages: readonly Drawn[]): string =>
  stringify({
    stages: Object.fromEntries(
      stages.map(({ name, needs, cells, allowFailure, condition, stepCondition }) => [
        name,
        {
          needs,
          'allow-failure': allowFailure,
          ...(cells === 0 ? {} : { matrix: { m: Array.from({ length: cells }, (_, cell) => `m${cell}`) } }),
          ...(condition === undefined ? {} : { if: condition.text }),
          steps: ['x', stepCondition === undefined ? 'y' : { run: 'y', if: stepCondition.text }],
        },
      ]),
    ),
  });

interface CellEnd {
  readonly name: string;
  readonly cell: string | undefined;
  readonly status: string;
  readonly runs: boolean;
  readonly skipsStep: boolean;
}

/** What becomes of each cell, told from the rules as they are written for people; nothing of the product is asked. */
function oracle(stages: readonly Drawn[], run: Run): readonly CellEnd[] {
  const ended: CellEnd[] = [];
  const byName = new Map(stages.map((stage) => [stage.name, stage]));
  const cellsOf = (name: string): readonly CellEnd[] => ended.filter((one) => one.name === name);
  const failsAt = (name: string): boolean =>
    byName.get(name)?.allowFailure === false && cellsOf(name).some(({ status }) => status === 'failed');
  const before = (name: string): readonly string[] =>
    (byName.get(name)?.needs ?? []).flatMap((need) => [need, ...before(need)]);
  for (const stage of stages) {
    const { name, needs, cells, condition, stepCondition, fails } = stage;
    for (let index = 0; index < Math.max(1, cells); index++) {
      const cell = cells === 0 ? undefined : `m${index}`;
      const asked: Asked = {
        ...{ run, cell },
        status: (need) => {
          const all = cellsOf(need).map(({ status }) => status);
          return ['failed', 'skipped'].find((status) => all.includes(status)) ?? 'succeeded';
        },
        hasFailure: () => before(name).some(failsAt),
      };
      const areMet = needs.every((need) =>
        cellsOf(need).every(
          ({ status }) =>
            status === 'succeeded' || (status === 'failed' && byName.get(need)?.allowFailure === true),
        ),
      );
      const isTrue = condition?.value(asked) ?? true;
      const runs = isTrue && (condition?.alone === true || areMet);
      ended.push({
        ...{ name, cell, runs },
        status: !runs ? 'skipped' : fails[index] === true ? 'failed' : 'succeeded',
        skipsStep: stepCondition !== undefined && !stepCondition.value(asked),
      });
    }
  }
  return ended;
}

describe('conditions, needs, matrices and skipped stages', () => {
  it('come together as the rules say, whatever the order of ends and restarts', () => {
    fc.assert(
      fc.property(
        drawing,
        runArbitrary,
        fc.array(fc.nat(99)),
        fc.boolean(),
        (stages, run, order, restarts) => {
          const changes: Partial<RunFacts> = {
            branch: run.branch,
            inputs: run.go === undefined ? {} : { go: run.go },
          };
          const { outlines, skippedSteps } = planned(textOf(stages), changes, run.changed);
          const expected = oracle(stages, run);
          const core = coreWithAgent();
          const id = core.submit(1, outlines, changes);
          const started = new Set<number>();
          for (let turn = 0; core.state.runs.get(id)?.ended === undefined; turn++) {
            const leased = core.state.runs.get(id)!.stages.filter(({ phase }) => phase.kind === 'leased');
            expect(leased.length, 'a stage that can go on').toBeGreaterThan(0);
            const stage = leased[(order[turn % Math.max(1, order.length)] ?? 0) % leased.length]!;
            const { number } = stage.outline;
            started.add(number);
            const fails = expected[number - 1]?.status === 'failed';
            core.start(core.attempt(id, number));
            core.finish(core.attempt(id, number), fails ? { status: 'failed', failure } : {});
            if (restarts && turn % 3 === 1) {
              core.restart();
              core.beat(core.join(1, { labels: ['executor=host', 'os=linux'], slots: 100 }));
            }
          }
          const view = core.view(id);
          expect(view.stages.map(({ status }) => status)).toEqual(expected.map(({ status }) => status));
          expect([...started].sort((a, b) => a - b)).toEqual(
            expected.flatMap(({ runs }, index) => (runs ? [index + 1] : [])),
          );
          for (const [index, { skipsStep }] of expected.entries()) {
            expect(skippedSteps.get(index + 1)).toEqual(skipsStep ? [2] : []);
          }
          for (const stage of view.stages) {
            expect(stage.whySkipped === null).toBe(stage.status !== 'skipped');
          }
          const isRed = expected.some(
            ({ name, status }) =>
              status === 'failed' && stages.find((stage) => stage.name === name)?.allowFailure === false,
          );
          expect(view.status).toBe(isRed ? 'failed' : 'succeeded');
        },
      ),
      { numRuns: 400 },
    );
  }, 120_000);

  it('start nothing after a cancel, also not what says always()', () => {
    fc.assert(
      fc.property(drawing, runArbitrary, fc.nat(6), (stages, run, at) => {
        const changes: Partial<RunFacts> = { branch: run.branch };
        const { outlines } = planned(textOf(stages), changes, run.changed);
        const core = coreWithAgent();
        const id = core.submit(1, outlines, changes);
        const leased = () =>
          core.state.runs.get(id)?.stages.filter(({ phase }) => phase.kind === 'leased') ?? [];
        for (let turn = 0; turn < at; turn++) {
          const [stage] = leased();
          if (stage === undefined) break;
          core.start(core.attempt(id, stage.outline.number));
          core.finish(core.attempt(id, stage.outline.number));
        }
        if (core.state.runs.get(id)?.ended !== undefined) return;
        const before = core.events.length;
        core.turn({ kind: 'Cancel', run: id, by: 'ada' });
        for (const { outline: one } of leased()) {
          core.start(core.attempt(id, one.number));
          core.finish(core.attempt(id, one.number), {
            status: 'canceled',
            failure: { kind: 'canceled', by: 'ada' },
          });
        }
        const after = core.events.slice(before);
        expect(kinds(after)).not.toContain('StageLeased');
        expect(kinds(after)).not.toContain('ConditionHeld');
        expect(core.state.runs.get(id)?.ended?.status).toBe('canceled');
      }),
      { numRuns: 150 },
    );
  }, 120_000);
});

describe('a step that is left out', () => {
  it('is shown as skipped once a later one has begun', () => {
    const core = coreWithAgent();
    const run = core.submit(1, [outline(1, { steps: ['one', 'two', 'three'] })]);
    core.start(core.attempt(run));
    core.report(core.attempt(run), { kind: 'StepStarted', step: 2, shell: 'sh' });
    const statuses = core.view(run).stages[0]?.steps.map(({ status }) => status);
    expect(statuses).toEqual(['skipped', 'running', 'pending']);
  });
});

describe('a condition after the needs', () => {
  const after = (text: string, answers: Record<string, boolean> = {}) =>
    ({ kind: 'after-needs', text, answers }) as const;

  it('says what it waits for, and why its stage was skipped', () => {
    const core = coreWithAgent();
    const run = core.submit(1, [
      outline(1),
      outline(2, { needs: [1], condition: after('needs.stage1.status == "failed"') }),
      outline(3, { condition: { kind: 'never', text: 'branch == "main"' } }),
      outline(4, { needs: [3] }),
    ]);
    expect(core.reasons(run, 2)).toEqual([
      'it needs stage1, which is about to start',
      'then its condition decides: needs.stage1.status == "failed"',
    ]);
    core.finish(core.attempt(run));
    expect(core.view(run).stages.map(({ status, whySkipped }) => [status, whySkipped])).toEqual([
      ['succeeded', null],
      ['skipped', 'its condition does not hold: needs.stage1.status == "failed"'],
      ['skipped', 'its condition does not hold: branch == "main"'],
      ['skipped', 'it needs stage3, which was skipped'],
    ]);
  });

  it('sees a success that was to be canceled as canceled', () => {
    const core = coreWithAgent();
    const run = core.submit(1, [
      outline(1),
      outline(2, { needs: [1], condition: after('needs.stage1.status == "canceled"') }),
    ]);
    core.turn({ kind: 'Cancel', run, stage: 1, by: 'ada' });
    core.finish(core.attempt(run));
    expect(core.view(run).stages.map(({ status }) => status)).toEqual(['succeeded', 'waiting']);
  });

  it('knows of failures that lie further back, but of none that was allowed', () => {
    const core = coreWithAgent();
    const run = core.submit(1, [
      outline(1),
      outline(2, { needs: [1] }),
      outline(3, { needs: [2], condition: after('failed()') }),
      outline(4, { allowFailure: true }),
      outline(5, { needs: [4], condition: after('failed()') }),
    ]);
    core.finish(core.attempt(run, 1), { status: 'failed', failure });
    core.finish(core.attempt(run, 4), { status: 'failed', failure });
    expect(core.view(run).stages.map(({ status }) => status)).toEqual([
      'failed',
      'skipped',
      'waiting',
      'failed',
      'skipped',
    ]);
  });

  it('waits for all that its needs need, also where one of them was skipped early', () => {
    const core = coreWithAgent();
    const run = core.submit(1, [
      outline(1),
      outline(2),
      outline(3, { needs: [1, 2] }),
      outline(4, { needs: [3], condition: after('failed()') }),
    ]);
    core.turn({ kind: 'Cancel', run, stage: 1, by: 'ada' });
    core.finish(core.attempt(run, 1), { status: 'canceled', failure: { kind: 'canceled', by: 'ada' } });
    expect(core.view(run).stages.map(({ status }) => status)).toEqual([
      'canceled',
      'waiting',
      'skipped',
      'pending',
    ]);
    expect(core.reasons(run, 4)).toEqual([
      'before it, stage2 is about to start',
      'then its condition decides: failed()',
    ]);
    core.finish(core.attempt(run, 2), { status: 'failed', failure });
    expect(core.stage(run, 4).phase.kind).toBe('leased');
  });

  it.each([
    ['needs.gone.status == "failed"', 'needs.gone is not there'],
    ['changed("x")', 'changed(["x"]) was not answered when the run was planned'],
    ['matrix.v == "1"', 'matrix.v is not there'],
    ['1 +', 'it cannot be read'],
    ['branch', 'string is no truth value'],
  ])('that is none of this stage ends it as an invalid pipeline: %s', (text, why) => {
    const core = coreWithAgent();
    const run = core.submit(1, [outline(1, { condition: after(text) })]);
    expect(core.view(run).stages[0]).toMatchObject({
      status: 'failed',
      failure: {
        kind: 'invalid-pipeline',
        message: `the condition \`${text}\` cannot be decided: ${why}`,
      },
    });
    expect(core.view(run).status).toBe('failed');
  });

  it('is evaluated once: a replay takes what came of it from the journal', () => {
    const core = coreWithAgent();
    const run = core.submit(1, [
      outline(1),
      outline(2, { needs: [1], condition: after('needs.stage1.status == "failed"') }),
      outline(3, { needs: [1], condition: after('needs.stage1.status == "succeeded"') }),
    ]);
    core.finish(core.attempt(run, 1), { status: 'failed', failure });
    expect(kinds(core.events).filter((kind) => kind === 'ConditionHeld')).toHaveLength(1);
    // The texts are made unreadable: whoever evaluated them would come to another state.
    const entries = JSON.parse(
      JSON.stringify(core.entries).replaceAll('needs.stage1.status', 'unreadable('),
    ) as Entry[];
    const state = emptyState();
    for (const entry of entries) applyEntry(state, entry);
    const shown = JSON.stringify(plain(core.state)).replaceAll('needs.stage1.status', 'unreadable(');
    expect(JSON.stringify(plain(state))).toBe(shown);
  });
});
