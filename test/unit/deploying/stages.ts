/** Stages, runs and reports for tests of deployments. */
import type { KnownRun } from '../../../coordinator/deploying/runs.js';
import type { RunEvent } from '../../../coordinator/history/record.js';
import type { Report } from '../../../shared/model/event.js';
import { parseCommitId, type CommitId } from '../../../shared/model/ids.js';
import type { Plan, PlannedStage, PlannedStep } from '../../../shared/model/pipeline.js';
import { facts, runId, sha, token } from '../scheduler/ids.js';

export const commit: CommitId = parseCommitId('1'.repeat(40))!;

export const step = (number: number, changes: Partial<PlannedStep> = {}): PlannedStep => ({
  number,
  name: `step ${number}`,
  run: `./step ${number}`,
  env: {},
  ...changes,
});

export const planned = (number: number, changes: Partial<PlannedStage> = {}): PlannedStage => ({
  number,
  name: `stage${number}`,
  cell: {},
  needs: [],
  labels: ['os=linux'],
  env: {},
  services: [],
  timeoutMs: 60_000,
  allowFailure: false,
  maxAttempts: 3,
  steps: [step(1)],
  artifacts: [],
  ...changes,
});

export const planOf = (
  n: number,
  stages: readonly PlannedStage[],
  changes: Partial<Plan['facts']> = {},
): Plan => ({
  v: 1,
  run: runId(n),
  facts: facts({ event: 'push', trust: 'branch', branch: 'main', maySeeSecrets: true, ...changes }),
  source: { kind: 'git', url: 'https://example.org/app', commit, ref: 'refs/heads/main' },
  stages,
  pipelineText: 'stages: {}',
});

export const knownRun = (plan: Plan, changes: Partial<KnownRun> = {}): KnownRun => ({
  plan,
  results: [],
  events: [],
  end: undefined,
  ...changes,
});

export const reported = (stage: number, report: Report, { attempt = 1, run = runId(1) } = {}): RunEvent => ({
  sequence: 1,
  at: 1,
  event: { kind: 'AttemptReported', run, stage, attempt, token: token(1), n: 1, at: 1, report },
});

export const manifest = (n: number) => ({ sha256: sha(n), bytes: 10 });
