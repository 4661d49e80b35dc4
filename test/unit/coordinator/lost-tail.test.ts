/** An agent is the only witness of a lease that the journal lost: it is believed when it can prove it, and only then. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NotLeading } from '../../../coordinator/coordinator.js';
import { leaseProof } from '../../../coordinator/access/tokens.js';
import { agentId, outline, runId, token } from '../scheduler/ids.js';
import { World } from './world.js';

let world: World;
const ref = { run: runId(9), stage: 1, attempt: 1 };
const never = token(1_000);

beforeEach(async () => {
  world = await new World().start();
  await world.join(1);
  await world.join(2);
});
afterEach(() => world.stop());

const proofOf = (n: number): string =>
  leaseProof(world.services.tokenKey, { agent: agentId(n), ref, token: never });
const goesOn = async (n: number): Promise<void> => {
  expect(await world.submit(n, [outline(1)])).toMatchObject({ kind: 'accepted' });
};

it('a claim without proof, with a made up one or with that of another agent stops nobody', async () => {
  for (const proof of [undefined, 'x'.repeat(43), proofOf(2)]) {
    const held = { ...ref, token: never, ...(proof === undefined ? {} : { proof }) };
    const answer = await world.beat(1, [held]);
    expect(answer).toMatchObject({ kind: 'refused' });
  }
  await goesOn(1);
});

it('nor does a report, which brings none', async () => {
  const answer = await world.coordinator.perform({
    kind: 'Report',
    agent: agentId(1),
    ref,
    token: never,
    n: 1,
    at: 0,
    report: { kind: 'AttemptStarted', executor: 'host' },
  });
  expect(answer).toMatchObject({ kind: 'refused' });
  await goesOn(1);
});

it('a proven claim ends the lead: the same tokens would be given out again', async () => {
  const ended = expect(world.running).rejects.toThrow(/journal ends at token 0/);
  await expect(world.beat(1, [{ ...ref, token: never, proof: proofOf(1) }])).rejects.toThrow(NotLeading);
  await ended;
});
