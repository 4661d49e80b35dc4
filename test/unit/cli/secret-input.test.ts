import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readSecret } from '../../../coordinator/cli/secret-input.js';

let directory: string;
let written: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-secret-'));
  written = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(directory, { recursive: true, force: true });
});

const prompt = 'Value: ';
const piped = (...chunks: readonly (string | Buffer)[]): ReadStream => {
  const stream = new PassThrough();
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  return stream as unknown as ReadStream; // Of a terminal it lacks what is not used of one that is none.
};

/** A terminal: `modes` says when it was raw. */
function terminal() {
  const modes: boolean[] = [];
  const keys = new PassThrough();
  const stdin = Object.assign(keys, {
    isTTY: true,
    setRawMode: (raw: boolean) => {
      modes.push(raw);
    },
  });
  return { keys, modes, stdin: stdin as unknown as ReadStream };
}

describe('a value from stdin or a file', () => {
  it('of one line has no line end; of several it is whole', async () => {
    expect(await readSecret({ prompt, stdin: piped('to', 'ken\n') })).toBe('token');
    expect(await readSecret({ prompt, stdin: piped('token\r\n') })).toBe('token');
    expect(await readSecret({ prompt, stdin: piped('  spaces  ') })).toBe('  spaces  ');
    expect(await readSecret({ prompt, stdin: piped('one\ntwo\n') })).toBe('one\ntwo\n');
    const file = join(directory, 'key');
    await writeFile(file, 'from a file\n');
    expect(await readSecret({ prompt, file })).toBe('from a file');
    expect(await readSecret({ prompt, file: '-', stdin: piped('dash\n') })).toBe('dash');
    expect(written).toBe('');
  });

  it('that is no text, or too much, or not there, is refused without being shown', async () => {
    await expect(readSecret({ prompt, stdin: piped(Buffer.from([0xff, 0xfe, 0x41])) })).rejects.toThrow(
      /no UTF-8 text/,
    );
    await expect(readSecret({ prompt, stdin: piped('x'.repeat(65_537)) })).rejects.toThrow(/more than 65536/);
    await expect(readSecret({ prompt, file: join(directory, 'none') })).rejects.toThrow(/ENOENT/);
  });
});

describe('a value that is typed', () => {
  it('is read without an echo, with what was deleted left out', async () => {
    const { keys, modes, stdin } = terminal();
    const reading = readSecret({ prompt, stdin });
    keys.write('wrong\u0015toke');
    keys.write('m\u007fn\r');
    expect(await reading).toBe('token');
    expect(modes).toEqual([true, false]);
    expect(written).toBe(`${prompt}\n`);
  });

  it('can be interrupted', async () => {
    const { keys, modes, stdin } = terminal();
    const reading = readSecret({ prompt, stdin });
    keys.write('tok\u0003');
    await expect(reading).rejects.toThrow(/nothing was set/);
    expect(modes).toEqual([true, false]);
  });
});
