/** What is secret is taken and answered over TLS, or from the coordinator's own machine. */
import { EventEmitter } from 'node:events';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { issueToken } from '../../../coordinator/access/tokens.js';
import { grpcProjects } from '../../../coordinator/api/grpc-projects.js';
import type { Services } from '../../../coordinator/api/services.js';
import { defaultProjectSettings } from '../../../shared/model/project.js';
import { MemoryVault } from '../../support/memory-vault.js';
import { projectId } from '../scheduler/ids.js';
import { World } from './world.js';

const project = {
  id: projectId(1),
  name: 'example.org/app',
  url: 'https://example.org/app',
  settings: defaultProjectSettings,
};
const token = 'a token of some length';
const credential = { kind: 'https', https: { user: 'x', token } } as const;

let world: World;
let vault: MemoryVault;
let services: Services;
beforeEach(async () => {
  world = await new World().start();
  vault = new MemoryVault();
  const poller = {
    refresh: () => Promise.resolve(),
    troubleOf: () => undefined,
  } as unknown as Services['poller'];
  const deploying = { amend: () => Promise.resolve() };
  services = { ...world.services, vault, poller, deploying };
  await world.coordinator.perform({ kind: 'SetProject', project, isNew: true, by: 'ada' });
});
afterEach(() => world.stop());

interface From {
  readonly peer: string;
  readonly tls?: true;
}

type AnyHandler = (call: object, answer: (error: Partial<ServiceError> | null) => void) => void;

/** How the call ends: its status, and what is said. */
function call(method: string, request: object, { peer, tls }: From): Promise<string> {
  // What grpc-js would be given: the handler's own types are the contract's.
  const handler = grpcProjects(services)[method] as unknown as AnyHandler;
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${issueToken(services.tokenKey, { kind: 'user', name: 'root' })}`);
  const made = Object.assign(new EventEmitter(), {
    metadata,
    request,
    cancelled: false,
    getPeer: () => peer,
    getAuthContext: () => (tls === undefined ? {} : { transportSecurityType: 'ssl' }),
  });
  return new Promise((resolve) => {
    handler(made, (error) => {
      resolve(error === null ? 'OK' : `${status[error.code ?? status.UNKNOWN]} ${error.details ?? ''}`);
    });
  });
}

const selector = { project: project.name };
const cases: readonly (readonly [string, string, object])[] = [
  ['a secret', 'SetSecret', { project: selector, name: 'TOKEN', value: token }],
  ['a credential for pushing', 'Set', { project: selector, push: credential }],
  ['a credential of a new project', 'Add', { url: 'https://example.org/other', fetch: credential }],
  [
    'a secret of a webhook',
    'Set',
    {
      project: selector,
      setWebhooks: true,
      settings: { webhooks: [{ name: 'chat', url: 'https://example.org/hook', secret: token }] },
    },
  ],
  ['the secret of its hook', 'Hook', { project: selector }],
];

describe('Over a network without TLS', () => {
  it.each(cases)('%s is refused, with what to do, and nothing is kept', async (_what, method, request) => {
    const answer = await call(method, request, { peer: '10.0.0.5:40000' });
    expect(answer).toMatch(/in the clear: start the coordinator with --tls-cert and --tls-key/);
    expect(answer).not.toContain(token);
    for (const space of ['secret', 'credential', 'webhook', 'hook'] as const)
      expect(await vault.list(project.id, space)).toEqual([]);
  });

  it('what is not secret is taken', async () => {
    const settings = { pollMs: 5_000 };
    expect(await call('Set', { project: selector, settings }, { peer: '10.0.0.5:40000' })).toBe('OK');
    const removed = { project: selector, push: { kind: 'none' } };
    expect(await call('Set', removed, { peer: '10.0.0.5:40000' })).toBe('OK');
  });
});

describe.each([
  ['TLS', { peer: '10.0.0.5:40000', tls: true } as const],
  ['loopback', { peer: '127.0.0.1:40000' } as const],
])('Over %s', (_over, from) => {
  it.each(cases.filter(([, method]) => method !== 'Add'))('%s is taken', async (_what, method, request) => {
    expect(await call(method, request, from)).toBe('OK');
  });
});
