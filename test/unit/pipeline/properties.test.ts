import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { circlesIn } from '../../../coordinator/pipeline/graph.js';
import { parseDuration, showDuration } from '../../../coordinator/pipeline/duration.js';
import { renderDiagnostics } from '../../../coordinator/pipeline/render.js';
import { renderGraph } from '../../../coordinator/pipeline/draw.js';
import { compiled } from './compiled.js';

const file = 'f';

/** Compiles and renders; checks what holds for any text. */
function holdsFor(text: string): void {
  const result = compilePipeline(text, { file });
  const diagnostics = result.ok ? result.warnings : result.diagnostics;
  if (!result.ok) expect(diagnostics.some((one) => one.severity === 'error')).toBe(true);
  else {
    expect(diagnostics.every((one) => one.severity === 'warning')).toBe(true);
    renderGraph(result.stages, result.conditions);
  }
  const lines = text.split('\n').length;
  for (const { line, column, endColumn, message } of diagnostics) {
    expect(line).toBeGreaterThan(0);
    expect(line).toBeLessThanOrEqual(lines);
    expect(column).toBeGreaterThan(0);
    expect(endColumn).toBeGreaterThan(column);
    expect(message).not.toBe('');
  }
  expect(renderDiagnostics(diagnostics, { file, color: false })).not.toMatch(control);
}

/** All but line breaks: nothing of a file may act upon the terminal. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

/** Pieces from which nearly valid and interestingly invalid files arise. */
const piece = fc.constantFrom(
  ...[
    '\n',
    '\n  ',
    '\n    ',
    '\n      ',
    '\n      - ',
    '\t',
    ' ',
    ': ',
    ', ',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '|\n',
    '>\n',
    '#',
    '---\n',
  ],
  ...[
    '&a ',
    '*a',
    '<<: *a',
    '!t ',
    '%',
    '? ',
    '- ',
    '\r\n',
    '\uFEFF',
    '\u0000',
    '\u001b[31m',
    'é',
    '😀',
    '\ud800',
    '__proto__',
  ],
  ...[
    'stages:',
    'image:',
    'env:',
    'needs:',
    'steps:',
    'run:',
    'matrix:',
    'services:',
    'artifacts:',
    'paths:',
    'timeout:',
    'workdir:',
    'if:',
    'on:',
    'secrets:',
    'notify:',
    'branch == "a"',
    'changed("a")',
    'needs.a.status',
  ],
  ...[
    'agents:',
    'user:',
    'a',
    'b',
    'a:',
    'b:',
    '3.10',
    '10m',
    'true',
    'null',
    '~',
    '${{ matrix.a }}',
    '${{',
    '}}',
    '../x',
    'cd x',
    'gcc:14',
  ],
);

describe('any text', () => {
  it('gets stages or errors with places, and never an exception', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), holdsFor), { numRuns: 1000 });
  }, 60_000);

  it('gets them too when it looks like a pipeline', () => {
    const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));
    fc.assert(fc.property(text, holdsFor), { numRuns: 1500 });
  }, 60_000);

  it('gets them too when a valid pipeline is broken in one place', () => {
    const broken = fc
      .tuple(fc.integer({ min: 0, max: sample.length }), fc.nat(12), piece)
      .map(([at, removed, inserted]) => sample.slice(0, at) + inserted + sample.slice(at + removed));
    fc.assert(fc.property(broken, holdsFor), { numRuns: 500 });
  }, 60_000);
});

describe('a valid pipeline', () => {
  const value = fc.oneof(
    fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).filter((text) => !text.includes('${{')),
    fc.integer(),
    fc.boolean(),
  );
  const command = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter((text) => text.trim() !== '' && !/\$\{\{|\0/.test(text));

  it('keeps commands, variables and graph as they were written', () => {
    const pipeline = fc
      .array(
        fc.record({
          steps: fc.array(command, { minLength: 1, maxLength: 4 }),
          env: fc.dictionary(fc.stringMatching(/^[A-FX][A-Z0-9_]{0,8}$/), value, { maxKeys: 4 }),
          cells: fc.integer({ min: 0, max: 4 }),
          needs: fc.array(fc.nat(20), { maxLength: 4 }),
        }),
        { minLength: 1, maxLength: 12 },
      )
      .map((stages) =>
        stages.map((stage, index) => ({
          ...stage,
          name: `s${index}`,
          // Only on earlier ones: no circles.
          needs: [...new Set(stage.needs.filter((need) => need < index))],
        })),
      );
    fc.assert(
      fc.property(pipeline, (stages) => {
        const text = stringify({
          stages: Object.fromEntries(
            stages.map(({ name, steps, env, cells, needs }) => [
              name,
              {
                steps,
                env,
                needs: needs.map((need) => `s${need}`),
                ...(cells === 0
                  ? {}
                  : { matrix: { cell: Array.from({ length: cells }, (_, cell) => `c${cell}`) } }),
              },
            ]),
          ),
        });
        const planned = compiled(text);
        expect(planned.map((stage) => stage.number)).toEqual(planned.map((_, index) => index + 1));
        for (const { name, steps, env, cells, needs } of stages) {
          const mine = planned.filter((stage) => stage.name === name);
          expect(mine).toHaveLength(Math.max(1, cells));
          for (const stage of mine) {
            expect(stage.steps.map((step) => step.run)).toEqual(steps);
            expect(stage.env).toEqual(
              Object.fromEntries(Object.entries(env).map(([key, item]) => [key, String(item)])),
            );
            const needed = new Set(stage.needs.map((number) => planned[number - 1]?.name));
            expect(needed).toEqual(new Set(needs.map((need) => `s${need}`)));
            const cellsNeeded = needs.reduce((sum, need) => sum + Math.max(1, stages[need]?.cells ?? 0), 0);
            expect(stage.needs).toHaveLength(cellsNeeded);
          }
        }
      }),
      { numRuns: 200 },
    );
  }, 60_000);

  it('says the same when compiled again', () => {
    expect(compilePipeline(sample, { file })).toEqual(compilePipeline(sample, { file }));
  });
});

describe('circles of needs', () => {
  const graph = fc
    .array(fc.array(fc.nat(9), { maxLength: 3 }), { minLength: 1, maxLength: 10 })
    .map(
      (needs) =>
        new Map(
          needs.map((mine, from) => [
            `s${from}`,
            new Map(mine.filter((to) => to < needs.length && to !== from).map((to) => [`s${to}`, 0])),
          ]),
        ),
    );

  it('are real, and found whenever no order of the stages exists', () => {
    fc.assert(
      fc.property(graph, (needs) => {
        const circles = circlesIn(needs);
        for (const circle of circles) {
          expect(circle.length).toBeGreaterThan(2);
          expect(circle[0]).toBe(circle.at(-1));
          for (const [index, name] of circle.slice(0, -1).entries()) {
            expect(needs.get(name)?.has(circle[index + 1] ?? '')).toBe(true);
          }
        }
        expect(circles.length > 0).toBe(!hasOrder(needs));
      }),
    );
  });

  /** Takes away what needs nothing, again and again. */
  function hasOrder(needs: ReadonlyMap<string, ReadonlyMap<string, unknown>>): boolean {
    const left = new Map(needs);
    for (;;) {
      const ready = [...left].filter(([, mine]) => ![...mine.keys()].some((need) => left.has(need)));
      if (ready.length === 0) return left.size === 0;
      for (const [name] of ready) left.delete(name);
    }
  }
});

describe('a duration', () => {
  it('is read as it is shown', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 99_999_999 }), (seconds) => {
        expect(parseDuration(showDuration(seconds * 1000))).toBe(seconds * 1000);
      }),
    );
  });

  it.each(['', 's', '10', '1.5h', '10m5h', '5s5s', '-1s', ' 1s', '1 s', '1S'])('is not %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

const sample = `
on: { events: [push, tag], branches: [main, "!old/**"], paths: "src/**" }
notify: { on: [failed], mail: [a@example.org], webhooks: chat }
image: python:3.12
env: { A: "1", B: 3.10 }
stages:
  lint: { steps: [ruff check ., "python -m compileall -q ."] }
  test:
    needs: [lint]
    if: needs.lint.status != "failed" && (branch == "main" || changed("src/**"))
    secrets: { TOKEN: KEY }
    matrix: { python: ["3.11", "3.12"], os: [linux, mac] }
    image: python:\${{ matrix.python }}
    agents: [gpu, "os=\${{ matrix.os }}"]
    services: { db: { image: "postgres:16", env: { P: x }, ready: pg_isready, command: [a, b] } }
    timeout: 1h30m
    allow-failure: true
    steps:
      - &install pip install -r requirements.txt
      - *install
      - name: tests
        run: |
          pytest --junitxml=report.xml
        env: { C: d }
        timeout: 10m
        workdir: src
        if: matrix.os == "linux"
        secrets: [OTHER]
    artifacts: { coverage: { paths: [htmlcov/**], when: always, optional: true }, wheel: dist/*.whl }
  package:
    needs: [lint, test]
    steps: [python -m build]
`;
