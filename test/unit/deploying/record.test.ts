/** What is put on record of a deployment. */
import { describe, expect, it } from 'vitest';
import { builtBy } from '../../../coordinator/deploying/images.js';
import { keyedHash, recordKey } from '../../../coordinator/deploying/keyed-hash.js';
import { recordOf, secretNames, type Described, type Needed } from '../../../coordinator/deploying/record.js';
import { runId, sha } from '../scheduler/ids.js';
import { commit, planned, reported, step } from './stages.js';

const key = recordKey(Buffer.alloc(32, 7));
const needed = (stage: number, changes: Partial<Needed> = {}): Needed => ({
  stage,
  title: `stage${stage}`,
  run: runId(1),
  artifacts: [],
  built: [],
  ...changes,
});
const record = (changes: Partial<Described> = {}) =>
  recordOf({
    facts: { commit },
    stage: planned(9, { environment: 'staging' }),
    needed: [],
    secrets: new Map(),
    key,
    ...changes,
  });

describe('the record of a deployment', () => {
  it('has what needed stages left, in the order of the pipeline, and where it is', () => {
    const { artifacts, images } = record({
      needed: [
        needed(3, { title: 'docs (lang=de)', run: runId(2), artifacts: [{ name: 'html', sha256: sha(3) }] }),
        needed(1, {
          artifacts: [
            { name: 'wheel', sha256: sha(1) },
            { name: 'sdist', sha256: sha(2) },
          ],
          built: [{ name: 'app:1', digest: `sha256:${sha(8)}` }],
        }),
      ],
    });
    expect(artifacts).toEqual([
      { name: 'stage1/wheel', sha256: sha(1), run: runId(1) },
      { name: 'stage1/sdist', sha256: sha(2), run: runId(1) },
      { name: 'docs (lang=de)/html', sha256: sha(3), run: runId(2) },
    ]);
    expect(images).toEqual([{ name: 'app:1', digest: `sha256:${sha(8)}` }]);
  });

  it('says nothing of a value but whether it is the same', () => {
    const stage = planned(9, {
      env: { LEVEL: 'hunter2-env' },
      steps: [step(1, { env: { URL: 'hunter2-step' } })],
      secrets: [{ variable: 'PGPASSWORD', secret: 'DB_PASSWORD' }],
    });
    const secrets = new Map([['DB_PASSWORD', 'hunter2-secret']]);
    const one = record({ stage, secrets });
    expect(JSON.stringify(one)).not.toContain('hunter2');
    expect(one.env.map(({ name }) => name)).toEqual(['LEVEL', 'step 1.URL']);
    expect(one.secrets).toEqual([
      {
        name: 'DB_PASSWORD',
        hash: keyedHash(key, { what: 'secret', name: 'DB_PASSWORD', value: 'hunter2-secret' }),
      },
    ]);
    expect(record({ stage, secrets })).toEqual(one);
    expect(record({ stage, secrets: new Map([['DB_PASSWORD', 'other']]) }).secrets).not.toEqual(one.secrets);
    // Whoever has not the installation's key cannot try values.
    const elsewhere = record({ stage, secrets, key: recordKey(Buffer.alloc(32, 8)) });
    expect(elsewhere.secrets[0]?.hash).not.toBe(one.secrets[0]?.hash);
  });

  it('lets nobody who writes a pipeline try out what a secret is', () => {
    const guess = 'hunter2-secret';
    const stage = planned(9, {
      env: { DB_PASSWORD: guess, OTHER: guess },
      steps: [
        step(1, {
          secrets: [
            { variable: 'A', secret: 'DB_PASSWORD' },
            { variable: 'B', secret: 'B' },
          ],
        }),
      ],
    });
    const { env, secrets } = record({
      stage,
      secrets: new Map([
        ['DB_PASSWORD', guess],
        ['B', guess],
      ]),
    });
    expect(new Set([...env, ...secrets].map(({ hash }) => hash)).size).toBe(4);
  });

  it('has of each step what it does, and not its variables, which stand by themselves', () => {
    const hashOf = (changes: Parameters<typeof step>[1]): string =>
      record({ stage: planned(9, { steps: [step(1, changes)] }) }).steps[0]!.sha256;
    const usual = hashOf({});
    expect(hashOf({ env: { URL: 'x' }, timeoutMs: 5, name: 'deploy' })).toBe(usual);
    expect(hashOf({ run: './step 1 --force' })).not.toBe(usual);
    expect(hashOf({ workdir: 'ops' })).not.toBe(usual);
  });

  it('has no step that does not run, and none of its secrets', () => {
    const stage = planned(9, {
      steps: [
        step(1, { skipped: true, secrets: [{ variable: 'A', secret: 'A' }], env: { X: '1' } }),
        step(2, {
          secrets: [
            { variable: 'B', secret: 'B' },
            { variable: 'C', secret: 'B' },
          ],
        }),
      ],
    });
    expect(secretNames(stage)).toEqual(['B']);
    const { steps, env } = record({ stage });
    expect(steps.map(({ name }) => name)).toEqual(['step 2']);
    expect(env).toEqual([]);
  });

  it('leaves out a secret that there is none of: its attempt says so', () => {
    const stage = planned(9, { secrets: [{ variable: 'A', secret: 'A' }] });
    expect(record({ stage }).secrets).toEqual([]);
  });

  it('says whether the stage has a verify', () => {
    expect(record().verifies).toBe(false);
    expect(record({ stage: planned(9, { verify: [] }) }).verifies).toBe(false);
    expect(record({ stage: planned(9, { verify: ['./smoke.sh'] }) }).verifies).toBe(true);
  });
});

describe('the images that an attempt has built', () => {
  const events = [
    reported(1, { kind: 'ImageResolved', image: 'python:3.12', digest: `python@sha256:${sha(1)}` }),
    reported(1, { kind: 'ImageResolved', image: 'app:1', digest: `sha256:${sha(2)}`, built: true }),
    reported(1, { kind: 'ImageResolved', image: 'app:1', digest: `r/app@sha256:${sha(3)}`, built: true }),
    reported(
      1,
      { kind: 'ImageResolved', image: 'old:1', digest: `sha256:${sha(4)}`, built: true },
      { attempt: 2 },
    ),
    reported(2, { kind: 'ImageResolved', image: 'other:1', digest: `sha256:${sha(5)}`, built: true }),
  ];

  it('are by digest alone, and neither another attempt’s nor what it ran in', () => {
    expect(builtBy(events, { run: runId(1), stage: 1, attempt: 1 })).toEqual([
      { name: 'app:1', digest: `sha256:${sha(3)}` },
    ]);
  });
});
