/** Where log bytes go, in order and once: exact to stdout, as text for people, or as JSON lines. */
import { colors, type Output } from '../output.js';
import { createTerminalText, printable, type TerminalText } from '../../../shared/text/terminal-text.js';
import type { LogPiece } from './log-reader.js';

export interface LogSink {
  bytes(piece: LogPiece): Promise<void>;
  missing(piece: LogPiece, message: string): Promise<void>;
  end(): Promise<void>;
}

const labelOf = (piece: LogPiece): string => {
  const name = piece.stepName === '' ? '' : ` ${printable(piece.stepName)}`;
  return `${printable(piece.title)} · ${piece.step}${name}`;
};
const keyOf = (piece: LogPiece): string => `${piece.stage}/${piece.attempt}/${piece.step}`;

export function rawSink(output: Output): LogSink {
  return {
    bytes: (piece) => output.write(piece.bytes),
    missing: (piece, message) => {
      output.note(`gantry: ${labelOf(piece)}: ${message}`);
      return Promise.resolve();
    },
    end: () => Promise.resolve(),
  };
}

/** Text of several steps can arrive interleaved: whole lines are never mixed, a headline says whose lines follow. */
export function textSink(output: Output, options: { readonly oneStep: boolean }): LogSink {
  const paint = colors(output.color);
  const texts = new Map<
    string,
    { readonly terminal: TerminalText; readonly piece: LogPiece; rest: string }
  >();
  let current = '';
  const write = async (piece: LogPiece, text: string): Promise<void> => {
    if (text === '') return;
    const key = keyOf(piece);
    if (!options.oneStep && key !== current) {
      await output.write(
        `${paint.dim('──')} ${paint.bold(labelOf(piece))}${piece.attempt > 1 ? ` (attempt ${piece.attempt})` : ''} ${paint.dim('──')}\n`,
      );
    }
    current = key;
    await output.write(text);
  };
  return {
    async bytes(piece) {
      const key = keyOf(piece);
      const state = texts.get(key) ?? {
        terminal: createTerminalText({ color: output.color }),
        piece,
        rest: '',
      };
      texts.set(key, state);
      const text = state.rest + state.terminal.push(piece.bytes);
      // While one step alone writes, its unfinished line (a prompt, dots of progress) is shown as it grows.
      const end = options.oneStep ? text.length : text.lastIndexOf('\n') + 1;
      state.rest = text.slice(end);
      await write(piece, text.slice(0, end));
    },
    async missing(piece, message) {
      await write(piece, paint.yellow(`[${printable(message)}]`) + '\n');
    },
    async end() {
      for (const { terminal, piece, rest } of texts.values()) {
        const last = rest + terminal.end();
        await write(piece, options.oneStep || last === '' ? last : `${last}\n`);
      }
    },
  };
}

/** `{stage, step, at, text}` for each line; `at` is when the last of it arrived, null where that is not known. */
export function jsonSink(output: Output): LogSink {
  const lines = new Map<string, { readonly terminal: TerminalText; last: LogPiece; rest: string }>();
  const line = (piece: LogPiece, extra: object): string => {
    const { title, stage, attempt, step, stepName, at } = piece;
    const of = { stage: title, stageNumber: stage, attempt, step, stepName, at: at === '' ? null : at };
    return `${JSON.stringify({ ...of, ...extra })}\n`;
  };
  return {
    async bytes(piece) {
      const key = keyOf(piece);
      const state = lines.get(key) ?? {
        terminal: createTerminalText({ color: false }),
        last: piece,
        rest: '',
      };
      lines.set(key, state);
      state.last = piece;
      const parts = (state.rest + state.terminal.push(piece.bytes)).split('\n');
      state.rest = parts.pop() ?? '';
      // One write for a piece: a million lines are a million writes otherwise.
      if (parts.length > 0) await output.write(parts.map((text) => line(piece, { text })).join(''));
    },
    missing: (piece, message) => output.write(line(piece, { text: '', missing: message })),
    async end() {
      for (const { terminal, last, rest } of lines.values()) {
        const text = rest + terminal.end();
        if (text !== '') await output.write(line(last, { text }));
      }
    },
  };
}
