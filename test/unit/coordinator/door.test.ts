/** The door: no handler runs before its caller was let in, and none about projects answers without having asked which. */
import { EventEmitter } from 'node:events';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { issueToken } from '../../../coordinator/access/tokens.js';
import { guard, type Works } from '../../../coordinator/api/grpc-door.js';
import { World } from './world.js';

let world: World;
let ran: string[];

beforeEach(async () => {
  world = await new World().start();
  ran = [];
});
afterEach(() => world.stop());

/** Handlers that say that they ran; `Audit` is the one about projects. */
const works = (audit: Works<'Access'>['Audit']): Works<'Access'> => {
  const did = (name: string) => () => {
    ran.push(name);
    return {};
  };
  return {
    AddUser: did('AddUser'),
    SetUser: did('SetUser'),
    RemoveUser: did('RemoveUser'),
    ListUsers: did('ListUsers'),
    CreateToken: did('CreateToken'),
    ListTokens: did('ListTokens'),
    RevokeToken: did('RevokeToken'),
    WhoAmI: did('WhoAmI'),
    Audit: audit,
  };
};

/** What grpc-js would be given: the handler's own types are the contract's. */
type AnyHandler = (
  call: object,
  answer: (error: Partial<ServiceError> | null, message?: unknown) => void,
) => void;

function call(
  audit: Works<'Access'>['Audit'],
  method: string,
  bearer?: string,
): Promise<{ readonly code: status; readonly message?: unknown }> {
  const handler = guard(world.services, 'Access', works(audit))[method] as unknown as AnyHandler;
  const metadata = new Metadata();
  if (bearer !== undefined) metadata.set('authorization', `Bearer ${bearer}`);
  const made = Object.assign(new EventEmitter(), {
    metadata,
    request: {},
    cancelled: false,
    getPeer: () => '127.0.0.1:1',
    getAuthContext: () => ({}),
  });
  return new Promise((resolve) => {
    handler(made, (error, message) => {
      resolve(error === null ? { code: status.OK, message } : { code: error.code ?? status.UNKNOWN });
    });
  });
}
const owner = (): string => issueToken(world.services.tokenKey, { kind: 'user', name: 'root' });
const asking: Works<'Access'>['Audit'] = (_request, { reach }) => ({ cursor: reach.description });
const forgetful: Works<'Access'>['Audit'] = () => ({ cursor: 'what nobody may see' });

it('runs no handler for whoever is not let in', async () => {
  expect((await call(asking, 'AddUser')).code).toBe(status.UNAUTHENTICATED);
  expect((await call(asking, 'AddUser', 'gantry_user_x.y')).code).toBe(status.UNAUTHENTICATED);
  const join = { kind: 'join', id: 'x', by: 'root', labels: [], projects: [] } as const;
  expect((await call(asking, 'WhoAmI', issueToken(world.services.tokenKey, join))).code).toBe(
    status.PERMISSION_DENIED,
  );
  expect(ran).toEqual([]);
  expect((await call(asking, 'AddUser', owner())).code).toBe(status.OK);
  expect(ran).toEqual(['AddUser']);
});

it('gives no answer of a handler that did not ask which projects its caller reaches', async () => {
  expect(await call(forgetful, 'Audit', owner())).toEqual({ code: status.INTERNAL });
  expect(await call(asking, 'Audit', owner())).toEqual({
    code: status.OK,
    message: { cursor: 'all projects' },
  });
});
