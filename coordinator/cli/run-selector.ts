/** RUN, STAGE and `--cell` as people type them, to what the coordinator is asked. */
import type { RunSelector } from '../../shared/wire/gen/gantry/v1/RunSelector.js';
import { CliError } from './cli-error.js';
import { exitCodes } from './exit-codes.js';
import { projectNameOf } from './project-name.js';

/** A run id or the beginning of one; left out, the latest run of the project that the current directory belongs to. */
export async function selectRun(run: string | undefined, directory = process.cwd()): Promise<RunSelector> {
  if (run === undefined || run === '') return { run: '', projectName: await projectNameOf(directory) };
  const typed = run.trim().toLowerCase();
  if (/^[a-z2-7]{1,16}$/.test(typed)) return { run: typed, projectName: '' };
  throw new CliError(
    exitCodes.usage,
    `${JSON.stringify(run)} is not a run: ids are up to 16 letters a-z and digits 2-7`,
    {
      remedies: ['`gantry runs` lists runs; left out, RUN is the latest one of this repository'],
    },
  );
}

/** `--cell python=3.12`, also several times or with commas. */
export function parseCell(pairs: readonly string[]): Readonly<Record<string, string>> {
  return parsePairs(
    pairs.flatMap((pair) => pair.split(',')),
    '--cell',
    'python=3.12',
  );
}

/** `KEY=VALUE` options that may be repeated; the value may hold anything, also `=`. */
export function parsePairs(
  pairs: readonly string[],
  option: string,
  example: string,
): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const key = at < 0 ? '' : pair.slice(0, at).trim();
    if (key === '') {
      throw new CliError(
        exitCodes.usage,
        `${option} ${JSON.stringify(pair)}: expected KEY=VALUE, for example ${option} ${example}`,
      );
    }
    values[key] = pair.slice(at + 1);
  }
  return values;
}

/** Names of environment variables that a shell can read. */
export function checkEnvironmentNames(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(env)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new CliError(
        exitCodes.usage,
        `--env ${name}: not a name that a shell can read (letters, digits and _)`,
      );
    }
  }
}
