import type { Command } from 'commander';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CliError, messageOf, systemCodeOf } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { createOutput } from '../output.js';
import { starterPipeline } from '../starter.js';

interface InitFlags {
  readonly json?: boolean;
  readonly force?: boolean;
}

/** Files that say what a directory holds (package.json, Cargo.toml …) are small. */
const maxReadBytes = 256 * 1024;

export function configure(command: Command): void {
  command
    .argument('[dir]', 'default: .')
    .option('--force', 'replace the one that is there')
    .option('--json', 'for scripts: {"path":…}')
    .description('Write a commented starter .gantry.yml for what the directory holds.')
    .addHelpText('after', examples('gantry init && gantry validate'))
    .action((directory: string | undefined, flags: InitFlags) => {
      const output = createOutput({ json: flags.json === true });
      const root = path.resolve(directory ?? '.');
      const { text, explains } = starterPipeline(namesIn(root), (name) => readSmall(path.join(root, name)));
      const file = path.join(root, '.gantry.yml');
      try {
        writeFileSync(file, text, { flag: flags.force === true ? 'w' : 'wx' });
      } catch (error) {
        if (systemCodeOf(error) === 'EEXIST') {
          throw new CliError(exitCodes.refused, `${file} is there already`, {
            remedies: ['check it with `gantry validate`, or replace it with --force'],
          });
        }
        throw new CliError(exitCodes.usage, `cannot write ${file}: ${messageOf(error)}`, { cause: error });
      }
      if (output.json) output.data({ path: file });
      else {
        output.line(`wrote ${file}`);
        if (explains !== '') output.line(explains);
        output.line('  gantry validate          check it, see its graph');
        output.line('  gantry submit --follow   run it');
      }
      exits(exitCodes.done);
    });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    throw new CliError(exitCodes.usage, `cannot read the directory ${directory}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function readSmall(file: string): string | undefined {
  try {
    const stats = statSync(file);
    return stats.isFile() && stats.size <= maxReadBytes ? readFileSync(file, 'utf8') : undefined;
  } catch {
    return undefined; // gone or not readable: the starter is a guess anyway
  }
}
