/** Who may vouch for a retry's deployments, and that a retry inherits nobody's word: on the real loop. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Reach } from '../../../coordinator/access/reach.js';
import { retryRun, type RetryOrder } from '../../../coordinator/api/submit.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { plannedStage } from '../../support/agent-world.js';
import { facts, runId, sha } from '../scheduler/ids.js';
import { app } from './deployment-world.js';
import { World } from './world.js';

const admin = {
  name: 'ann',
  role: 'admin',
  right: 'admin',
  reach: new Reach(),
  maySeeSecrets: true,
} as const;
const developer = { ...admin, name: 'bob', role: 'developer', right: 'write' } as const;

let world: World;
beforeEach(async () => {
  world = await new World().start();
  await world.coordinator.perform({
    kind: 'SetProject',
    project: { ...app, settings: defaultProjectSettings },
    isNew: true,
    by: 'ann',
  });
  const of = facts({
    project: app.id,
    projectName: app.name,
    event: 'push',
    trust: 'branch',
    force: { by: 'ann', reason: 'once' },
    verifies: { environment: 'production', deployment: 1, run: runId(9), verification: 1 },
  });
  await world.plans.put({
    v: 1,
    run: runId(1),
    facts: of,
    source: { kind: 'git', url: app.url, commit: of.commit },
    stages: [plannedStage()],
    pipelineText: '',
  });
  await world.coordinator.perform({
    kind: 'Submit',
    run: runId(1),
    digest: sha(1),
    facts: of,
    stages: [],
    failure: { kind: 'invalid-pipeline', message: 'it ends at once' },
  });
});
afterEach(() => world.stop());

const retry = (order: Partial<RetryOrder>) =>
  retryRun(world.services, { of: runId(1), run: runId(2), by: admin, withSecrets: false, ...order });
const planned = () => world.plans.plans.get(runId(2))?.facts;

it('is forced by an admin, who is named with the reason', async () => {
  await retry({ force: ' staging is down ' });
  expect(planned()?.force).toEqual({ by: 'ann', reason: 'staging is down' });
  const accepted = world.entries
    .flatMap(({ entry }) => entry.events)
    .find((event) => event.kind === 'RunAccepted' && event.run === runId(2));
  expect(accepted).toMatchObject({ facts: { force: { by: 'ann', reason: 'staging is down' } } });
});

it('is forced by nobody else, and makes no run then', async () => {
  await expect(retry({ by: developer, force: 'please' })).rejects.toMatchObject({ kind: 'forbidden' });
  await expect(retry({ force: 'x'.repeat(1_001) })).rejects.toMatchObject({ kind: 'invalid' });
  expect(planned()).toBeUndefined();
});

it('has neither the force of the run that it repeats, nor is it the verify that this was', async () => {
  await retry({ by: developer });
  expect(planned()).toBeDefined();
  expect(planned()).not.toHaveProperty('force');
  expect(planned()).not.toHaveProperty('verifies');
});

it('is another request with a force than without', async () => {
  await retry({});
  await expect(retry({ force: 'staging is down' })).rejects.toThrow(/other content/);
  expect(await retry({})).toMatchObject({ again: true });
});
