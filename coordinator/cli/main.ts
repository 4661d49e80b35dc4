#!/usr/bin/env node
/** `gantry`: performs one command and turns how it ended into an exit code. */
import { CliError, messageOf } from './cli-error.js';
import { exitCodes, type ExitCode } from './exit-codes.js';
import { runProgram } from './program.js';
import { printable } from '../../shared/text/terminal-text.js';

// A reader that has seen enough (`gantry logs | head`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? 0 : exitCodes.ours),
  );
}

function report(error: unknown): ExitCode {
  if (error instanceof CliError) {
    const text = error.message.split('\n').map(printable).join('\n');
    process.stderr.write(`gantry: ${text}\n`);
    for (const remedy of error.remedies) process.stderr.write(`  → ${printable(remedy)}\n`);
    return error.exitCode;
  }
  process.stderr.write(`gantry: this should not have happened: ${printable(messageOf(error))}\n`);
  if (error instanceof Error && process.env['GANTRY_DEBUG'] !== undefined)
    process.stderr.write(`${error.stack ?? ''}\n`);
  else process.stderr.write('  → please report it; GANTRY_DEBUG=1 shows where it came from\n');
  return exitCodes.ours;
}

try {
  const code = await runProgram(process.argv.slice(2));
  if (code !== undefined) process.exitCode = code;
} catch (error) {
  process.exitCode = report(error);
}
