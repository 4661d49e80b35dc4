import type { Assignment } from '../../shared/model/agent.js';
import { commitId, projectId, runId, token } from './ids.js';

/** An assignment in which every optional part is there once. */
export const assignment = (changes: Partial<Assignment> = {}): Assignment => ({
  run: runId(1),
  stage: 1,
  attempt: 1,
  token: token(1),
  stageCount: 2,
  plan: {
    number: 1,
    name: 'test',
    cell: { python: '3.12' },
    needs: [],
    image: 'python:3.12',
    labels: ['executor=docker'],
    env: { A: 'b' },
    services: [{ name: 'db', image: 'postgres:16', env: {}, ready: 'pg_isready' }],
    timeoutMs: 3_600_000,
    allowFailure: false,
    maxAttempts: 3,
    steps: [
      { number: 1, name: 'unit tests', run: 'pytest\n', env: {}, timeoutMs: 60_000 },
      {
        number: 2,
        name: 'image',
        run: '',
        build: {
          context: 'app',
          file: 'Dockerfile',
          target: 'x',
          args: { A: 'b' },
          tags: ['app'],
          push: true,
        },
        env: {},
      },
    ],
    artifacts: [{ number: 1, name: 'wheel', paths: ['dist/*.whl'], when: 'success', optional: false }],
    environment: 'staging',
  },
  facts: {
    event: 'submit',
    trust: 'submit',
    project: projectId(1),
    projectName: 'https://example.org/app.git',
    branch: 'main',
    commit: commitId(1),
    title: 'Fix ü',
    by: 'ann',
    inputs: {},
  },
  source: { kind: 'git', url: 'https://example.org/app.git', commit: commitId(1), ref: 'main' },
  needs: [],
  images: {},
  ...changes,
});
