/** Credentials of registries: who sets them, which attempt gets them, and what is told where it gets none. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  checkRegistries,
  shownRegistries,
  storeRegistries,
  type RegistryChange,
} from '../../../coordinator/api/project-registries.js';
import { secretsFor } from '../../../coordinator/api/secrets.js';
import { projectOf } from '../../../shared/git/repository-url.js';
import type { Token } from '../../../shared/model/ids.js';
import type { RunFacts } from '../../../shared/model/pipeline.js';
import { credentialFor, parseRegistryHost, registryOf } from '../../../shared/model/registry.js';
import { plannedStage } from '../../support/agent-world.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { agentId, facts, outline, runId } from '../scheduler/ids.js';
import { World } from './world.js';

const project = projectOf('example.org/app');
const login = { host: 'reg.example.org', user: 'ci', password: 'not to be seen' };
const ref = { run: runId(1), stage: 1, attempt: 1 };

let world: World;
let vault: MemoryVault;
beforeEach(async () => {
  world = await new World().start();
  vault = new MemoryVault();
});
afterEach(() => world.stop());

const services = () => ({ coordinator: world.coordinator, plans: world.plans, vault });
const store = (...changes: RegistryChange[]) =>
  storeRegistries(services(), project, { changes: checkRegistries(changes), by: 'ann' });

async function asked(changes: Partial<RunFacts>, isPrivate = true) {
  const run = facts({ project: project.id, projectName: project.name, ...changes });
  const source = { kind: 'git', url: 'https://example.org/app.git', commit: run.commit } as const;
  await world.plans.put({
    v: 1,
    run: ref.run,
    facts: run,
    source,
    stages: [plannedStage()],
    pipelineText: '',
  });
  await world.join(1);
  await world.submit(1, [outline(1)]);
  const token = (await world.lease(ref.run, 1, 1))?.token as Token; // The loop gives tokens.
  return secretsFor(services(), { agent: agentId(1), ref, token, isPrivate });
}

describe('an attempt', () => {
  it('of a run that may see secrets gets all of its project', async () => {
    await store(login, { ...login, host: '127.0.0.1:5000' });
    await vault.set({ project: projectOf('other').id, space: 'registry', name: 'x.org' }, '{}', 'ann');
    const { registries } = await asked({ maySeeSecrets: true });
    expect(registries.credentials).toEqual([{ ...login, host: '127.0.0.1:5000' }, login]);
    expect(registries.withheld).toBeUndefined();
  });

  it.each<[string, Partial<RunFacts>, boolean, RegExp]>([
    ['of a proposed change', { trust: 'change', maySeeSecrets: false }, true, /a proposed change gets no/],
    ['of a user without the right', { trust: 'submit', maySeeSecrets: false }, true, /does not have it/],
    ['over a channel that others can read', { maySeeSecrets: true }, false, /over TLS only/],
  ])('%s runs without them, and knows why', async (_, changes, isPrivate, why) => {
    await store(login);
    const answer = await asked(changes, isPrivate);
    expect(answer.registries.credentials).toEqual([]);
    expect(answer.registries.withheld).toMatch(/^the project’s credentials for reg\.example\.org are kept/);
    expect(answer.registries.withheld).toMatch(why);
    expect(JSON.stringify(answer)).not.toContain(login.password);
  });

  it('of a project without any is told nothing', async () => {
    expect(await asked({ trust: 'fork', maySeeSecrets: false })).toEqual({
      values: new Map(),
      registries: { credentials: [] },
    });
  });
});

describe('people', () => {
  it('set, replace, see and remove them, which the audit tells without passwords', async () => {
    await store(login);
    await store({ ...login, user: 'other' });
    expect(await shownRegistries(services(), project)).toEqual([{ host: login.host, user: 'other' }]);
    await store({ host: login.host, none: true });
    expect(await shownRegistries(services(), project)).toEqual([]);
    await expect(store({ host: login.host, none: true })).rejects.toThrow('has no credentials for registry');
    const audited = world.entries
      .flatMap(({ entry }) => entry.events)
      .flatMap((event) => (event.kind === 'Audited' ? [`${event.action} ${event.subject}`] : []));
    const set = `registry.set ${login.host}`;
    expect(audited).toEqual([set, set, `registry.remove ${login.host}`]);
    expect(JSON.stringify(world.entries)).not.toContain(login.password);
  });

  it.each<[string, RegistryChange[], RegExp]>([
    ['a URL', [{ ...login, host: 'https://reg.example.org' }], /without `https:\/\/` and path/],
    ['what no image could name', [{ ...login, host: 'reg' }], /expected its host/],
    ['no user', [{ ...login, user: '' }], /user is missing/],
    ['a user with a colon', [{ ...login, user: 'a:b' }], /colon/],
    ['no password', [{ ...login, password: '' }], /empty/],
    ['a password of two lines', [{ ...login, password: 'a\nb' }], /control characters/],
    ['one host twice', [login, { host: 'REG.example.org', none: true }], /named twice/],
  ])('are told what is wrong with %s', (_, changes, message) => {
    expect(() => checkRegistries(changes)).toThrow(message);
  });
});

it('an image’s registry is its first part, where that can be no other', () => {
  const hosts = [
    'app',
    'team/app',
    'localhost/app',
    'a.b/c:1',
    'Reg:5000/a/b@sha256:1',
    'index.docker.io/x/y',
  ];
  expect(hosts.map(registryOf)).toEqual([
    'docker.io',
    'docker.io',
    'localhost',
    'a.b',
    'reg:5000',
    'docker.io',
  ]);
  expect(parseRegistryHost('registry-1.docker.io')).toBe('docker.io');
  expect(credentialFor('reg.example.org:5000/a', { credentials: [login] })).toBeUndefined();
  expect(credentialFor('reg.example.org/a', { credentials: [login] })).toBe(login);
});
