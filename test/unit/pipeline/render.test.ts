import { describe, expect, it } from 'vitest';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { renderGraph } from '../../../coordinator/pipeline/draw.js';
import { renderDiagnostics } from '../../../coordinator/pipeline/render.js';
import { compiled, said } from './compiled.js';

const hint = '  = help: a variable holds text: put JSON or lists in quotes';

describe('rendered diagnostics', () => {
  it('mark the right columns behind tabs and wide characters', () => {
    expect(said('env: { "A": "日本\t😀é", B: [] }\nstages: { a: { steps: [x] } }')).toBe(
      [
        'error: expected a string, got an empty list',
        ' --> .gantry.yml:1:25',
        '  |',
        '1 | env: { "A": "日本    😀é", B: [] }',
        // Two columns for each of 日本😀, four for the tab.
        `  | ${' '.repeat('env: { "A": "'.length + 4 + 4 + 2 + 1 + '", B: '.length)}^^`,
        hint,
      ].join('\n'),
    );
  });

  it('cut long lines around the mark', () => {
    const shown = said(
      `env: { A: "${'x'.repeat(500)}", B: [], C: "${'y'.repeat(500)}" }\nstages: { a: { steps: [x] } }`,
    );
    expect(shown).toBe(
      [
        'error: expected a string, got an empty list',
        ' --> .gantry.yml:1:518',
        '  |',
        `1 | …${'x'.repeat(30)}", B: [], C: "${'y'.repeat(66)}…`,
        `  | ${' '.repeat(37)}^^`,
        hint,
      ].join('\n'),
    );
  });

  it('have colours only when asked', () => {
    const result = compilePipeline('stages: {}', { file: 'p.yml' });
    const diagnostics = result.ok ? [] : result.diagnostics;
    const colored = renderDiagnostics(diagnostics, { file: 'p.yml', color: true });
    expect(colored).toContain('\u001b[1;31merror\u001b[0m');
    // eslint-disable-next-line no-control-regex -- colours are control sequences
    expect(colored.replace(/\u001b\[[0-9;]*m/g, '')).toBe(
      renderDiagnostics(diagnostics, { file: 'p.yml', color: false }),
    );
  });

  it('are nothing when there is nothing to say', () => {
    expect(renderDiagnostics([], { file: 'p.yml', color: true })).toBe('');
  });
});

describe('the drawing of stages', () => {
  it('shows level below level, with the cells of a matrix as one', () => {
    const drawing = renderGraph(
      compiled(`
stages:
  deploy: { needs: [package, lint], environment: staging, steps: [x] }
  lint: { steps: [x], allow-failure: true }
  test: { matrix: { python: ["3.11", "3.12"], os: [linux] }, steps: [x] }
  package: { needs: [lint, test], steps: [x] }
`),
    );
    expect(drawing).toBe(
      `
  lint      (may fail)
  test      × 2  python=3.11|3.12  os=linux
    │
    ▼
  package   after lint, test
    │
    ▼
  deploy    after lint, package   deploys to staging`.slice(1),
    );
  });

  it('shows conditions, on one line', () => {
    const compiled = compilePipeline(
      'stages: { a: { steps: [x] }, b: { needs: [a], if: "${{ branch == \'main\'\\n  && always() }}", steps: [x] } }',
      { file: 'f' },
    );
    expect(compiled.ok && renderGraph(compiled.stages, compiled.conditions)).toBe(
      "  a\n    │\n    ▼\n  b   after a   if branch == 'main' && always()",
    );
  });

  it('is one line for one stage and none for none', () => {
    expect(renderGraph(compiled('stages: { build: { steps: [make] } }'))).toBe('  build');
    expect(renderGraph([])).toBe('');
  });
});
