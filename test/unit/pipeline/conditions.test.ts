import { Environment } from '@marcbachmann/cel-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conditionAfterNeeds } from '../../../coordinator/pipeline/after-needs.js';
import { compilePipeline, type CompiledPipeline } from '../../../coordinator/pipeline/compile.js';
import { factNames } from '../../../coordinator/pipeline/condition-facts.js';
import { planRun, type RunConditions } from '../../../coordinator/pipeline/plan-run.js';
import { parseCommitId } from '../../../shared/model/ids.js';
import type { PlannedStage } from '../../../shared/model/pipeline.js';
import { facts } from '../scheduler/ids.js';
import { messages } from './compiled.js';

const commit = parseCommitId('0123456789'.repeat(4))!;

const push: RunConditions = { event: 'push', branch: 'main', commit, inputs: {} };

function valid(text: string): CompiledPipeline {
  const compiled = compilePipeline(text, { file: 'f' });
  if (!compiled.ok) throw new Error(compiled.diagnostics.map(({ message }) => message).join('; '));
  return compiled;
}

/** The first stage of a pipeline with this condition, as JSON: YAML, in which no quoting gets lost. */
function stageIf(condition: string, run: Partial<RunConditions> = {}): PlannedStage {
  const text = JSON.stringify({
    stages: { a: { if: condition, needs: ['b'], steps: ['x'] }, b: { steps: ['x'] } },
  });
  return planRun(valid(text), { ...push, ...run })[0]!;
}

const isSkipped = (condition: string, run: Partial<RunConditions> = {}): boolean =>
  stageIf(condition, run).condition?.kind === 'never';

describe('the condition of a stage', () => {
  it.each<[string, Partial<RunConditions>, boolean]>([
    ['branch == "main"', {}, true],
    ['branch == "main"', { branch: 'next' }, false],
    ["branch == 'main'", {}, true],
    ['${{ branch == "main" }}', {}, true],
    ['${{branch=="next"}}', {}, false],
    ['true', {}, true],
    ['event == "tag" && tag.startsWith("v")', { event: 'tag', tag: 'v1' }, true],
    ['event == "tag" && tag.startsWith("v")', {}, false],
    ['tag == ""', {}, true],
    ['event in ["push", "change"]', {}, true],
    ['!(event in ["push", "change"])', {}, false],
    ['target == "main"', { event: 'change', target: 'main', branch: 'topic' }, true],
    ['message.contains("[deploy]")', { message: 'x [deploy]' }, true],
    ['message.contains("[deploy]")', {}, false],
    ['author.endsWith("@example.org>")', { author: 'Ada <ada@example.org>' }, true],
    ['commit == "0123456789012345678901234567890123456789"', {}, true],
    ['size(message) > 3', { message: 'é😀x' }, false],
    ['message.size() == 3', { message: 'é😀x' }, true],
    ['branch.upperAscii() == "MAIN" && " a ".trim() == "a" && "A".lowerAscii() == "a"', {}, true],
    ['branch.matches("^release/[0-9]+$")', { branch: 'release/12' }, true],
    ['branch.matches("^release/[0-9]+$")', { branch: 'release/12b' }, false],
    ['inputs.deploy == "yes"', { inputs: { deploy: 'yes' } }, true],
    ['inputs.deploy == ""', {}, true],
    ['inputs["deploy-to"] == "prod"', { inputs: { 'deploy-to': 'prod' } }, true],
    ['inputs.toString == "" && inputs.__proto__ == ""', {}, true],
    ['event == "push" ? branch == "main" : tag != ""', {}, true],
    ['branch > "a" && branch <= "main" && 1 < 2', {}, true],
    ['// whatever\nbranch == "main"', {}, true],
    ['changed("src/**")', { changed: ['src/a/b.ts'] }, true],
    ['changed("src/**")', { changed: ['doc/a'] }, false],
    ['changed("src/**")', { changed: [] }, false],
    ['changed("src/**")', {}, true],
    ['changed(["src/**", "!src/doc/**"])', { changed: ['src/doc/a'] }, false],
    ['changed(["src/**", "!src/doc/**"])', { changed: ['src/doc/a', 'src/a'] }, true],
    ['changed("!doc/**")', { changed: ['doc/a'] }, false],
    ['changed("!doc/**")', { changed: ['doc/a', 'a'] }, true],
    ['changed("doc")', { changed: ['doc/a/b'] }, true],
  ])('%s with %j', (condition, run, expected) => {
    const stage = stageIf(condition, run);
    expect(stage.condition?.kind).toBe(expected ? undefined : 'never');
  });

  it('takes the booleans of YAML', () => {
    const planned = planRun(
      valid('stages: { a: { if: false, steps: [x] }, b: { if: True, steps: [x] } }'),
      push,
    );
    expect(planned.map((stage) => stage.condition)).toEqual([{ kind: 'never', text: 'false' }, undefined]);
  });

  it('is decided for each cell of a matrix', () => {
    const planned = planRun(
      valid('stages: { a: { matrix: { v: ["1", "2"] }, if: matrix.v != "2", steps: [x] } }'),
      push,
    );
    expect(planned.map((stage) => stage.condition?.kind)).toEqual([undefined, 'never']);
  });

  it('that speaks of needs, failed() or always() is left, with what was answered', () => {
    expect(
      stageIf('needs.b.status == "failed" && changed("src/**") && branch.matches("^m")').condition,
    ).toEqual({
      kind: 'after-needs',
      text: 'needs.b.status == "failed" && changed("src/**") && branch.matches("^m")',
      answers: { 'changed(["src/**"])': true, 'branch.matches("^m")': true },
    });
    expect(stageIf('failed()').condition?.kind).toBe('after-needs');
    expect(stageIf('${{ always() }}').condition).toEqual({
      kind: 'after-needs',
      text: 'always()',
      answers: {},
    });
    expect(stageIf('always() && branch == "main"').condition?.kind).toBe('after-needs');
  });

  it('with always() is decided at once where that cannot matter', () => {
    expect(isSkipped('always() && branch == "next"')).toBe(true);
  });

  it('says of a need on a matrix the worst of its cells', () => {
    const { stages, conditions } = valid(
      'stages: { a: { matrix: { v: [a, b] }, steps: [x] }, b: { needs: [a], if: needs.a.status == "failed", steps: [x] } }',
    );
    expect(stages[2]?.needs).toEqual([1, 2]);
    expect(conditions.get(3)?.stage?.waits).toBe(true);
  });
});

describe('the condition of a step', () => {
  it('leaves the step out, and nothing else', () => {
    const text = `
stages:
  a:
    matrix: { v: ["1", "2"] }
    steps:
      - x
      - { run: y, if: matrix.v == "1" && branch == "main" }
      - { run: z, if: inputs.fast != "yes" }
`;
    const skipped = (run: RunConditions) =>
      planRun(valid(text), run).map((stage) => stage.steps.map((step) => step.skipped === true));
    expect(skipped(push)).toEqual([
      [false, false, false],
      [false, true, false],
    ]);
    expect(skipped({ ...push, inputs: { fast: 'yes' } })).toEqual([
      [false, false, true],
      [false, true, true],
    ]);
  });
});

describe('what a pipeline asks for', () => {
  it.each([
    ['stages: { a: { if: changed("x"), steps: [x] } }', true],
    ['stages: { a: { steps: [{ run: x, if: changed("x") }] } }', true],
    ['on: { paths: x }\nstages: { a: { steps: [x] } }', true],
    ['on: { branches: x }\nstages: { a: { if: branch == "x", steps: [x] } }', false],
  ])('includes the changed paths only where they matter: %s', (text, asks) => {
    expect(valid(text).asksForChanges).toBe(asks);
  });
});

describe('hostile conditions', () => {
  it.each([
    ['parentheses', `${'('.repeat(2000)}true${')'.repeat(2000)}`],
    ['negations', `${'!'.repeat(4000)}true`],
    ['lists', '['.repeat(4000)],
    ['calls', `${'size('.repeat(700)}""${')'.repeat(700)}`],
    ['indices', `inputs${'["a"]'.repeat(700)}`],
    ['parts', `inputs${'.a'.repeat(2000)}`],
    ['choices', `${'true?true:'.repeat(400)}true`],
    ['alternatives', Array.from({ length: 600 }, () => 'true').join('||')],
    ['numbers', '9'.repeat(4000)],
    ['text without an end', `"${'x'.repeat(4000)}`],
    ['a letter of half a character', '"\ud800" == branch && x'],
    ['control characters', '\u0001\u0002 == branch'],
    ['too long', `branch == "${'x'.repeat(5000)}"`],
    ['prototype', 'branch.constructor == "" || __proto__ == ""'],
  ])('of %s are refused with a place', (_, condition) => {
    const text = JSON.stringify({ stages: { a: { if: condition, steps: ['x'] } } });
    const compiled = compilePipeline(text, { file: 'f' });
    expect(compiled.ok).toBe(false);
    expect(messages(text).every((message) => message.length < 300)).toBe(true);
  });

  it('get regular expressions whose time is linear, and few of them', () => {
    const message = `${'a'.repeat(1999)}b`;
    expect(isSkipped('message.matches("(a+)+$")', { message })).toBe(true);
    const many = Array.from({ length: 21 }, (_, n) => `branch.matches("x${n}")`).join(' || ');
    expect(messages(JSON.stringify({ stages: { a: { if: many, steps: ['x'] } } }))).toEqual([
      'a file has at most 20 different regular expressions',
    ]);
  });

  it('count as changed what would take too long to compare', () => {
    const pattern = `*${'a'.repeat(240)}b`;
    const changed = Array.from({ length: 5000 }, () => 'a'.repeat(2000));
    expect(isSkipped(`changed("${pattern}")`, { changed })).toBe(false);
  });
});

const leaf = fc.oneof(
  fc.constantFrom(
    'branch == "main"',
    'message.contains("a\\"b")',
    'tag != branch',
    'branch.startsWith("ma")',
    'author.endsWith("x")',
    'size(branch) > 3',
    'branch in ["main", "x", tag]',
    'matrix.v == "1"',
    'inputs.a == "b"',
    'branch < "n"',
    'true',
    '1 <= 2',
    'branch.trim() == branch',
    'event == "push"',
  ),
);
const condition = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    leaf.map((one) => `(${one})`),
    tie('any').map((one) => `!(${one})`),
    fc
      .tuple(tie('any'), fc.constantFrom('&&', '||', '=='), tie('any'))
      .map((parts) => `(${parts.join(' ')})`),
    fc.tuple(tie('any'), tie('any'), tie('any')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
  ),
})).any;

describe('any condition that compiles', () => {
  it('comes to what the library makes of it', () => {
    const library = new Environment();
    for (const name of factNames) library.registerVariable(name, 'string');
    for (const name of ['matrix', 'inputs']) library.registerVariable(name, 'map<string, string>');
    const texts = fc.constantFrom('', 'main', 'x', 'a"b', 'n', ' main');
    const runs = fc.record({ branch: texts, tag: texts, message: texts, author: texts, input: texts });
    fc.assert(
      fc.property(condition, runs, (text, { input, ...of }) => {
        const run: RunConditions = { ...push, ...of, inputs: { a: input } };
        const json = JSON.stringify({ stages: { a: { matrix: { v: ['1'] }, if: text, steps: ['x'] } } });
        const [stage] = planRun(valid(json), run);
        const all = Object.fromEntries(factNames.map((name) => [name, run[name] ?? '']));
        const expected: unknown = library.evaluate(text, { ...all, matrix: { v: '1' }, inputs: run.inputs });
        expect(stage?.condition?.kind === 'never').toBe(expected === false);
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  it('has a value whatever the needs come to, from pieces in any order', () => {
    const piece = fc.constantFrom(
      ...[
        'branch',
        'tag',
        'needs',
        '.b',
        '.status',
        '"failed"',
        '"main"',
        'inputs',
        '.x',
        'matrix',
        '.v',
        '["v"]',
      ],
      ...[
        '==',
        '!=',
        '<',
        '&&',
        '||',
        '!',
        '(',
        ')',
        '?',
        ':',
        'in',
        '["a", "b"]',
        '[',
        ']',
        ',',
        '1',
        '-1',
        '1.5',
      ],
      ...[
        'always()',
        'failed()',
        'changed("x")',
        '.matches("x")',
        '.contains(',
        'size(',
        'true',
        'null',
        '+',
        '/ 0',
      ],
      ...['.startsWith("m")', 'int(', '{}', 'has(', '.exists(x, x)', 'dyn(', '.size()', '"x"', 'type('],
    );
    const text = fc.array(piece, { minLength: 1, maxLength: 9 }).map((pieces) => pieces.join(' '));
    const statuses = fc.constantFrom('succeeded', 'failed', 'canceled', 'skipped');
    let compiling = 0;
    fc.assert(
      fc.property(fc.oneof(text, condition), statuses, fc.boolean(), (written, status, hasFailure) => {
        const json = JSON.stringify({
          stages: {
            a: { needs: ['b'], matrix: { v: ['1'] }, if: written, steps: ['x'] },
            b: { steps: ['x'] },
          },
        });
        const compiled = compilePipeline(json, { file: 'f' });
        if (!compiled.ok) return;
        compiling += 1;
        const left = planRun(compiled, push)[0]?.condition;
        if (left?.kind !== 'after-needs') return;
        const outcome = conditionAfterNeeds(left, {
          facts: facts({ event: 'push', branch: 'main' }),
          cell: { v: '1' },
          needs: { statuses: new Map([['b', status]]), hasFailure },
        });
        expect(['holds', 'holds-not']).toContain(outcome.kind);
      }),
      { numRuns: 5000 },
    );
    expect(compiling).toBeGreaterThan(500);
  }, 60_000);
});
