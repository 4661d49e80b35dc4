/** The table of rights against the contract, and what it must say whoever edits it. */
import { describe, expect, it } from 'vitest';
import { includes, lesser, rightOfRole, table, type Rule } from '../../../coordinator/access/rights.js';
import { loadContract } from '../../../shared/wire/grpc-contract.js';

const contract = loadContract();
const all: Readonly<Record<string, Readonly<Record<string, Rule>>>> = table;
const rows = Object.entries(all).flatMap(([service, methods]) =>
  Object.entries(methods).map(([method, rule]): [string, Rule] => [`${service}.${method}`, rule]),
);
const ruleOf = (name: string): Rule | undefined => rows.find(([row]) => row === name)?.[1];

describe('the table', () => {
  it('has every method of the contract, and no other', () => {
    const { packageDefinition } = contract;
    const methods = Object.entries(packageDefinition).flatMap(([name, definition]) =>
      'format' in definition
        ? []
        : Object.keys(definition).map((method) => `${name.split('.').at(-1) ?? ''}.${method}`),
    );
    expect(methods.length).toBeGreaterThan(40);
    expect(rows.map(([name]) => name).sort()).toEqual(methods.sort());
  });

  it('leaves what changes users, agents and credentials to admins', () => {
    const admin = rows.filter(([, rule]) => rule.who === 'people' && rule.right === 'admin');
    expect(admin.map(([name]) => name).sort()).toEqual([
      'Access.AddUser',
      'Access.Audit',
      'Access.ListUsers',
      'Access.RemoveUser',
      'Access.SetUser',
      'Environments.Add',
      'Environments.Hold',
      'Environments.Remove',
      'Environments.Resume',
      'Environments.Rollback',
      'Environments.Set',
      'Environments.Settle',
      'Gate.Pause',
      'Gate.Protect',
      'Gate.Resume',
      'Projects.Add',
      'Projects.Hook',
      'Projects.ListSecrets',
      'Projects.Remove',
      'Projects.RemoveSecret',
      'Projects.Set',
      'Projects.SetSecret',
      'Runs.CreateJoinToken',
      'Runs.DrainAgent',
    ]);
  });

  it('lets nobody who is limited to projects change what concerns all', () => {
    for (const name of ['Access.AddUser', 'Access.SetUser', 'Runs.CreateJoinToken', 'Runs.DrainAgent'])
      expect(ruleOf(name)).toMatchObject({ about: 'installation' });
  });

  it('lets a token that may only read change nothing', () => {
    const reads = rows
      .filter(([, rule]) => rule.who === 'people' && rule.right === 'read')
      .map(([name]) => name);
    const verbs = /\.(Show|List\w*|Watch|Logs|Why|Artifacts|Diagnose|Deliveries|Diff|WhoAmI)$/;
    expect(reads.filter((name) => !verbs.test(name))).toEqual([]);
  });
});

it('a right includes the lesser ones', () => {
  expect(includes('admin', 'read') && includes('write', 'write') && !includes('read', 'write')).toBe(true);
  expect([lesser('admin', 'write'), lesser('read', 'admin')]).toEqual(['write', 'read']);
  expect(rightOfRole).toEqual({ developer: 'write', admin: 'admin' });
});
