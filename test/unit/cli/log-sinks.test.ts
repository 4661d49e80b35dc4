import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { LogPiece } from '../../../coordinator/cli/follow/log-reader.js';
import { jsonSink, rawSink, textSink } from '../../../coordinator/cli/follow/log-sinks.js';
import { createOutput, type Output } from '../../../coordinator/cli/output.js';

const piece = (step: number, text: string | Buffer, more: Partial<LogPiece> = {}): LogPiece => ({
  stage: 1,
  title: 'test (v=1)',
  attempt: 1,
  step,
  stepName: `step ${step}`,
  offset: 0,
  bytes: Buffer.from(text),
  at: '2026-01-01T00:00:00.000Z',
  missing: '',
  ...more,
});

interface Captured {
  readonly output: Output;
  readonly text: () => Buffer;
  readonly notes: () => string;
}

function captured(): Captured {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => out.push(chunk));
  stderr.on('data', (chunk: Buffer) => err.push(chunk));
  return {
    output: createOutput({ json: false }, { stdout, stderr }, {}),
    text: () => Buffer.concat(out),
    notes: () => Buffer.concat(err).toString(),
  };
}

describe('where logs go', () => {
  it('raw: the exact bytes, and what is missing only on stderr', async () => {
    const { output, text, notes } = captured();
    const sink = rawSink(output);
    const bytes = Buffer.from([0, 255, 27, 91, 51, 49, 109, 13, 10]);
    await sink.bytes(piece(1, bytes));
    await sink.missing(piece(1, ''), 'bytes 9 to 10 are missing');
    await sink.end();
    expect(text()).toEqual(bytes);
    expect(notes()).toContain('bytes 9 to 10 are missing');
  });

  it('text: whole lines of each step below its name', async () => {
    const { output, text } = captured();
    const sink = textSink(output, { oneStep: false });
    await sink.bytes(piece(1, 'a'));
    await sink.bytes(piece(2, 'other\n'));
    await sink.bytes(piece(1, 'b\nrest'));
    await sink.end();
    expect(text().toString()).toBe(
      '── test (v=1) · 2 step 2 ──\nother\n── test (v=1) · 1 step 1 ──\nab\nrest\n',
    );
  });

  it('text of one step: as it grows, without a name', async () => {
    const { output, text } = captured();
    const sink = textSink(output, { oneStep: true });
    await sink.bytes(piece(1, '..'));
    expect(text().toString()).toBe('..');
    await sink.bytes(piece(1, '.\n'));
    await sink.end();
    expect(text().toString()).toBe('...\n');
  });

  it('JSON: a line each, also one without an end, joined over pieces', async () => {
    const { output, text } = captured();
    const sink = jsonSink(output);
    await sink.bytes(piece(1, 'one\ntw'));
    await sink.bytes(piece(1, 'o\nthr\u001b[31mee', { at: '2026-01-01T00:00:01.000Z' }));
    await sink.end();
    const lines = text()
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ text: line, at }) => [line, at])).toEqual([
      ['one', '2026-01-01T00:00:00.000Z'],
      ['two', '2026-01-01T00:00:01.000Z'],
      ['three', '2026-01-01T00:00:01.000Z'],
    ]);
    expect(lines[0]).toMatchObject({ stage: 'test (v=1)', step: 1, stepName: 'step 1' });
  });
});
