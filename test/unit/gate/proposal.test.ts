import { expect, test } from 'vitest';
import { proposalRef, readProposal } from '../../../coordinator/gate/proposal.js';

const branches = new Set(['main', 'release', 'release/1.0']);

test.each([
  ['refs/for/main/login', { target: 'main', name: 'login' }],
  ['refs/for/main/ada/login', { target: 'main', name: 'ada/login' }],
  ['refs/for/release/1.0/fix', { target: 'release/1.0', name: 'fix' }],
  ['refs/for/release/1.0', { target: 'release', name: '1.0' }],
  ['refs/for/main', undefined],
  ['refs/for/main/', undefined],
  ['refs/for/other/x', undefined],
  ['refs/heads/main/x', undefined],
  ['refs/for//x', undefined],
])('%s', (ref, proposal) => {
  expect(readProposal(ref, branches)).toEqual(proposal);
  if (proposal !== undefined) expect(proposalRef(proposal)).toBe(ref);
});
