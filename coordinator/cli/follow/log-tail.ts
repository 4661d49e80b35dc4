import type { RunSelector } from '../../../shared/wire/gen/gantry/v1/RunSelector.js';
import { CliError } from '../cli-error.js';
import type { RunsApi } from '../grpc-client.js';
import { colors } from '../output.js';
import { createTerminalText, resetColor } from '../../../shared/text/terminal-text.js';

/** Of the failed step's log: about so much is fetched, so many lines are shown. */
const tailBytes = 8192;
const tailMaxLines = 25;

export interface TailOf {
  readonly stage: number;
  readonly attempt: number;
  readonly step: number;
}

/** The end of a step's log; a sentence instead of it where it cannot be had, because the run's news matter more. */
export async function readTail(
  api: RunsApi,
  run: RunSelector,
  of: TailOf,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  try {
    const request = {
      run,
      stage: String(of.stage),
      step: String(of.step),
      attempt: of.attempt,
      follow: false,
      tailBytes,
    };
    for await (const piece of api.logs(request, signal)) if (piece.bytes) chunks.push(piece.bytes);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return new TextEncoder().encode(`(its log cannot be read now: ${error.message})`);
  }
  return Buffer.concat(chunks);
}

export function tailLines(bytes: Uint8Array, options: { readonly color: boolean }): string[] {
  const paint = colors(options.color);
  const terminal = createTerminalText(options);
  const lines = (terminal.push(bytes) + terminal.end()).split('\n');
  while (lines.length > 0 && lines.at(-1)?.replaceAll(resetColor, '').trim() === '') lines.pop();
  const shown = lines.slice(-tailMaxLines);
  const bar = paint.dim('│');
  const cut = shown.length < lines.length ? [`           ${paint.dim('│ …')}`] : [];
  // Each line ends in the terminal's own colours, whatever the step left open.
  return [
    ...cut,
    ...shown.map((line) => `           ${bar} ${line}${line.includes('\u001b') ? resetColor : ''}`),
  ];
}
