/** Who gets a secret of a project, and who does not: against the real loop, with a vault in memory. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectOf } from '../../../shared/git/repository-url.js';
import { credentialToText } from '../../../shared/git/credential-text.js';
import type { Token } from '../../../shared/model/ids.js';
import type { Plan, PlannedStage, RunFacts, Source } from '../../../shared/model/pipeline.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { isLoopback } from '../../../coordinator/api/grpc-channel.js';
import { listSecrets, removeSecret, setSecret } from '../../../coordinator/api/project-secrets.js';
import { secretsFor } from '../../../coordinator/api/secrets.js';
import { secretNameProblem, secretValueProblem } from '../../../coordinator/secrets/secret-rules.js';
import { plannedStage, plannedStep } from '../../support/agent-world.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { agentId, facts, outline, runId } from '../scheduler/ids.js';
import { World } from './world.js';

const url = 'https://example.org/app.git';
const project = projectOf('example.org/app');
const value = 'correct-horse-battery';
const use = { variable: 'TOKEN', secret: 'TOKEN' };
const ref = { run: runId(1), stage: 1, attempt: 1 };
const token = { kind: 'https', user: 'gantry', token: 'fetch-token-1' } as const;

let world: World;
let vault: MemoryVault;
beforeEach(async () => {
  world = await new World().start();
  vault = new MemoryVault();
  await vault.set({ project: project.id, space: 'secret', name: 'TOKEN' }, value, 'ann');
  await vault.set({ project: project.id, space: 'secret', name: 'OTHER' }, 'not-asked-for', 'ann');
});
afterEach(() => world.stop());

const deploying = { amend: () => Promise.resolve() };
const services = () => ({ coordinator: world.coordinator, plans: world.plans, vault, deploying });

/** A run whose only stage is leased to agent 1; says its token. */
async function leased(
  changes: {
    readonly stage?: Partial<PlannedStage>;
    readonly facts?: Partial<RunFacts>;
    readonly source?: Source;
  } = {},
): Promise<Token> {
  const plan: Plan = {
    v: 1,
    run: ref.run,
    facts: facts({ project: project.id, projectName: project.name, maySeeSecrets: true, ...changes.facts }),
    source: changes.source ?? { kind: 'git', url, commit: facts().commit },
    stages: [plannedStage({ secrets: [use], ...changes.stage })],
    pipelineText: '',
  };
  await world.plans.put(plan);
  await world.join(1);
  await world.submit(1, [outline(1)]);
  const lease = await world.lease(ref.run, 1, 1);
  return lease?.token as Token; // The loop gives tokens.
}

const ask = (held: Token, changes: Partial<Parameters<typeof secretsFor>[1]> = {}) =>
  secretsFor(services(), { agent: agentId(1), ref, token: held, isPrivate: true, ...changes });

describe('the holder of an attempt', () => {
  it('gets what its stage and steps name, and nothing else', async () => {
    const held = await leased();
    expect(await ask(held)).toEqual({ values: new Map([['TOKEN', value]]), registries: { credentials: [] } });
  });

  it('gets what a step names, but nothing for one that is skipped', async () => {
    const steps = [
      plannedStep(1, { secrets: [use] }),
      plannedStep(2, { skipped: true, secrets: [{ variable: 'X', secret: 'OTHER' }] }),
    ];
    const held = await leased({ stage: { secrets: [], steps } });
    expect([...(await ask(held)).values.keys()]).toEqual(['TOKEN']);
  });

  it('gets nothing over a channel that others can read, and is told what to do', async () => {
    const held = await leased();
    await expect(ask(held, { isPrivate: false })).rejects.toThrow(/over TLS.*--tls-cert/);
  });

  it('needs no private channel where there is nothing to hide', async () => {
    const held = await leased({ stage: { secrets: [] } });
    expect(await ask(held, { isPrivate: false })).toEqual({
      values: new Map(),
      registries: { credentials: [] },
    });
  });

  it('is told what to type when there is no such secret', async () => {
    const held = await leased({ stage: { secrets: [{ variable: 'A', secret: 'MISSING' }, use] } });
    const answer = await ask(held);
    expect(answer.values.size).toBe(0);
    expect(answer.refused?.secret).toBe('MISSING');
    expect(answer.refused?.why).toContain('gantry secrets set example.org/app MISSING');
  });

  it.each([
    ['submit', /does not have it/],
    ['change', /gets no secrets/],
    ['fork', /gets no secrets/],
  ] as const)('gets none in a run that may see none (%s)', async (trust, why) => {
    const held = await leased({ facts: { trust, maySeeSecrets: false } });
    const answer = await ask(held);
    expect(answer.values.size).toBe(0);
    expect(answer.refused).toMatchObject({ secret: 'TOKEN', why: expect.stringMatching(why) as string });
    expect(JSON.stringify(answer)).not.toContain(value);
  });
});

describe('whoever does not hold the attempt', () => {
  it('gets nothing: another agent, another token, another attempt', async () => {
    const held = await leased();
    await world.join(2);
    for (const changes of [
      { agent: agentId(2) },
      { token: (held + 1) as Token },
      { ref: { ...ref, attempt: 2 } },
      { ref: { ...ref, run: runId(9) } },
    ]) {
      await expect(ask(held, changes)).rejects.toThrow(/does not hold/);
    }
  });
});

describe('the credential of the checkout', () => {
  const add = async (registered: string) => {
    await world.coordinator.perform({
      kind: 'SetProject',
      project: { ...project, url: registered, settings: defaultProjectSettings },
      isNew: true,
      by: 'ann',
    });
    const slot = (name: string) => ({ project: project.id, space: 'credential', name }) as const;
    await vault.set(slot('fetch'), credentialToText(token), 'ann');
    await vault.set(slot('push'), credentialToText({ ...token, token: 'push-token-1' }), 'ann');
  };

  it('is that for fetching, of the registered project, for its own URL', async () => {
    await add(url);
    const held = await leased({ stage: { secrets: [] } });
    expect(await ask(held)).toEqual({ values: new Map(), registries: { credentials: [] }, checkout: token });
    await expect(ask(held, { isPrivate: false })).rejects.toThrow(/over TLS/);
  });

  it('is none for another URL of the same name, a submitted tree, or a project that is not registered', async () => {
    const held = await leased({ stage: { secrets: [] } });
    expect((await ask(held)).checkout).toBeUndefined();
    await add('git@example.org:app.git');
    expect((await ask(held)).checkout).toBeUndefined();
    const bundle: Source = {
      kind: 'bundle',
      digest: 'a'.repeat(64) as never,
      bytes: 1,
      commit: facts().commit,
      shallow: [],
    };
    await world.plans.put({ ...world.plans.plans.get(ref.run)!, source: bundle });
    expect((await ask(held)).checkout).toBeUndefined();
  });
});

describe('people', () => {
  const order = { project, by: 'ann' };

  it('set, list and remove secrets, which the audit tells without values', async () => {
    const set = await setSecret(services(), { ...order, name: 'NEW', value: 'a new value' });
    expect(set).toMatchObject({ name: 'NEW', changedBy: 'ann' });
    expect((await listSecrets(services(), { project })).map(({ name }) => name)).toEqual([
      'NEW',
      'OTHER',
      'TOKEN',
    ]);
    await removeSecret(services(), { ...order, name: 'NEW' });
    await expect(removeSecret(services(), { ...order, name: 'NEW' })).rejects.toThrow(/has no secret "NEW"/);
    const audited = world.entries
      .flatMap(({ entry }) => entry.events)
      .filter(({ kind }) => kind === 'Audited');
    expect(audited).toEqual([
      { kind: 'Audited', by: 'ann', action: 'secret.set', subject: 'NEW', project: project.id },
      { kind: 'Audited', by: 'ann', action: 'secret.remove', subject: 'NEW', project: project.id },
    ]);
    expect(JSON.stringify(world.entries)).not.toContain('a new value');
  });

  it('are told what is wrong with a name or a value, never with the value in it', async () => {
    for (const name of ['', '1A', 'A-B', 'GANTRY_TOKEN', 'A'.repeat(129), 'A\nB']) {
      expect(secretNameProblem(name)).toBeDefined();
    }
    for (const name of ['A', '_x', 'npm_TOKEN_2']) expect(secretNameProblem(name)).toBeUndefined();
    for (const bad of ['tiny!', 'x'.repeat(32 * 1024 + 1), 'with\0nul']) {
      await expect(setSecret(services(), { ...order, name: 'A', value: bad })).rejects.toThrow(
        /secret A: the value/,
      );
      expect(secretValueProblem('A', bad)).not.toContain(bad);
    }
    expect(secretValueProblem('A', 'ümläut')).toBeUndefined();
    expect(secretValueProblem('A', '123456')).toBeUndefined();
  });
});

it('knows this machine by the address that a call comes from', () => {
  for (const peer of ['127.0.0.1:4000', '127.8.9.1:1', '[::1]:4000', '::1:4000', '[::ffff:127.0.0.1]:1']) {
    expect(isLoopback(peer), peer).toBe(true);
  }
  for (const peer of [
    '10.0.0.1:4000',
    '[2001:db8::1]:1',
    '128.0.0.1:1',
    'unix:/x',
    'unknown',
    '127.0.0.1.evil.org:1',
    '',
  ]) {
    expect(isLoopback(peer), peer).toBe(false);
  }
});
