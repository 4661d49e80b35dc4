/** Where a command writes, and how: colour and live progress on a terminal only, one JSON document a line for scripts. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

export interface Output {
  readonly json: boolean;
  /** Colour on stdout. */
  readonly color: boolean;
  /** A line for people on stdout. */
  line(text: string): void;
  /** A line for people on stderr: warnings, progress, what to do next. Also with `--json`, whose stdout is for data only. */
  note(text: string): void;
  /** One JSON document, one line, on stdout. */
  data(value: unknown): void;
  /** Exact bytes or text on stdout; resolves once more may be written. */
  write(chunk: Uint8Array | string): Promise<void>;
}

export interface Streams {
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/** `NO_COLOR` (any value) and `TERM=dumb` turn colour off, `FORCE_COLOR` on; otherwise a terminal has it. */
export function wantsColor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  if ((env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb') return false;
  if ((env['FORCE_COLOR'] ?? '') !== '' && env['FORCE_COLOR'] !== '0') return true;
  return stream.isTTY === true;
}

export function createOutput(
  options: { readonly json: boolean },
  streams: Streams = process,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Output {
  const { stdout, stderr } = streams;
  return {
    json: options.json,
    color: wantsColor(stdout, env),
    line: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    data: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    write: async (chunk) => {
      if (!stdout.write(chunk)) await once(stdout, 'drain');
    },
  };
}

export type Paint = (text: string) => string;
export interface Colors {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
}

export function colors(on: boolean): Colors {
  const paint =
    (code: number): Paint =>
    (text) =>
      on && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
  return {
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
}
