/**
 * What a deployment puts into its environment, from what is known of its stage and of the stages that it needs. Of values it
 * has keyed hashes only: it goes into the journal, and people see it.
 *
 * Images are those that needed stages have built. What a stage merely runs in is not deployed, and is not known before its
 * first attempt: a promotion that counted it would find staging's record without it.
 */
import { createHash } from 'node:crypto';
import type { ManifestArtifact } from '../../shared/model/artifact.js';
import type {
  DeploymentRecord,
  KeyedHash,
  RecordedArtifact,
  RecordedImage,
} from '../../shared/model/deployment.js';
import { parseSha256, type RunId, type Sha256 } from '../../shared/model/ids.js';
import type { PlannedStage, PlannedStep, RunFacts } from '../../shared/model/pipeline.js';
import { keyedHash } from './keyed-hash.js';

/** What a needed stage, or a stage of another run, left. */
export interface Needed {
  readonly stage: number;
  readonly title: string;
  /** Whose storage holds it. */
  readonly run: RunId;
  readonly artifacts: readonly Pick<ManifestArtifact, 'name' | 'sha256'>[];
  readonly built: readonly RecordedImage[];
}

export interface Described {
  readonly facts: Pick<RunFacts, 'commit'>;
  readonly stage: PlannedStage;
  readonly needed: readonly Needed[];
  /** By name; one that there is none of makes the attempt fail, which says so. */
  readonly secrets: ReadonlyMap<string, string>;
  /** See `recordKey`. */
  readonly key: Uint8Array;
}

export function recordOf(of: Described): DeploymentRecord {
  const { facts, stage } = of;
  const needed = [...of.needed].sort((a, b) => a.stage - b.stage);
  return {
    commit: facts.commit,
    artifacts: needed.flatMap(({ title, run, artifacts }) =>
      artifacts.map(({ name, sha256 }): RecordedArtifact => ({ name: `${title}/${name}`, sha256, run })),
    ),
    images: needed.flatMap(({ built }) => built),
    steps: stepsOf(stage).map((step) => ({ name: step.name, sha256: textHash(step) })),
    ...valuesOf(of),
    verifies: (stage.verify ?? []).length > 0,
  };
}

/** What may change after the deployment was asked for. */
export const valuesOf = ({
  stage,
  secrets,
  key,
}: Pick<Described, 'stage' | 'secrets' | 'key'>): Pick<DeploymentRecord, 'env' | 'secrets'> => ({
  env: [
    ...hashes(key, 'env', Object.entries(stage.env)),
    ...stepsOf(stage).flatMap(({ name: step, env }) =>
      hashes(
        key,
        'env',
        Object.entries(env).map(([name, value]) => [`${step}.${name}`, value]),
      ),
    ),
  ],
  secrets: hashes(
    key,
    'secret',
    secretNames(stage).flatMap((name) => {
      const value = secrets.get(name);
      return value === undefined ? [] : [[name, value] as const];
    }),
  ),
});

/** Secrets that the stage's steps get, each once, in the order written. */
export const secretNames = (stage: PlannedStage): readonly string[] => [
  ...new Set(
    [...(stage.secrets ?? []), ...stepsOf(stage).flatMap(({ secrets }) => secrets ?? [])].map(
      ({ secret }) => secret,
    ),
  ),
];

const stepsOf = ({ steps }: PlannedStage): readonly PlannedStep[] =>
  steps.filter(({ skipped }) => skipped !== true);

const hashes = (
  key: Uint8Array,
  what: 'env' | 'secret',
  values: readonly (readonly [string, string])[],
): readonly KeyedHash[] =>
  values.map(([name, value]) => ({ name, hash: keyedHash(key, { what, name, value }) }));

/** Of what it does. Its variables stand beside it, by name, so that one of them may be declared to differ. */
function textHash(step: PlannedStep): Sha256 {
  const { number: _number, name: _name, env: _env, secrets: _secrets, timeoutMs: _timeoutMs, ...text } = step;
  const canonical = JSON.stringify(Object.entries(text).sort(([a], [b]) => (a < b ? -1 : 1)));
  const sha256 = parseSha256(createHash('sha256').update(canonical).digest('hex'));
  if (sha256 === undefined) throw new Error('a digest in hexadecimal is no SHA-256');
  return sha256;
}
