import type { Path } from './located.js';
import { artifactShape, pipelineShape, serviceShape, stageShape, stepShape } from './schema.js';
import { code } from './words.js';

/** A map of the file with fixed keys. */
export interface MapKind {
  /** `stage`, or `step 2 of stage` … for messages. */
  readonly title: string;
  readonly keys: readonly string[];
  /** Keys that a later version will know. */
  readonly planned: readonly string[];
  /** What other systems call it. */
  readonly synonyms: Readonly<Record<string, string>>;
}

const planned = {
  pipeline: ['on', 'defaults', 'concurrency', 'notify', 'include'],
  stage: [
    'if',
    'secrets',
    'cache',
    'reports',
    'outputs',
    'reuse',
    'retry',
    'environment',
    'verify',
    'concurrency',
    'resources',
    'checkout',
    'workdir',
  ],
  step: ['command', 'build', 'shell', 'image', 'secrets', 'if', 'retry', 'continue-on-error', 'always'],
} as const;

/** Keys of a matrix that are no axis. */
export const plannedMatrixKeys: readonly string[] = ['include', 'exclude', 'max-parallel', 'fail-fast'];

const synonyms = {
  pipeline: { jobs: 'stages', pipeline: 'stages', variables: 'env', environment: 'env', container: 'image' },
  stage: {
    script: 'steps',
    commands: 'steps',
    run: 'steps',
    jobs: 'steps',
    'runs-on': 'agents',
    tags: 'agents',
    labels: 'agents',
    depends_on: 'needs',
    dependsOn: 'needs',
    dependencies: 'needs',
    requires: 'needs',
    after: 'needs',
    variables: 'env',
    container: 'image',
    'timeout-minutes': 'timeout',
    strategy: 'matrix',
    parallel: 'matrix',
  },
  step: {
    script: 'run',
    commands: 'run',
    cmd: 'run',
    sh: 'run',
    'working-directory': 'workdir',
    cwd: 'workdir',
    dir: 'workdir',
    'timeout-minutes': 'timeout',
    title: 'name',
    label: 'name',
    variables: 'env',
    environment: 'env',
  },
  service: {
    healthcheck: 'ready',
    environment: 'env',
    variables: 'env',
    args: 'command',
    entrypoint: 'command',
  },
  artifact: { path: 'paths', files: 'paths', if: 'when' },
} as const satisfies Record<string, Record<string, string>>;

/** Which map stands at a path. */
export function mapKindOf(path: Path): MapKind {
  const [top, stageName, part, item] = path;
  if (top !== 'stages' || stageName === undefined)
    return {
      title: 'a pipeline',
      keys: Object.keys(pipelineShape),
      planned: planned.pipeline,
      synonyms: synonyms.pipeline,
    };
  const stage = `stage ${code(String(stageName))}`;
  if (part === 'steps' && item !== undefined) {
    const title = `step ${Number(item) + 1} of ${stage}`;
    return { title, keys: Object.keys(stepShape), planned: planned.step, synonyms: synonyms.step };
  }
  if (part === 'services' && item !== undefined) {
    const title = `service ${code(String(item))} of ${stage}`;
    return { title, keys: Object.keys(serviceShape), planned: [], synonyms: synonyms.service };
  }
  if (part === 'artifacts' && item !== undefined) {
    const title = `artifact ${code(String(item))} of ${stage}`;
    return { title, keys: Object.keys(artifactShape), planned: [], synonyms: synonyms.artifact };
  }
  return { title: stage, keys: Object.keys(stageShape), planned: planned.stage, synonyms: synonyms.stage };
}
