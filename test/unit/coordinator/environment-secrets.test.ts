/** Who gets the secrets of an environment: a deployment while it has the environment for itself, and nobody else. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listSecrets, removeSecret, setSecret } from '../../../coordinator/api/project-secrets.js';
import { removeEnvironment, setEnvironment } from '../../../coordinator/api/environments.js';
import { secretsFor } from '../../../coordinator/api/secrets.js';
import { deploymentSecrets } from '../../../coordinator/secrets/scoped-secrets.js';
import { defaultEnvironmentSettings } from '../../../shared/model/environment.js';
import type { ProjectId, RunId, Token } from '../../../shared/model/ids.js';
import type { PlannedStage, RunFacts } from '../../../shared/model/pipeline.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { agentId, runId } from '../scheduler/ids.js';
import { app, DeploymentWorld } from './deployment-world.js';

const ofProject = 'the-projects-own-value';
const ofProduction = 'the-value-of-production';
const use = { variable: 'DB_PASSWORD', secret: 'DB_PASSWORD' };
const stage: Partial<PlannedStage> = { secrets: [use] };

let world: DeploymentWorld;
let vault: MemoryVault;
let amended: (readonly [ProjectId, string | undefined])[];
beforeEach(async () => {
  world = await new DeploymentWorld().start();
  vault = new MemoryVault();
  amended = [];
  await world.set('production');
  await world.set('staging');
});
afterEach(() => world.stop());

const services = () => ({
  coordinator: world.world.coordinator,
  plans: world.world.plans,
  vault,
  deploying: {
    amend: (project: ProjectId, environment?: string) => {
      amended.push([project, environment]);
      return Promise.resolve();
    },
  },
});
const set = (name: string, value: string, environment?: string) =>
  setSecret(services(), {
    project: app,
    name,
    value,
    by: 'ann',
    ...(environment === undefined ? {} : { environment }),
  });
const ask = (run: RunId, token: Token) =>
  secretsFor(services(), { agent: agentId(1), ref: { run, stage: 1, attempt: 1 }, token, isPrivate: true });
const valuesOf = async (run: RunId, token: Token) => Object.fromEntries((await ask(run, token)).values);

describe('a deployment', () => {
  beforeEach(async () => {
    await set('DB_PASSWORD', ofProject);
    await set('DB_PASSWORD', ofProduction, 'production');
    await world.world.join(1);
  });

  it('gets its environment’s, and those of the project that the environment has not', async () => {
    const there = await world.deploy(1, 'production', { stage });
    expect(await valuesOf(there, await world.leased(there))).toEqual({ DB_PASSWORD: ofProduction });
    const elsewhere = await world.deploy(2, 'staging', { stage });
    expect(await valuesOf(elsewhere, await world.leased(elsewhere))).toEqual({ DB_PASSWORD: ofProject });
  });

  it('has them while it runs, and not any more when it has ended', async () => {
    const run = await world.deploy(1, 'production', { stage });
    const token = await world.leased(run);
    await world.begin(run);
    expect(await valuesOf(run, token)).toEqual({ DB_PASSWORD: ofProduction });
    await world.finish(run);
    const after = await ask(run, token);
    expect(after.values.size).toBe(0);
    expect(after.refused).toMatchObject({ secret: 'DB_PASSWORD' });
    expect(after.refused?.why).toContain('gantry environments show production');
  });

  it('gets none of either scope in a run that may see none', async () => {
    const run = await world.deploy(1, 'production', { stage, facts: { maySeeSecrets: false } });
    const answer = await ask(run, await world.leased(run));
    expect(answer.values.size).toBe(0);
    expect(answer.refused?.secret).toBe('DB_PASSWORD');
    expect(JSON.stringify([...answer.values, answer.refused])).not.toMatch(/the-/);
  });

  it('is told where to set one that there is in neither scope', async () => {
    const other = { variable: 'KEY', secret: 'KEY' };
    const run = await world.deploy(1, 'production', { stage: { secrets: [other] } });
    const { refused } = await ask(run, await world.leased(run));
    expect(refused?.why).toContain('gantry secrets set example.org/app KEY --environment production');
  });
});

describe('whoever has no deployment', () => {
  beforeEach(async () => {
    await set('DB_PASSWORD', ofProject);
    await set('DB_PASSWORD', ofProduction, 'production');
    await world.world.join(1);
  });

  /** Leased as if it deployed, with a plan that says where. */
  async function leased(planned: Partial<PlannedStage>, facts: Partial<RunFacts> = {}) {
    const run = await world.deploy(1, 'staging', { stage: { ...stage, ...planned }, facts });
    return { run, token: await world.leased(run) };
  }

  it('gets none, though the plan names the environment', async () => {
    const { run, token } = await leased({ environment: 'production' });
    const answer = await ask(run, token);
    expect(answer.values.size).toBe(0);
    expect(answer.refused?.why).toContain('deploys to production');
  });

  it('gets the project’s alone, where the stage has no environment', async () => {
    const { plans } = world.world;
    const { run, token } = await leased({});
    const plan = plans.plans.get(run)!;
    const { environment: _, ...without } = plan.stages[0]!;
    await plans.put({ ...plan, stages: [without] });
    expect(await valuesOf(run, token)).toEqual({ DB_PASSWORD: ofProject });
    await removeSecret(services(), { project: app, name: 'DB_PASSWORD', by: 'ann' });
    expect((await ask(run, token)).refused?.why).not.toContain('--environment');
  });
});

describe('the verify of a deployment', () => {
  /** Run 2 is the n-th verification of deployment 1, which run 1 has just brought to production. */
  async function verifies(
    n: number,
    of: RunId = runId(1),
  ): Promise<{ readonly run: RunId; readonly token: Token }> {
    const run = await world.deploy(1, 'production', { stage, record: { verifies: true } });
    await world.begin(run);
    await world.finish(run);
    const facts = {
      event: 'manual',
      verifies: { environment: 'production', deployment: 1, run: of, verification: n },
    } as const;
    const { run: verify } = await world.submit(2, { stage, facts });
    return { run: verify, token: await world.leased(verify) };
  }
  beforeEach(async () => {
    await set('DB_PASSWORD', ofProduction, 'production');
    await world.world.join(1);
  });

  it('gets what its deployment did, as long as that waits for it', async () => {
    const { run, token } = await verifies(1);
    expect(await valuesOf(run, token)).toEqual({ DB_PASSWORD: ofProduction });
    await world.tell({
      kind: 'VerifyAnswered',
      project: app.id,
      environment: 'production',
      deployment: 1,
      verification: 1,
      answer: { kind: 'good' },
    });
    const after = await ask(run, token);
    expect(after.values.size).toBe(0);
    expect(after.refused?.why).toMatch(/no deployment waits for this verify/);
  });

  it('gets nothing when its deployment was of a former environment of the name', async () => {
    const { run, token } = await verifies(1, runId(9));
    expect((await ask(run, token)).values.size).toBe(0);
  });

  it('gets nothing when it is another verification', async () => {
    const { run, token } = await verifies(2);
    expect((await ask(run, token)).values.size).toBe(0);
  });
});

describe('people', () => {
  it('set them for an environment that there is', async () => {
    await expect(set('KEY', 'long enough', 'nowhere')).rejects.toThrow(
      /no environment "nowhere".*environments add/,
    );
    expect(await set('KEY', 'long enough', 'production')).toMatchObject({
      name: 'KEY',
      environment: 'production',
      changedBy: 'ann',
    });
    await set('KEY', 'of the project');
    const all = await listSecrets(services(), { project: app });
    expect(all.map(({ name, environment }) => [name, environment])).toEqual([
      ['KEY', undefined],
      ['KEY', 'production'],
    ]);
    const own = await listSecrets(services(), { project: app, environment: 'production' });
    expect(own.map(({ name }) => name)).toEqual(['KEY']);
  });

  it('make what waits to be deployed another thing by that, and the audit names the scope', async () => {
    await set('KEY', 'long enough', 'production');
    await set('KEY', 'long enough');
    await removeSecret(services(), { project: app, environment: 'production', name: 'KEY', by: 'ann' });
    expect(amended).toEqual([
      [app.id, 'production'],
      [app.id, undefined],
      [app.id, 'production'],
    ]);
    const subjects = world.world.entries
      .flatMap(({ entry }) => entry.events)
      .flatMap((event) => (event.kind === 'Audited' ? [`${event.action} ${event.subject}`] : []));
    expect(subjects).toEqual(['secret.set production/KEY', 'secret.set KEY', 'secret.remove production/KEY']);
  });

  it('remove one of them and leave the other', async () => {
    await set('KEY', 'of the project');
    await set('KEY', 'of production', 'production');
    await removeSecret(services(), { project: app, environment: 'production', name: 'KEY', by: 'ann' });
    const remove = removeSecret(services(), {
      project: app,
      environment: 'production',
      name: 'KEY',
      by: 'ann',
    });
    await expect(remove).rejects.toThrow(/environment production has no secret "KEY"/);
    expect(await deploymentSecrets(vault, app.id, 'production', ['KEY', 'OTHER'])).toEqual(
      new Map([['KEY', 'of the project']]),
    );
  });

  it('remove an environment with its secrets: one of the same name later has none of them', async () => {
    await set('KEY', 'of production', 'production');
    await set('KEY', 'of staging', 'staging');
    const at = { project: app, environment: 'production' };
    await removeEnvironment(services(), at, 'ann');
    const settings = () => defaultEnvironmentSettings;
    await setEnvironment(services(), at, { isNew: true, settings, by: 'ann' });
    expect((await deploymentSecrets(vault, app.id, 'production', ['KEY'])).size).toBe(0);
    expect((await deploymentSecrets(vault, app.id, 'staging', ['KEY'])).size).toBe(1);
  });
});
