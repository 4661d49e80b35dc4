/** Steps that build images: what is planned, where such a stage runs, and that a run decides about them as about others. */
import { describe, expect, it } from 'vitest';
import { outlineOf } from '../../../coordinator/pipeline/outline.js';
import { compiled } from './compiled.js';

const stageOf = (steps: string, more = '') =>
  compiled(`image: busybox\nstages:\n  image:\n${more}    steps:\n${steps}`);

describe('a step with `build`', () => {
  it('has every value complete, with the values of its cell', () => {
    const [one, two] = stageOf(
      `      - name: the image
        build:
          context: ./app//
          file: docker/Dockerfile
          target: prod
          args: { VERSION: 3.10, BASE: "\${{ matrix.base }}", DEBUG: true }
          tags: ["127.0.0.1:5000/team/app:\${{ matrix.base }}", team/app, team/app]
          push: true
        timeout: 5m
`,
      '    matrix: { base: [one, two] }\n',
    );
    expect(one?.steps).toEqual([
      {
        number: 1,
        name: 'the image',
        run: '',
        build: {
          context: 'app',
          file: 'docker/Dockerfile',
          target: 'prod',
          args: { VERSION: '3.10', BASE: 'one', DEBUG: 'true' },
          tags: ['127.0.0.1:5000/team/app:one', 'team/app'],
          push: true,
        },
        env: {},
        timeoutMs: 300_000,
      },
    ]);
    expect(two?.steps[0]?.build?.args['BASE']).toBe('two');
  });

  it('has a short form, and is named by what it makes', () => {
    const [stage] = stageOf('      - build: .\n      - build: sub/dir\n      - build: { tags: app }\n');
    expect(stage?.steps.map(({ name, build }) => [name, build])).toEqual([
      ['build .', { file: 'Dockerfile', args: {}, tags: [], push: false }],
      ['build sub/dir', { context: 'sub/dir', file: 'Dockerfile', args: {}, tags: [], push: false }],
      ['build app', { file: 'Dockerfile', args: {}, tags: ['app'], push: false }],
    ]);
  });

  it('takes its stage to agents with Docker, unless it is left out', () => {
    const labels = (steps: string) => stageOf(steps).map((stage) => outlineOf(stage).labels);
    expect(labels('      - build: .\n')).toEqual([['executor=docker', 'images']]);
    expect(labels('      - make\n')).toEqual([['images']]);
    const [stage] = stageOf('      - build: .\n');
    const steps = stage!.steps.map((step) => ({ ...step, skipped: true as const }));
    expect(outlineOf({ ...stage!, steps }).labels).toEqual(['images']);
  });
});
