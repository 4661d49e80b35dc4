/** The runs that rollbacks and verifies make. */
import { describe, expect, it } from 'vitest';
import { rollbackPlan } from '../../../coordinator/deploying/rollback-plan.js';
import { verifyPlan, verifyRunId, type Verify } from '../../../coordinator/deploying/verify-plan.js';
import { outlineOf } from '../../../coordinator/pipeline/outline.js';
import { projectId, runId, sha } from '../scheduler/ids.js';
import { commit, knownRun, manifest, planned, planOf, reported, step } from './stages.js';

const plan = planOf(
  1,
  [
    planned(1, { name: 'package' }),
    planned(2, { name: 'lint' }),
    planned(4, {
      name: 'staging',
      needs: [1, 2],
      environment: 'staging',
      image: 'alpine:3',
      services: [
        { name: 'db', image: 'postgres:16', env: {} },
        { name: 'fake', image: 'local:1', env: {} },
      ],
      env: { LEVEL: '1' },
      secrets: [{ variable: 'TOKEN', secret: 'TOKEN' }],
      steps: [step(1, { env: { URL: 'x' } })],
      verify: ['./smoke.sh\n', 'curl -f "$GANTRY_ENVIRONMENT_URL"'],
      condition: { kind: 'after-needs', text: 'true', answers: {} },
      inputs: [
        {
          stage: 7,
          title: 'old',
          from: { run: runId(8), stage: 7, attempt: 1 },
          manifest: manifest(77),
        },
      ],
    }),
  ],
  {
    before: commit,
    force: { by: 'ada', reason: 'it burns' },
    title: 'Fix the parser',
    message: 'Fix the parser\n\nAll of it',
  },
);
const old = knownRun(plan, {
  results: [
    { stage: 1, attempt: 1, logs: [], archived: true },
    { stage: 1, attempt: 2, manifest: manifest(12), logs: [], archived: true },
    { stage: 2, attempt: 1, logs: [], archived: true },
  ],
  events: [
    reported(4, { kind: 'ImageResolved', image: 'alpine:3', digest: `docker.io/alpine@sha256:${sha(1)}` }),
    reported(4, { kind: 'ImageResolved', image: 'local:1', digest: `sha256:${sha(2)}` }),
  ],
});
const effect = { environment: 'staging', run: runId(5), ofRun: runId(1), ofStage: 4, by: 'grace' } as const;
const planFor = (changes: Partial<typeof old> = {}) => {
  const made = rollbackPlan(effect, { ...old, ...changes });
  if (made.kind !== 'plan') throw new Error(made.message);
  return made.plan;
};

describe('the run of a rollback', () => {
  it('is the one stage as it was, with its number, and nothing that it waits for', () => {
    const { run, stages, source, pipelineText, notify } = planFor();
    expect({ run, source, pipelineText, notify }).toEqual({
      run: runId(5),
      source: plan.source,
      pipelineText: plan.pipelineText,
      notify: undefined,
    });
    const { needs: _, condition: __, image: ___, inputs: ____, ...rest } = plan.stages[2]!;
    expect(stages).toEqual([
      expect.objectContaining({ ...rest, needs: [], image: `docker.io/alpine@sha256:${sha(1)}` }),
    ]);
    expect(stages[0]).not.toHaveProperty('condition');
    expect(outlineOf(stages[0]!)).toMatchObject({ number: 4, environment: 'staging', needs: [] });
  });

  it('takes artifacts from where they are, of the attempts that were accepted', () => {
    const here = { run: runId(1), stage: 1, attempt: 2 };
    const own = plan.stages[2]!.inputs![0];
    expect(planFor().stages[0]?.inputs).toEqual([
      { stage: 1, title: 'package', from: here, manifest: manifest(12) },
      own,
    ]);
    const from = { run: runId(3), stage: 6, attempt: 1 };
    const taken = [{ stage: 1, attempt: 1, from, manifest: manifest(12), logs: [], archived: true }];
    expect(planFor({ results: taken }).stages[0]?.inputs?.[0]?.from).toEqual(from);
  });

  it('has images by digest, where a registry has them', () => {
    expect(planFor().stages[0]?.services.map(({ image }) => image)).toEqual(['postgres:16', 'local:1']);
  });

  it('says who asked for it, and carries nobody’s word for what it deploys', () => {
    const { facts } = planFor();
    expect(facts).toMatchObject({
      event: 'manual',
      trust: 'branch',
      branch: 'main',
      by: 'grace',
      commit,
      title: `roll back staging to ${commit.slice(0, 12)} "Fix the parser"`,
    });
    expect(facts).not.toHaveProperty('force');
    expect(facts).not.toHaveProperty('before');
  });

  it('is not made of a stage that deploys elsewhere, or is not there', () => {
    expect(rollbackPlan({ ...effect, environment: 'production' }, old).kind).toBe('impossible');
    expect(rollbackPlan({ ...effect, ofStage: 3 }, old).kind).toBe('impossible');
  });
});

describe('the run of a verify', () => {
  const asked: Verify = {
    kind: 'Verify',
    project: projectId(1),
    environment: 'staging',
    deployment: 3,
    run: runId(1),
    stage: 4,
    verification: 2,
    failures: 0,
    commit,
    commands: ['./all.sh'],
  };
  const made = (url?: string) => {
    const planning = verifyPlan(asked, old, url);
    if (planning.kind !== 'plan') throw new Error(planning.message);
    return planning.plan;
  };

  it('asks what the stage and the environment ask, where the stage ran', () => {
    const { stages, facts, source } = made('https://staging.example.org');
    const [only, ...others] = stages;
    expect(others).toEqual([]);
    expect(only?.steps.map(({ number, run }) => ({ number, run }))).toEqual([
      { number: 1, run: './smoke.sh\n' },
      { number: 2, run: 'curl -f "$GANTRY_ENVIRONMENT_URL"' },
      { number: 3, run: './all.sh' },
    ]);
    expect(only).toMatchObject({
      name: 'verify',
      image: `docker.io/alpine@sha256:${sha(1)}`,
      labels: ['os=linux'],
      secrets: [{ variable: 'TOKEN', secret: 'TOKEN' }],
      env: {
        LEVEL: '1',
        GANTRY_ENVIRONMENT: 'staging',
        GANTRY_ENVIRONMENT_URL: 'https://staging.example.org',
      },
    });
    expect(only?.inputs?.map(({ stage }) => stage)).toEqual([1, 7]);
    expect(source.commit).toBe(commit);
    expect(facts).toMatchObject({
      event: 'manual',
      trust: 'branch',
      verifies: { environment: 'staging', deployment: 3, run: asked.run, verification: 2 },
    });
  });

  it('deploys nothing itself', () => {
    expect(outlineOf(made().stages[0]!)).not.toHaveProperty('environment');
    expect(made().stages[0]).not.toHaveProperty('verify');
    expect(made().stages[0]?.env).not.toHaveProperty('GANTRY_ENVIRONMENT_URL');
  });

  it('is one run for each try of each verification', () => {
    const ids = [
      asked,
      { ...asked, failures: 1 },
      { ...asked, verification: 3 },
      { ...asked, deployment: 4 },
      { ...asked, environment: 'production' },
      { ...asked, project: projectId(2) },
      // The environment was removed and added again, and counts from 1: the former one's verify says nothing of it.
      { ...asked, run: runId(77) },
      { ...asked, stage: 8 },
    ].map(verifyRunId);
    expect(new Set(ids).size).toBe(8);
    expect(made().run).toBe(ids[0]);
    expect(verifyRunId({ ...asked, commands: ['other'] })).toBe(ids[0]);
  });
});
