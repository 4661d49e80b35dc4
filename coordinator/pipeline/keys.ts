import type { Path } from './located.js';
import { buildShape } from './schema-build.js';
import { artifactShape, pipelineShape, serviceShape, stageShape, stepShape } from './schema.js';
import { notifyShape, onShape } from './schema-top.js';
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
  pipeline: ['defaults', 'concurrency', 'include'],
  stage: ['cache', 'reports', 'outputs', 'reuse', 'retry', 'concurrency', 'resources', 'checkout', 'workdir'],
  step: ['command', 'shell', 'image', 'retry', 'continue-on-error', 'always'],
} as const;

/** Keys of a matrix that are no axis. */
export const plannedMatrixKeys: readonly string[] = ['include', 'exclude', 'max-parallel', 'fail-fast'];

const synonyms = {
  pipeline: {
    jobs: 'stages',
    pipeline: 'stages',
    variables: 'env',
    environment: 'env',
    container: 'image',
    triggers: 'on',
    trigger: 'on',
    when: 'on',
    notifications: 'notify',
  },
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
    when: 'if',
    only: 'if',
    rules: 'if',
    condition: 'if',
    secret: 'secrets',
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
    when: 'if',
    condition: 'if',
    secret: 'secrets',
    variables: 'env',
    environment: 'env',
  },
  build: {
    dockerfile: 'file',
    containerfile: 'file',
    path: 'context',
    dir: 'context',
    'build-args': 'args',
    'build-arg': 'args',
    build_args: 'args',
    arguments: 'args',
    tag: 'tags',
    image: 'tags',
    images: 'tags',
    stage: 'target',
  },
  service: {
    healthcheck: 'ready',
    environment: 'env',
    variables: 'env',
    args: 'command',
    entrypoint: 'command',
  },
  artifact: { path: 'paths', files: 'paths', if: 'when' },
  on: {
    event: 'events',
    push: 'events',
    pull_request: 'events',
    branch: 'branches',
    tag: 'tags',
    path: 'paths',
    files: 'paths',
    'paths-ignore': 'paths',
    'branches-ignore': 'branches',
    'tags-ignore': 'tags',
  },
  notify: {
    email: 'mail',
    mails: 'mail',
    to: 'mail',
    webhook: 'webhooks',
    hooks: 'webhooks',
    when: 'on',
    events: 'on',
  },
} as const satisfies Record<string, Record<string, string>>;

/** Which map stands at a path. */
export function mapKindOf(path: Path): MapKind {
  const [top, stageName, part, item, inner] = path;
  if (top === 'on')
    return { title: '`on`', keys: Object.keys(onShape), planned: ['schedule'], synonyms: synonyms.on };
  if (top === 'notify')
    return { title: '`notify`', keys: Object.keys(notifyShape), planned: [], synonyms: synonyms.notify };
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
    if (inner === 'build') {
      const keys = Object.keys(buildShape);
      return { title: `\`build\` of ${title}`, keys, planned: [], synonyms: synonyms.build };
    }
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
