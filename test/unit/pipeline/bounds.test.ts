import { describe, expect, it } from 'vitest';
import { limits } from '../../../coordinator/pipeline/limits.js';
import { compiled, messages, said } from './compiled.js';

const times = (count: number, text: (index: number) => string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join('');

describe('a file made to exhaust who compiles it', () => {
  // The first three once ended the process: the YAML library recurses, and V8 aborts where a regular expression is
  // compiled at the end of the stack.
  it.each([
    ['brackets', '['.repeat(1_000_000)],
    ['dashes', '- '.repeat(500_000)],
    ['question marks', '? '.repeat(500_000)],
    ['keys in keys', times(1000, (i) => `${' '.repeat(i)}a:\n`)],
    ['aliases of aliases', `a0: &a0 [x]\n${times(100, (i) => `a${i + 1}: &a${i + 1} [*a${i}]\n`)}`],
  ])('is refused when it nests %s too deep', (_, text) => {
    expect(messages(text)).toEqual([`more than ${limits.depth} lists and maps within each other`]);
  });

  it('is refused when aliases multiply', () => {
    const laughs = times(12, (i) => `a${i + 1}: &a${i + 1} [${times(9, () => `*a${i},`)}]\n`);
    expect(messages(`a0: &a0 [x]\n${laughs}`)).toEqual([`more than ${limits.values} values in one pipeline`]);
  });

  it('is refused above 1 MiB, counted in bytes', () => {
    const padding = '# é\n'.repeat(Math.ceil(limits.fileBytes / 5));
    expect(messages(`${padding}stages: { a: { steps: [x] } }`)).toEqual([
      'the file has 1.0 MiB, the limit is 1.0 MiB',
    ]);
  });

  it('is refused when it has too many tokens', () => {
    expect(messages(`stages:\n${times(30_000, (i) => `  s${i}: {}\n`)}`)).toEqual([
      `the file has more than ${limits.tokens} words of YAML`,
    ]);
  });

  it('shows a hundred errors and counts the rest', () => {
    const shown = said(`env: {\n${times(150, (i) => ` A${i}: [],\n`)}}\nstages: { a: { steps: [x] } }`);
    expect(shown.match(/^error: expected a string, got an empty list$/gm)).toHaveLength(100);
    expect(shown).toContain('error: 50 more problems are not shown\n');
  });

  it('is not slow where many expressions have no end', () => {
    expect(messages(`stages: { a: { steps: ['${'${{ x '.repeat(150_000)}'] } }`)).toEqual([
      '`${{` without its `}}`',
    ]);
  });
});

describe('bounds of a pipeline', () => {
  const cells = (count: number): string => `[${times(count, (i) => `v${i},`)}]`;

  it('allow 256 cells of a matrix and no more', () => {
    expect(
      compiled(`stages: { a: { matrix: { x: ${cells(16)}, y: ${cells(16)} }, steps: [x] } }`),
    ).toHaveLength(256);
    expect(messages(`stages: { a: { matrix: { x: ${cells(257)} }, steps: [x] } }`)).toEqual([
      'a matrix of 257 values: more than 256 stages',
    ]);
  });

  it('allow 1,000 stages, cells counted, and no more', () => {
    expect(compiled(`stages:\n${times(1000, (i) => `  s${i}: { steps: [x] }\n`)}`)).toHaveLength(1000);
    const matrices = times(4, (i) => `  s${i}: { matrix: { x: ${cells(250)} }, steps: [x] }\n`);
    expect(compiled(`stages:\n${matrices}`)).toHaveLength(1000);
    expect(messages(`stages:\n${matrices}  one: { steps: [x] }`)).toEqual([
      '1001 stages, the cells of matrices counted: at most 1000',
    ]);
    expect(messages(`stages:\n${times(1001, (i) => `  s${i}: { steps: [x] }\n`)}`)).toEqual([
      '1001 stages: at most 1000',
    ]);
  });

  it('hold for a stage when it is compiled: 256 KiB', () => {
    expect(compiled(`stages: { a: { steps: ["${'x'.repeat(250 * 1024)}"] } }`)).toHaveLength(1);
    expect(messages(`stages: { a: { steps: ["${'x'.repeat(257 * 1024)}"] } }`)).toEqual([
      'stage `a` has 258 KiB when compiled, the limit is 256 KiB',
    ]);
    const spliced = `'${'${{ matrix.x }}'.repeat(10_000)}'`;
    expect(messages(`stages: { a: { matrix: { x: [${'v'.repeat(100)}] }, steps: [${spliced}] } }`)).toEqual([
      'the values of the matrix make this text too long',
    ]);
  });

  it('hold for all stages together', () => {
    const env = `env: { A: "${'x'.repeat(200_000)}" }`;
    const [message] = messages(`${env}\nstages:\n${times(100, (i) => `  s${i}: { steps: [x] }\n`)}`);
    expect(message).toBe('with this stage the pipeline exceeds 15.0 MiB when compiled');
  });

  it('hold for what the journal takes of all stages', () => {
    const steps = `steps: [${times(20, () => `"${'n'.repeat(79)}",`)}]`;
    const [message] = messages(`stages:\n${times(400, (i) => `  s${i}: { ${steps} }\n`)}`);
    expect(message).toBe('with this stage the names and needs of all stages exceed 400 KiB');
  });
});
