import { expect, it } from 'vitest';
import { factsEnv } from '../../../agent/stage/facts.js';
import { assignment } from '../../support/assignment.js';

const place = { agent: 'build-1', workspace: '/workspace' };

it('says which branch a change or a gate run is for, and of other runs nothing', () => {
  const { facts } = assignment();
  expect(
    factsEnv(assignment({ facts: { ...facts, event: 'gate', target: 'release/1' } }), place),
  ).toMatchObject({
    GANTRY_EVENT: 'gate',
    GANTRY_BRANCH: 'main',
    GANTRY_TARGET: 'release/1',
  });
  expect(factsEnv(assignment(), place)).not.toHaveProperty('GANTRY_TARGET');
});
