import { describe, expect, it } from 'vitest';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { outlineOf } from '../../../coordinator/pipeline/outline.js';
import { compiled, messages, said } from './compiled.js';

describe('a compiled pipeline', () => {
  it('has every value complete', () => {
    const stages = compiled(`
image: python:3.12
env: { PIP_QUIET: "1", LEVEL: top }
stages:
  lint:
    steps: [ruff check .]
  test:
    needs: lint
    matrix: { python: ["3.11", "3.12"] }
    image: python:\${{ matrix.python }}
    user: 1000
    agents: [gpu, "arch=arm64"]
    env: { LEVEL: stage, CELL: "py\${{ matrix.python }}" }
    services:
      db:
        image: postgres:16
        env: { POSTGRES_PASSWORD: x }
        ready: pg_isready
        command: [postgres, -c, max_connections=10, 7]
    timeout: 1h30m
    allow-failure: true
    steps:
      - pip install -r requirements.txt
      - name: unit tests on \${{ matrix.python }}
        run: pytest -p \${{matrix.python}}
        env: { LEVEL: step }
        timeout: 90s
        workdir: ./src//app/
    artifacts:
      coverage: { paths: [htmlcov/**, cov.xml], when: always, optional: true }
      report: report.xml
      "0": [a, b]
`);
    expect(stages).toHaveLength(3);
    expect(stages[0]).toEqual({
      number: 1,
      name: 'lint',
      cell: {},
      needs: [],
      image: 'python:3.12',
      labels: [],
      env: { PIP_QUIET: '1', LEVEL: 'top' },
      services: [],
      timeoutMs: 3_600_000,
      allowFailure: false,
      maxAttempts: 3,
      steps: [{ number: 1, name: 'ruff check .', run: 'ruff check .', env: {} }],
      artifacts: [],
    });
    expect(stages[2]).toEqual({
      number: 3,
      name: 'test',
      cell: { python: '3.12' },
      needs: [1],
      image: 'python:3.12',
      user: '1000',
      labels: ['arch=arm64', 'gpu'],
      env: { PIP_QUIET: '1', LEVEL: 'stage', CELL: 'py3.12' },
      services: [
        {
          name: 'db',
          image: 'postgres:16',
          env: { POSTGRES_PASSWORD: 'x' },
          ready: 'pg_isready',
          command: ['postgres', '-c', 'max_connections=10', '7'],
        },
      ],
      timeoutMs: 5_400_000,
      allowFailure: true,
      maxAttempts: 3,
      steps: [
        {
          number: 1,
          name: 'pip install -r requirements.txt',
          run: 'pip install -r requirements.txt',
          env: {},
        },
        {
          number: 2,
          name: 'unit tests on 3.12',
          run: 'pytest -p 3.12',
          env: { LEVEL: 'step' },
          timeoutMs: 90_000,
          workdir: 'src/app',
        },
      ],
      artifacts: [
        { number: 1, name: 'coverage', paths: ['htmlcov/**', 'cov.xml'], when: 'always', optional: true },
        { number: 2, name: 'report', paths: ['report.xml'], when: 'success', optional: false },
        { number: 3, name: '0', paths: ['a', 'b'], when: 'success', optional: false },
      ],
    });
  });

  it('keeps numbers and booleans as they are written', () => {
    const [stage] = compiled(`
stages:
  a:
    env: { V: 3.10, HEX: 0x1F, EXP: 1e3, YES: True, OCT: 010, BIG: 12345678901234567890, NEG: -0, T: "3.10", N: "null" }
    steps: [x]
`);
    expect(stage?.env).toEqual({
      V: '3.10',
      HEX: '0x1F',
      EXP: '1e3',
      YES: 'True',
      OCT: '010',
      BIG: '12345678901234567890',
      NEG: '-0',
      T: '3.10',
      N: 'null',
    });
  });

  it('keeps a version such as 3.10 in a matrix, and warns of it', () => {
    const text = 'stages: { a: { matrix: { v: [3.9, 3.10] }, steps: ["echo ${{ matrix.v }}"] } }';
    expect(compiled(text).map((stage) => [stage.cell['v'], stage.steps[0]?.run])).toEqual([
      ['3.9', 'echo 3.9'],
      ['3.10', 'echo 3.10'],
    ]);
    expect(messages(text)).toEqual([
      '3.10 is the number 3.1 in YAML; Gantry keeps it as written, other tools do not',
    ]);
  });

  it('has the cells of a matrix in the order of the file, the last axis turning fastest', () => {
    const stages = compiled(
      'stages: { b: { matrix: { os: [linux, mac], v: [2, 1] }, steps: [x] }, a: { needs: [b], steps: [x] } }',
    );
    expect(stages.map((stage) => [stage.number, stage.name, stage.cell])).toEqual([
      [1, 'b', { os: 'linux', v: '2' }],
      [2, 'b', { os: 'linux', v: '1' }],
      [3, 'b', { os: 'mac', v: '2' }],
      [4, 'b', { os: 'mac', v: '1' }],
      [5, 'a', {}],
    ]);
  });

  it('numbers stages in the order of the file, also those whose names are numbers', () => {
    const stages = compiled('stages: { b: { steps: [x] }, "2": { steps: [x] }, "1": { steps: [x] } }');
    expect(stages.map((stage) => stage.name)).toEqual(['b', '2', '1']);
  });

  it('resolves a need on a matrix to all its cells, also before they are written', () => {
    const stages = compiled(`
stages:
  last: { needs: [cells, first], steps: [x] }
  cells: { needs: [first], matrix: { v: [a, b] }, steps: [x] }
  first: { steps: [x] }
`);
    expect(stages.map((stage) => stage.needs)).toEqual([[2, 3, 4], [4], [4], []]);
  });

  it('takes the image of the top level, but not with `image: null`', () => {
    const stages = compiled(`
image: gcc:14
stages:
  a: { steps: [x] }
  b: { image: "rust:1", steps: [x] }
  c: { image: null, steps: [x] }
  d: { image: ~, agents: [executor=host], steps: [x] }
`);
    expect(stages.map((stage) => stage.image)).toEqual(['gcc:14', 'rust:1', undefined, undefined]);
  });

  it('names a step by the first line of its command', () => {
    const [stage] = compiled(`
stages:
  a:
    steps:
      - |

        # builds
        make   all
        make test
      - { name: "two\\nlines  ", run: x }
      - { name: 3, run: x }
      - '# only a comment'
      - ${'x'.repeat(300)}
      - true
`);
    expect(stage?.steps.map((step) => step.name)).toEqual([
      'make all',
      'two lines',
      '3',
      '# only a comment',
      `${'x'.repeat(79)}…`,
      'true',
    ]);
    expect(stage?.steps[5]?.run).toBe('true');
  });

  it('reads files with a byte order mark, Windows line ends and a document mark', () => {
    const stages = compiled(
      '\uFEFF---\r\nstages:\r\n  a:\r\n    steps:\r\n      - |\r\n        x\r\n        y\r\n...\r\n',
    );
    expect(stages[0]?.steps[0]?.run).toBe('x\ny\n');
  });

  it('expands anchors, aliases and merge keys; what is written in the map itself wins', () => {
    const stages = compiled(`
stages:
  a: &a
    image: gcc:14
    env: &env { X: "1", Y: "2" }
    steps: [&make make, *make]
  b:
    <<: *a
    needs: [a]
    env: { <<: *env, Y: "3" }
`);
    expect(stages[1]).toMatchObject({
      image: 'gcc:14',
      needs: [1],
      env: { X: '1', Y: '3' },
      steps: [{ run: 'make' }, { run: 'make' }],
    });
  });

  it('plans secrets by variable, in place of variables of the top level', () => {
    const [, b] = compiled(`
env: { TOKEN: top, OTHER: x }
stages:
  a:
    matrix: { to: [STAGING, PROD] }
    secrets: { TOKEN: "TOKEN_\${{ matrix.to }}", PASSWORD: DB_PASSWORD }
    steps: [x, { run: y, env: { PASSWORD: none }, secrets: [KEY] }]
`);
    expect(b).toMatchObject({
      env: { OTHER: 'x' },
      secrets: [
        { variable: 'TOKEN', secret: 'TOKEN_PROD' },
        { variable: 'PASSWORD', secret: 'DB_PASSWORD' },
      ],
    });
    expect(b?.env).toEqual({ OTHER: 'x' });
    expect(b?.steps.map((step) => step.secrets)).toEqual([undefined, [{ variable: 'KEY', secret: 'KEY' }]]);
  });

  it('refuses two variables of one name on one level', () => {
    expect(
      messages(`
stages:
  a:
    env: { A: x }
    secrets: [A, B, B]
    steps: [{ run: x, env: { C: x }, secrets: { C: S } }]
`),
    ).toEqual(['`A` is in `env` too', '`B` is named twice', '`C` is in `env` too']);
  });

  it.each([
    [
      'ada@example.org',
      { when: ['failed', 'still-failing', 'fixed'], mail: ['ada@example.org'], webhooks: [] },
    ],
    ['[a@b.org, c@D.org, a@b.org]', { mail: ['a@b.org', 'c@d.org'] }],
    ['{ on: fixed, webhooks: [chat, chat] }', { when: ['fixed'], mail: [], webhooks: ['chat'] }],
    ['{ on: [failed, failed], mail: a@b.org }', { when: ['failed'], mail: ['a@b.org'] }],
  ])('has `notify: %s` complete', (written, expected) => {
    const result = compilePipeline(`notify: ${written}\nstages: { a: { steps: [x] } }`, { file: 'f' });
    expect(result).toMatchObject({ ok: true, notify: expected });
  });

  it('leaves dollars, braces and templates of others alone', () => {
    const command = "docker inspect -f '{{.Id}}' ${X} $${Y} {% x %}";
    const [stage] = compiled(`stages:\n  a:\n    steps:\n      - run: |\n          ${command}\n`);
    expect(stage?.steps[0]?.run).toBe(`${command}\n`);
  });

  it.each([
    ['branch', '$GANTRY_BRANCH'],
    ['message', '$GANTRY_MESSAGE'],
    ['inputs.deploy-to', '$GANTRY_INPUT_DEPLOY_TO'],
    ['github.sha', '$GANTRY_COMMIT'],
    ['env.HOME', '$HOME'],
  ])('refuses to splice `%s` into a command, and names %s', (fact, variable) => {
    const shown = said(`stages: { a: { steps: ['echo \${{ ${fact} }}'] } }`);
    expect(shown).toContain(`error: \`${fact}\` cannot be put into a command`);
    expect(shown).toContain(`help: write "${variable}"`);
  });

  it('does not take names that every object has for keys', () => {
    const text = `
stages:
  constructor: { steps: [x], env: { toString: a, hasOwnProperty: b }, artifacts: { valueOf: x } }
  valueOf: { needs: [constructor], matrix: { toString: [a] }, steps: ["\${{ matrix.toString }}"] }
`;
    const stages = compiled(text);
    expect(stages[0]?.env).toEqual({ toString: 'a', hasOwnProperty: 'b' });
    expect(stages[1]).toMatchObject({ needs: [1], steps: [{ run: 'a' }] });
    expect(messages('stages: { a: { steps: ["${{ matrix.valueOf }}"], needs: [toString] } }')).toEqual([
      'stage `a` has no matrix',
      'stage `a` needs `toString`, but no stage has that name',
    ]);
    expect(messages('stages: { a: { steps: [x], env: { __proto__: x } } }')).toEqual([
      'the key `__proto__` is reserved',
    ]);
  });

  it('gives scheduling its outline, with the labels that having an image or none implies', () => {
    const [inContainer, onHost] = compiled(`
stages:
  a: { image: "gcc:14", agents: [gpu, arch=arm64], timeout: 10m, steps: [x, { name: y, run: z }] }
  b: { needs: [a], agents: [mac], allow-failure: true, steps: [x] }
`).map(outlineOf);
    expect(inContainer).toEqual({
      number: 1,
      name: 'a',
      cell: {},
      needs: [],
      labels: ['arch=arm64', 'gpu', 'images'],
      allowFailure: false,
      maxAttempts: 3,
      timeoutMs: 600_000,
      steps: ['x', 'y'],
      image: 'gcc:14',
    });
    expect(onHost).toEqual({
      number: 2,
      name: 'b',
      cell: {},
      needs: [1],
      labels: ['executor=host', 'mac'],
      allowFailure: true,
      maxAttempts: 3,
      timeoutMs: 3_600_000,
      steps: ['x'],
    });
  });
});
