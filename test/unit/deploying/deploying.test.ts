/** Delivery's hands on the real loop: deployments are described and asked for, rollbacks and verifies get their runs, people are told. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deploymentSecrets, secretSlot } from '../../../coordinator/secrets/scoped-secrets.js';
import { deployingOf } from '../../../coordinator/deploying/assemble.js';
import { Describing } from '../../../coordinator/deploying/describe.js';
import { knownRuns, type KnownRuns } from '../../../coordinator/deploying/runs.js';
import { Deploying } from '../../../coordinator/deploying/deploying.js';
import { keyedHash, recordKey } from '../../../coordinator/deploying/keyed-hash.js';
import { digestOf, startRun } from '../../../coordinator/api/start-run.js';
import type { DeliveryCommand, DeliveryEffect } from '../../../coordinator/delivery/command.js';
import { findEnded, findEnvironment, type Environment } from '../../../coordinator/delivery/state.js';
import type { DeliveryNews } from '../../../coordinator/feedback/delivery-teller.js';
import type { Effect } from '../../../coordinator/scheduler/command.js';
import { findAttempt, findStage } from '../../../coordinator/scheduler/state.js';
import { BlobError } from '../../../shared/blob/blob-error.js';
import { manifestKey } from '../../../shared/blob/layout.js';
import type { Manifest } from '../../../shared/model/artifact.js';
import {
  defaultEnvironmentSettings,
  type CommitOrder,
  type EnvironmentSettings,
} from '../../../shared/model/environment.js';
import { parseSha256, type AttemptRef, type RunId } from '../../../shared/model/ids.js';
import type { Plan, PlannedStage } from '../../../shared/model/pipeline.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { eventually } from '../../support/eventually.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { World } from '../coordinator/world.js';
import { agentId, instanceId, projectId, runId, sha } from '../scheduler/ids.js';
import { commit, knownRun, planned, planOf } from './stages.js';

const project = projectId(1);
const staging = { project, environment: 'staging' };
const secretsKey = Buffer.alloc(32, 3);

let world: World;
let vault: MemoryVault;
let stopped: AbortController;
let deploying: Deploying;
let told: DeliveryNews[];
let order: () => Promise<CommitOrder>;
let submitted: Plan[];

beforeEach(async () => {
  world = await new World().start();
  vault = new MemoryVault();
  stopped = new AbortController();
  told = [];
  submitted = [];
  order = () => Promise.resolve('newer');
  deploying = deployingOf({
    ...partsOf(world),
    repositories: { of: () => ({ order: () => order() }) as never },
    secretsKey,
    secrets: (...of) => deploymentSecrets(vault, ...of),
    submit: async (plan, content) => {
      submitted.push(plan);
      await startRun(world.services, { plan, digest: digestOf(content) });
      return 'accepted';
    },
    tell: (news) => {
      told.push(news);
      return Promise.resolve();
    },
    signal: stopped.signal,
  });
  await world.coordinator.perform({
    kind: 'SetProject',
    project: {
      id: project,
      name: 'app',
      url: '/srv/app.git',
      settings: { ...defaultProjectSettings, defaultBranch: 'main' },
    },
    isNew: true,
    by: 'ada',
  });
  await world.coordinator.perform({
    kind: 'RegisterAgent',
    agent: agentId(1),
    instance: instanceId(1),
    name: 'one',
    labels: ['executor=host', 'os=linux'],
    slots: 4,
    projects: [],
    trust: ['branch'],
    keyHash: sha(1),
    version: '1',
    joinedBy: 'a test',
  });
  await world.beat(1, []);
});
afterEach(async () => {
  stopped.abort();
  await world.stop();
});

const partsOf = ({ coordinator, plans, services, events, blobs, log }: World) => ({
  coordinator: () => coordinator,
  plans,
  history: services.history,
  events,
  blobs,
  log,
});

const isOurs = (effect: Effect): effect is Extract<Effect, { kind: 'Delivery' | 'DescribeDeployment' }> =>
  effect.kind === 'Delivery' || effect.kind === 'DescribeDeployment';

/** Performs what the loop wants of delivery meanwhile. */
const until = <T>(what: string, ask: () => T | undefined | false | Promise<T | undefined | false>) =>
  eventually(what, () => {
    for (const effect of world.effects.splice(0).filter(isOurs)) deploying.perform(effect);
    return ask();
  });

const settings = (changes: Partial<EnvironmentSettings> = {}): Promise<unknown> =>
  deliver({
    kind: 'SetEnvironment',
    ...staging,
    settings: { ...defaultEnvironmentSettings, ...changes },
    by: 'ada',
  });

const deliver = (command: DeliveryCommand) => world.coordinator.perform({ kind: 'Delivery', command });

/** The last look at it, copied: the state is not to be kept. */
const look = <T>(what: (environment: Environment) => T): Promise<T> =>
  world.coordinator.read(({ state }) => structuredClone(what(findEnvironment(state.deliveries, staging)!)));

const stageIs = (run: RunId, stage: number) =>
  world.coordinator.read(({ state }) => {
    const phase = findStage(state, run, stage)?.phase;
    return phase?.kind === 'ended' ? `${phase.status} ${JSON.stringify(phase.failure ?? {})}` : phase?.kind;
  });

async function submit(n: number, stages: readonly PlannedStage[], changes: Partial<Plan['facts']> = {}) {
  const plan = planOf(n, stages, { title: `change ${n}`, ...changes });
  await startRun(world.services, { plan, digest: sha(n) });
  return plan.run;
}

/** Its agent takes the stage and ends it, with an artifact if one is named. */
async function work(
  run: RunId,
  stage: number,
  ends: { readonly artifact?: number; readonly built?: string } = {},
): Promise<void> {
  const ref: AttemptRef = { run, stage, attempt: 1 };
  await until(`stage ${stage} of ${run} is leased`, () =>
    world.coordinator.read(({ state }) => findAttempt(state, ref) !== undefined),
  );
  await world.report(ref, { kind: 'AttemptStarted', executor: 'host' });
  await world.report(ref, { kind: 'StepStarted', step: 1, shell: 'sh' });
  if (ends.built !== undefined) {
    const digest = `registry.test/app@sha256:${ends.built}`;
    await world.report(ref, { kind: 'ImageResolved', image: 'app:1', digest, built: true });
  }
  const manifest = ends.artifact === undefined ? {} : { manifest: await store(ref, ends.artifact) };
  await world.report(ref, { kind: 'AttemptFinished', status: 'succeeded', logs: [], ...manifest });
}

async function store(ref: AttemptRef, n: number) {
  const manifest: Manifest = {
    v: 1,
    artifacts: [
      {
        number: 1,
        name: 'wheel',
        form: 'file',
        bytes: 1,
        sha256: sha(n),
        files: [{ path: 'app.whl', mode: 0o644, size: 1, sha256: sha(n) }],
      },
    ],
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  await world.blobs.put(manifestKey(ref), bytes);
  return { sha256: parseSha256(createHash('sha256').update(bytes).digest('hex'))!, bytes: bytes.length };
}

const build = planned(1, { name: 'package' });
const deploy = (changes: Partial<PlannedStage> = {}): PlannedStage =>
  planned(2, { name: 'staging', needs: [1], environment: 'staging', ...changes });

const failWith = (...failures: readonly BlobError[]): (() => number) => {
  const left = [...failures];
  const getBytes = world.blobs.getBytes.bind(world.blobs);
  let asked = 0;
  world.blobs.getBytes = (key) => {
    asked += 1;
    const failure = left.shift();
    return failure === undefined ? getBytes(key) : Promise.reject(failure);
  };
  return () => asked;
};
const hashOf = (value: string): string =>
  keyedHash(recordKey(secretsKey), { what: 'secret', name: 'TOKEN', value });
const away = new BlobError({
  kind: 'storage-unavailable',
  endpoint: 'http://storage.test',
  reason: 'refused',
  remedy: '',
});

describe('a deployment', () => {
  it('is asked for with what it deploys, once storage answers', async () => {
    await settings({ approval: { by: [], notAuthor: false } });
    await vault.set(secretSlot({ project }, 'TOKEN'), 'of the project', 'ada');
    await vault.set(secretSlot(staging, 'TOKEN'), 'of staging', 'ada');
    const asked = failWith(away);
    const run = await submit(1, [build, deploy({ secrets: [{ variable: 'T', secret: 'TOKEN' }] })]);
    await work(run, 1, { artifact: 42 });
    const [deployment] = await until('it is asked for', async () => {
      const open = await look((environment) => environment.open);
      return open.length > 0 && open;
    });
    expect(asked()).toBe(2);
    expect(deployment).toMatchObject({
      run,
      stage: 2,
      of: { kind: 'stage' },
      source: { event: 'push', trust: 'branch', branch: 'main' },
      title: 'change 1',
      by: 'ada',
      record: {
        commit,
        artifacts: [{ name: 'package/wheel', sha256: sha(42), run }],
        secrets: [{ name: 'TOKEN', hash: hashOf('of staging') }],
      },
    });
  });

  it('has what another run made, where its stage was taken over from there', async () => {
    await settings({ approval: { by: [], notAuthor: false } });
    const tested = await submit(1, [build], { event: 'manual' });
    await work(tested, 1, { artifact: 42, built: sha(9) });
    const from = { run: tested, stage: 1, attempt: 1 };
    const { manifest, lease } = await world.coordinator.read(({ state }) => {
      const attempt = findAttempt(state, from)!;
      const { agent, agentName, token, leasedAt } = attempt;
      return {
        manifest: attempt.phase.kind === 'finished' ? attempt.phase.manifest! : undefined,
        lease: { agent, agentName, token, leasedAt },
      };
    });
    const plan = planOf(2, [build, deploy()]);
    const times = { startedAt: 1, finishedAt: 2 };
    const taken = [{ stage: 1, from, ...lease, ...times, steps: [], manifest: manifest!, logs: [] }];
    await startRun(world.services, { plan, digest: sha(2), taken });
    const record = await until('it is asked for', () => look(({ open }) => open[0]?.record));
    expect(record).toMatchObject({
      artifacts: [{ name: 'package/wheel', sha256: sha(42), run: tested }],
      images: [{ name: 'app:1', digest: `sha256:${sha(9)}` }],
    });
  });

  it('is impossible when an artifact of it is lost, and its stage says so', async () => {
    await settings();
    const run = await submit(1, [build, deploy()]);
    failWith(new BlobError({ kind: 'blob-not-found', key: 'x' }));
    await work(run, 1, { artifact: 42 });
    const ended = await until('the stage ends', async () => {
      const is = await stageIs(run, 2);
      return is?.startsWith('failed') === true && is;
    });
    expect(ended).toMatch(/the artifacts of package .* are lost/);
  });

  it('to an environment that was removed meanwhile is impossible', async () => {
    await settings();
    const run = await submit(1, [build, deploy()]);
    await deliver({ kind: 'RemoveEnvironment', ...staging, by: 'ada' });
    await work(run, 1);
    const ended = await until('the stage ends', async () => {
      const is = await stageIs(run, 2);
      return is?.startsWith('failed') === true && is;
    });
    expect(ended).toContain('gantry environments add');
  });

  it('of an image that its stage builds itself is impossible where only what was verified goes', async () => {
    await deliver({
      kind: 'SetEnvironment',
      ...staging,
      environment: 'first',
      settings: defaultEnvironmentSettings,
      by: 'ada',
    });
    await settings({ promotesFrom: 'first' });
    const image = { context: '.', file: 'Dockerfile', args: {}, tags: ['app'], push: false };
    const run = await submit(1, [
      build,
      deploy({ steps: [{ number: 1, name: 'image', run: '', build: image, env: {} }] }),
    ]);
    await work(run, 1, { artifact: 42 });
    const ended = await until('the stage ends', async () => {
      const is = await stageIs(run, 2);
      return is?.startsWith('failed') === true && is;
    });
    expect(ended).toContain('builds an image of its own');
  });

  it('is not asked for any more when its run was canceled meanwhile', async () => {
    await settings();
    const run = await submit(1, [build, deploy()]);
    await work(run, 1, { artifact: 42 });
    const asked = failWith(...Array.from({ length: 50 }, () => away));
    const describing = new Describing({
      coordinator: () => world.coordinator,
      runs: knownRuns(partsOf(world)),
      manifest: async (ref) => {
        await world.blobs.getBytes(manifestKey(ref));
        throw new Error('not to be had');
      },
      secrets: () => Promise.resolve(new Map()),
      key: secretsKey,
      log: world.log,
      signal: stopped.signal,
    }).describe({ run, stage: 2 });
    await eventually('storage was asked', () => asked() > 0);
    await world.coordinator.perform({ kind: 'Cancel', run, by: 'ada' });
    // It would go on for ever.
    await describing;
    expect(await look(({ requested }) => requested)).toBe(0);
  });

  it('is told of new secrets while it waits', async () => {
    await settings({ approval: { by: [], notAuthor: false } });
    await vault.set(secretSlot({ project }, 'TOKEN'), 'before', 'ada');
    const run = await submit(1, [build, deploy({ secrets: [{ variable: 'T', secret: 'TOKEN' }] })]);
    await work(run, 1);
    await until('it waits for approval', () =>
      look(({ open }) => open.some(({ phase }) => phase.kind === 'approval')),
    );
    await vault.set(secretSlot(staging, 'TOKEN'), 'after', 'ada');
    const before = await look(({ open }) => open[0]?.record.secrets);
    await deploying.amend(project, 'production');
    expect(await look(({ open }) => open[0]?.record.secrets)).toEqual(before);
    await deploying.amend(project, 'staging');
    expect(await look(({ open }) => open[0]?.record.secrets)).toEqual([
      { name: 'TOKEN', hash: hashOf('after') },
    ]);
  });
});

const verified = (deployment: number) => () =>
  look((environment) => findEnded(environment, deployment)?.end.kind === 'verified');

describe('a rollback', () => {
  it('deploys the old artifacts again with the secrets of today', async () => {
    await settings();
    await vault.set(secretSlot({ project }, 'TOKEN'), 'before', 'ada');
    const stages = [build, deploy({ secrets: [{ variable: 'T', secret: 'TOKEN' }] })];
    for (const n of [1, 2]) {
      const run = await submit(n, stages, { commit: sha(n).slice(-40) as never });
      await work(run, 1, { artifact: n });
      await work(run, 2);
      await until(`deployment ${n} is verified`, verified(n));
    }
    await vault.set(secretSlot({ project }, 'TOKEN'), 'after', 'ada');
    await deliver({ kind: 'Rollback', ...staging, run: runId(9), by: 'grace' });
    await work(runId(9), 2);
    await until('it is verified', verified(3));
    const [rollback] = await look(({ ended }) => ended.filter(({ deployment }) => deployment === 3));
    expect(rollback?.record).toMatchObject({
      artifacts: [{ name: 'package/wheel', sha256: sha(1), run: runId(1) }],
      secrets: [{ name: 'TOKEN', hash: hashOf('after') }],
    });
    const inputs = await world.coordinator.read(({ state }) => findStage(state, runId(9), 2)?.outline.inputs);
    expect(inputs).toMatchObject([
      { stage: 1, title: 'package', from: { run: runId(1), stage: 1, attempt: 1 } },
    ]);
  });
});

describe('a verify', () => {
  it('is a run, and its end is the deployment’s', async () => {
    await settings({ url: 'https://staging.example.org', verify: ['./all.sh'] });
    const run = await submit(1, [build, deploy({ verify: ['./smoke.sh'] })]);
    await work(run, 1);
    await work(run, 2);
    const [plan] = await until('its run is submitted', () => submitted.length > 0 && submitted);
    expect(plan?.stages[0]?.steps.map((one) => one.run)).toEqual(['./smoke.sh', './all.sh']);
    expect(plan?.stages[0]?.env).toMatchObject({ GANTRY_ENVIRONMENT_URL: 'https://staging.example.org' });
    await work(plan!.run, 1);
    await until('the deployment is verified', verified(1));
    expect(submitted).toHaveLength(1);
  });
});

describe('the answer to an effect', () => {
  const other = sha(7).slice(-40) as never;
  const verify = {
    kind: 'Verify',
    ...staging,
    deployment: 1,
    run: runId(1),
    stage: 2,
    verification: 1,
    failures: 0,
    commit,
    commands: [],
  } as const;
  const compare = { kind: 'CompareCommits', ...staging, one: commit, other } as const;

  /** What is answered with these runs and this order of commits. */
  async function answerTo(
    effect: DeliveryEffect,
    {
      find,
      order: compared,
    }: { readonly find?: KnownRuns['find']; readonly order?: () => Promise<CommitOrder> },
  ): Promise<unknown> {
    await settings();
    let answer: unknown;
    new Deploying({
      describing: { describe: () => Promise.resolve() },
      coordinator: () => ({
        read: (what) => world.coordinator.read(what),
        perform: (command) => {
          if (command.kind === 'Delivery' && 'answer' in command.command) answer = command.command.answer;
          return world.coordinator.perform(command);
        },
      }),
      repository: () => ({ order: compared ?? order }),
      runs: { find: find ?? (() => Promise.resolve(undefined)) },
      secrets: () => Promise.resolve(new Map()),
      key: secretsKey,
      submit: () => Promise.resolve('accepted'),
      tell: () => Promise.resolve(),
      log: world.log,
      signal: stopped.signal,
    }).perform({ kind: 'Delivery', effect });
    await eventually('it is answered', () => answer !== undefined);
    return answer;
  }

  it('is what git says, or that it cannot be asked now', async () => {
    expect(await answerTo(compare, { order: () => Promise.resolve('diverged') })).toEqual({
      kind: 'compared',
      order: 'diverged',
    });
    expect(await answerTo(compare, { order: () => Promise.reject(new Error('the remote is away')) })).toEqual(
      {
        kind: 'unavailable',
        message: 'the remote is away',
      },
    );
  });

  it('is the end of a verify that has ended already, whoever was to hear of it', async () => {
    const end = { status: 'failed', failures: [{ kind: 'exit-code', step: 1, exitCode: 3 }] } as const;
    const find = () => Promise.resolve(knownRun(planOf(5, [build]), { end }));
    expect(await answerTo(verify, { find })).toEqual({ kind: 'bad', reason: 'step 1 exited with code 3' });
  });

  it('is that a verify cannot be run now', async () => {
    const find = () => Promise.reject(new Error('storage is away'));
    expect(await answerTo(verify, { find })).toEqual({ kind: 'unavailable', message: 'storage is away' });
  });
});

describe('people', () => {
  it('are told, and the news is done when they are', async () => {
    await settings();
    const commits = [1, 2].map((n) => sha(n).slice(-40) as never);
    for (const [n, of] of commits.entries()) {
      const run = await submit(n + 1, [build, deploy()], { commit: of });
      await work(run, 1);
      await work(run, 2);
      await until('people hear that it is there', () => told.length === n + 1);
    }
    expect(told.map(({ what, since }) => [what.notice.kind, what.commit, since])).toEqual([
      ['ended', commits[0], undefined],
      ['ended', commits[1], commits[0]],
    ]);
    await until('it is done', async () => (await look(({ chores }) => chores.size)) === 0);
  });

  it('who may approve are told what waits for them', async () => {
    await settings({ approval: { by: ['grace'], notAuthor: false } });
    const run = await submit(1, [build, deploy()]);
    await work(run, 1);
    await until('approvers are told', () => told.length > 0);
    expect(told[0]).toMatchObject({
      environment: 'staging',
      chore: 1,
      since: undefined,
      what: { commit, notice: { kind: 'approval-wanted', approvers: ['grace'] } },
    });
    await until('it is done', async () => (await look(({ chores }) => chores.size)) === 0);
  });
});
