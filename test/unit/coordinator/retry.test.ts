/** Which secrets a retry gives: on the real loop, with a plan store in memory. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Reach } from '../../../coordinator/access/reach.js';
import { retryRun, type RetryOrder } from '../../../coordinator/api/submit.js';
import { projectOf } from '../../../shared/git/repository-url.js';
import type { Plan, RunFacts } from '../../../shared/model/pipeline.js';
import { plannedStage } from '../../support/agent-world.js';
import { facts, runId, sha } from '../scheduler/ids.js';
import { World } from './world.js';

const project = projectOf('example.org/app');
const admin = {
  name: 'root',
  role: 'admin',
  right: 'write',
  reach: new Reach([], []),
  maySeeSecrets: false,
} as const;
const developer = { ...admin, name: 'bob', role: 'developer' } as const;

let world: World;
beforeEach(async () => {
  world = await new World().start();
});
afterEach(() => world.stop());

/** Run 1: a tree that eve sent, ended, whose stage names a secret. */
async function ended(changes: Partial<RunFacts> = {}): Promise<void> {
  const of = facts({
    project: project.id,
    projectName: project.name,
    event: 'submit',
    trust: 'submit',
    by: 'eve',
    maySeeSecrets: false,
    ...changes,
  });
  const stages = [plannedStage({ secrets: [{ variable: 'TOKEN', secret: 'TOKEN' }] })];
  const source = { kind: 'git', url: 'https://example.org/app.git', commit: of.commit } as const;
  const plan: Plan = { v: 1, run: runId(1), facts: of, source, stages, pipelineText: '' };
  await world.plans.put(plan);
  await world.coordinator.perform({
    kind: 'Submit',
    run: runId(1),
    digest: sha(1),
    facts: of,
    stages: [],
    failure: { kind: 'invalid-pipeline', message: 'it ends at once' },
  });
}

async function retried(order: Partial<RetryOrder> = {}) {
  const { run, warnings } = await retryRun(world.services, {
    of: runId(1),
    run: runId(2),
    by: admin,
    withSecrets: false,
    ...order,
  });
  return { sees: world.plans.plans.get(run)?.facts.maySeeSecrets, warnings };
}

it('gives none to a tree that had none, although whoever retries may use them, and says how', async () => {
  await ended();
  const { sees, warnings } = await retried();
  expect(sees).toBe(false);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/secret TOKEN stays closed .* read what eve has it do .* --with-secrets/);
});

it('gives none to the retry of a retry either, which is by somebody who may use them', async () => {
  await ended();
  await retried();
  await world.coordinator.perform({ kind: 'Cancel', run: runId(2), by: 'root' });
  expect(await retried({ of: runId(2), run: runId(3) })).toMatchObject({ sees: false });
});

it('gives them when told to, by somebody who may', async () => {
  await ended();
  expect(await retried({ withSecrets: true })).toEqual({ sees: true, warnings: [] });
  const asked = retried({ run: runId(3), by: developer, withSecrets: true });
  await expect(asked).rejects.toThrow('bob may not give secrets');
});

it('gives them to what had them, unless whoever retries may not use them', async () => {
  await ended({ maySeeSecrets: true });
  expect(await retried()).toEqual({ sees: true, warnings: [] });
  expect(await retried({ run: runId(3), by: developer })).toEqual({
    sees: false,
    warnings: ['secret TOKEN stays closed to this run: you may not use secrets'],
  });
});

it('is another request with secrets than without', async () => {
  await ended();
  await retried();
  await expect(retried({ withSecrets: true })).rejects.toThrow('exists with other content');
});
