/** What a push run takes over from the gate's: equal stages that succeeded, with all that they need. */
import { describe, expect, it } from 'vitest';
import { checkLease } from '../../../coordinator/api/leases.js';
import { takenStages } from '../../../coordinator/api/take-over.js';
import { assignmentOf } from '../../../coordinator/scheduler/assignment.js';
import { attemptResults, type AttemptResult } from '../../../coordinator/history/record.js';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { outlineOf } from '../../../coordinator/pipeline/outline.js';
import { planRun } from '../../../coordinator/pipeline/plan-run.js';
import type { PlannedStage, RunFacts } from '../../../shared/model/pipeline.js';
import { runView } from '../../../coordinator/scheduler/views.js';
import { Core, facts, runId, sha, submission } from '../scheduler/core.js';

const text = `
image: busybox
stages:
  lint: { steps: [lint] }
  test: { needs: [lint], steps: [test], artifacts: { report: out } }
  onlyPush: { if: event == "push", steps: [x] }
  after: { needs: [onlyPush], steps: [y] }
  half:
    steps:
      - always
      - { run: push, if: event == "push" }
`;

function planned(event: RunFacts['event']): readonly PlannedStage[] {
  const compiled = compilePipeline(text, { file: '.gantry.yml' });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.diagnostics));
  return planRun(compiled, { event, commit: facts().commit, inputs: {}, branch: 'main' });
}

/** A gate's run of it, played to its end; `fails` by name. */
function gateRun(fails: readonly string[] = []) {
  const core = new Core();
  const agent = core.join(1, { slots: 5, trust: ['change', 'branch'], labels: ['images', 'os=linux'] });
  const stages = planned('gate').map(outlineOf);
  // A gate's own runs need an entry: to the core it is one of any kind.
  const run = core.submit(1, stages, { event: 'push', trust: 'branch' });
  for (let open = true; open;) {
    open = false;
    for (const stage of core.state.runs.get(run)!.stages) {
      if (stage.phase.kind !== 'leased') continue;
      open = true;
      const attempt = stage.attempts.at(-1)!;
      core.start(attempt);
      core.report(attempt, { kind: 'ImageResolved', image: 'base', digest: 'sha256:base' });
      if (stage.outline.name === 'test')
        core.report(attempt, { kind: 'ImageResolved', image: 'app', digest: 'app@sha256:1', built: true });
      core.report(attempt, { kind: 'StepStarted', step: 1, shell: 'sh' });
      core.report(attempt, { kind: 'StepFinished', step: 1, exitCode: 0, durationMs: 5 });
      core.finish(attempt, {
        logs: [{ step: 1, bytes: 3, sha256: sha(3) }],
        ...(stage.outline.name === 'test' ? { manifest: { sha256: sha(9), bytes: 9 } } : {}),
        ...(fails.includes(stage.outline.name)
          ? { status: 'failed', failure: { kind: 'exit-code', step: 1, exitCode: 1 } }
          : {}),
      });
      core.beat(agent);
    }
  }
  const found = core.state.runs.get(run)!;
  const results: readonly AttemptResult[] = attemptResults(found);
  return {
    found: { view: runView(core.state, core.presence, found, core.now), results },
    plan: { stages: planned('gate') },
  };
}

const namesOf = (taken: ReturnType<typeof takenStages>): readonly string[] =>
  taken.map(({ stage }) => planned('push')[stage - 1]!.name).sort();

describe('taken over', () => {
  it('are equal stages with what they need; not what the kind of the run decides', () => {
    expect(namesOf(takenStages(planned('push'), gateRun()))).toEqual(['lint', 'test']);
  });

  it('is nothing behind a stage that failed', () => {
    expect(namesOf(takenStages(planned('push'), gateRun(['lint'])))).toEqual([]);
    expect(namesOf(takenStages(planned('push'), gateRun(['test'])))).toEqual(['lint']);
  });

  it('is nothing that is defined otherwise', () => {
    const changed = planned('push').map((stage) =>
      stage.name === 'lint' ? { ...stage, env: { A: '1' } } : stage,
    );
    expect(namesOf(takenStages(changed, gateRun()))).toEqual([]);
  });
});

describe('a run with taken stages', () => {
  const taken = takenStages(planned('push'), gateRun());
  const accepted = (): Core => {
    const core = new Core();
    core.join(1, { slots: 5, labels: ['images', 'os=linux'] });
    core.turn({
      ...submission(2, planned('push').map(outlineOf), { event: 'push', trust: 'branch' }),
      taken,
    });
    return core;
  };

  it('shows them as what they were, leases the others, and survives a restart', () => {
    const core = accepted();
    const [lint, test, only] = core.view(runId(2)).stages;
    expect(lint).toMatchObject({
      status: 'succeeded',
      attempts: [{ takenFrom: runId(1), status: 'succeeded' }],
      steps: [{ status: 'succeeded' }],
    });
    expect(test).toMatchObject({ status: 'succeeded' });
    expect(only).toMatchObject({ status: 'waiting', attempts: [{ takenFrom: null }] });
    core.restart();
    expect(core.view(runId(2)).stages[0]).toEqual(lint);
  });

  it('gives the agent that made them no lease of it: it may be told what the gate’s run was not', async () => {
    const { state } = accepted();
    const attempt = state.runs.get(runId(2))!.stages[0]!.attempts[0]!;
    const coordinator = {
      read: (look: (committed: unknown) => unknown) => Promise.resolve(look({ state })),
    } as never; // What a lease is looked up in.
    const ref = { run: runId(2), stage: 1, attempt: 1 };
    await expect(checkLease({ coordinator }, attempt.agent, ref, attempt.token)).rejects.toMatchObject({
      kind: 'forbidden',
    });
  });

  it('ends at once when nothing is left to do', () => {
    const core = new Core();
    const stages = planned('push').filter(({ name }) => name === 'lint' || name === 'test');
    core.turn({ ...submission(2, stages.map(outlineOf), { event: 'push', trust: 'branch' }), taken });
    expect(core.view(runId(2)).status).toBe('succeeded');
  });

  it('gives their artifacts, and the images that they built, to the stages behind them', () => {
    const core = new Core();
    core.join(1, { slots: 5, labels: ['images', 'os=linux'] });
    const [, test] = planned('push');
    const behind: PlannedStage = { ...test!, number: 6, name: 'behind', needs: [2] };
    const stages = [...planned('push').slice(0, 2), behind];
    core.turn({ ...submission(2, stages.map(outlineOf), { event: 'push', trust: 'branch' }), taken });
    const plan = {
      v: 1,
      run: runId(2),
      facts: facts(),
      source: { kind: 'git', url: 'u', commit: facts().commit },
      stages,
      pipelineText: '',
    } as const;
    const assignment = assignmentOf(core.state, plan, { run: runId(2), stage: 6, attempt: 1 });
    expect(assignment?.needs).toEqual([
      { stage: 2, attempt: 1, title: 'test', manifest: { sha256: sha(9), bytes: 9 } },
    ]);
    expect(assignment?.images).toEqual({ app: 'app@sha256:1' });
    expect(core.stage(runId(2), 2).attempts[0]?.from).toEqual({ run: runId(1), stage: 2, attempt: 1 });
  });
});
