/** Which stages of a run deploy, and which it leaves out. */
import { describe, expect, it } from 'vitest';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { outlineOf } from '../../../coordinator/pipeline/outline.js';
import { planRun } from '../../../coordinator/pipeline/plan-run.js';
import type { PlannedStage, TriggerKind } from '../../../shared/model/pipeline.js';
import { facts } from '../scheduler/ids.js';

const text = `
stages:
  announce: { needs: [staging], if: always(), steps: [tell] }
  test: { steps: [make] }
  staging:
    needs: [test]
    matrix: { part: [web] }
    environment: staging
    steps: [deploy]
    verify: ["./smoke.sh \${{ matrix.part }}", ./more.sh]
  after: { needs: [announce], steps: [x] }
`;

function planned(event: TriggerKind): readonly PlannedStage[] {
  const compiled = compilePipeline(text, { file: 'f' });
  if (!compiled.ok) throw new Error(compiled.diagnostics.map(({ message }) => message).join('; '));
  return planRun(compiled, { event, commit: facts().commit, inputs: {} });
}

const left = (event: TriggerKind): readonly string[] =>
  planned(event)
    .filter(({ condition }) => condition?.kind === 'never')
    .map(({ name }) => name);

describe('a stage with an environment', () => {
  it('has it and its verify in the plan, and the environment in what the scheduler knows', () => {
    const stage = planned('push').find(({ name }) => name === 'staging')!;
    expect(stage).toMatchObject({ environment: 'staging', verify: ['./smoke.sh web', './more.sh'] });
    expect(outlineOf(stage)).toMatchObject({ environment: 'staging' });
    expect(outlineOf(planned('push')[1]!)).not.toHaveProperty('environment');
  });

  it.each(['push', 'tag', 'schedule', 'manual'] as const)('runs in a run of kind %s', (event) => {
    expect(left(event)).toEqual([]);
  });

  it.each(['change', 'gate', 'submit'] as const)(
    'is left out in a run of kind %s, and all that needs it, whatever its condition',
    (event) => {
      expect(left(event)).toEqual(['announce', 'staging', 'after']);
    },
  );
});
