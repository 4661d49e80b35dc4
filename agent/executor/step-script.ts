/** A step's command as the two files that the supervisor's shell runs: `<number>.sh` prepares, `step-<number>` is it. */
import type { StepCommand } from './executor.js';
import { shellQuote } from './supervisor.js';

export interface StepPlace {
  /** Directories as the step sees them. */
  readonly in: string;
  readonly out: string;
  readonly workspace: string;
  /** HOME where the image's is not writable. */
  readonly home: string;
  /** As the box finds them; a path, unless the shell is built into itself (busybox). */
  readonly shell: { readonly name: 'bash' | 'sh'; readonly path: string };
  readonly id: string;
}

const shellName = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Read-only in a bash that runs as `sh`: exporting one would end the script. */
const readOnly = new Set(['UID', 'EUID', 'PPID', 'BASHOPTS', 'SHELLOPTS', 'BASH_VERSINFO']);
const canExport = (name: string): boolean => shellName.test(name) && !readOnly.has(name);

/** Set before the stage's own environment, which may override it. */
const defaults: Readonly<Record<string, string>> = {
  CI: 'true',
  // The files belong to the box's user, but a step may drop to another one, and git refuses a stranger's repository.
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
};

const exportLine = (name: string, value: string): string => `export ${name}=${shellQuote(value)}`;

/**
 * Runs in `sh`, whatever shell the step gets. Names that no shell can export (`a.b`) are set by `env`, which shows them in
 * the list of processes for a moment: such a name for a secret is refused. Throws on a NUL byte too, which no environment and
 * no script can carry.
 */
export function prepareScript(command: StepCommand, place: StepPlace): string {
  const own = {
    GANTRY_ENV: `${place.out}/${place.id}.env`,
    GANTRY_OUTPUT: `${place.out}/${place.id}.output`,
  };
  const variables = Object.entries({ ...command.env, ...own });
  for (const [name, value] of variables) {
    if (name === '' || name.includes('=') || name.includes('\0') || value.includes('\0')) {
      throw new RangeError(
        `the environment variable ${JSON.stringify(name)} has an impossible name or a NUL byte`,
      );
    }
  }
  const shown = command.secretVariables?.find((name) => !canExport(name));
  if (shown !== undefined) {
    throw new RangeError(`no shell can export ${shown}: give the secret another variable`);
  }
  const exported = variables.filter(([name]) => canExport(name));
  const others = variables.filter(([name]) => !canExport(name));
  const flags = place.shell.name === 'bash' ? '-eo pipefail' : '-e';
  const workdir = command.workdir === undefined ? place.workspace : `${place.workspace}/${command.workdir}`;
  const prefix =
    others.length === 0
      ? ''
      : `env ${others.map(([name, value]) => shellQuote(`${name}=${value}`)).join(' ')} `;
  return [
    `echo $$ >${shellQuote(`${place.out}/${place.id}.pid`)}`,
    'umask 022',
    // As `test -w` says, not by trying: a home that is someone else's must stay untouched.
    `[ -n "\${HOME-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ] || export HOME=${shellQuote(place.home)}`,
    ...Object.entries(defaults).map(([name, value]) => exportLine(name, value)),
    ...exported.map(([name, value]) => exportLine(name, value)),
    `cd ${shellQuote(workdir)} || exit 1`,
    `exec ${prefix}${shellQuote(place.shell.path)} ${flags} ${shellQuote(`${place.in}/step-${command.number}`)}`,
    '',
  ].join('\n');
}
