/** Shape of a command module: it adds arguments, options and help to a command that `program.ts` made. */
import type { Command } from 'commander';
import type { ExitCode } from './exit-codes.js';

export interface CommandModule {
  configure(command: Command): void;
}

/** Text after the options in `--help`. */
export function examples(...lines: readonly string[]): string {
  return `\nExample${lines.length === 1 ? '' : 's'}:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

/** For options that may be repeated. */
export const collect = (value: string, previous: readonly string[] | undefined): readonly string[] => [
  ...(previous ?? []),
  value,
];

/** An action whose result is the exit code of the process. */
export const exits = (code: ExitCode): void => {
  process.exitCode = code;
};
