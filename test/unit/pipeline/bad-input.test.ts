import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compilePipeline } from '../../../coordinator/pipeline/compile.js';
import { said } from './compiled.js';

/**
 * Each file of `cases/` is a pipeline, a line of `=`, and what is said about it, to the character.
 */
const folder = new URL('cases/', import.meta.url);
const cases = readdirSync(folder).filter((name) => name.endsWith('.case'));

describe('what is said about', () => {
  it.each(cases.map((name) => [name.replace('.case', '').replaceAll('-', ' '), name]))('%s', (_, name) => {
    const [, text = '', verdict, expected] =
      /^([^]*?)^======== (compiles|is refused)\n([^]*)\n$/m.exec(
        readFileSync(new URL(name, folder), 'utf8'),
      ) ?? [];
    expect(verdict).toBeDefined();
    expect(said(text)).toBe(expected);
    expect(compilePipeline(text, { file: '.gantry.yml' }).ok).toBe(verdict === 'compiles');
  });
});
