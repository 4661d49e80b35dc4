import type { Command } from 'commander';
import { CliError } from '../cli-error.js';
import { examples, exits } from '../command.js';
import { resolveConnection } from '../connection.js';
import { exitCodes } from '../exit-codes.js';
import { connect } from '../grpc-client.js';
import { colors, createOutput } from '../output.js';
import { addClientOptions, type ClientFlags } from '../session.js';
import { printable } from '../../../shared/text/terminal-text.js';
import { dataDir } from '../up/data-dir.js';
import {
  checkDisk,
  checkDocker,
  checkGit,
  checkIsolation,
  checkLimits,
  checkNats,
  checkNode,
  checkUp,
} from '../doctor/checks.js';
import { failure, ok, warning, type Check } from '../doctor/check.js';

interface DoctorFlags extends ClientFlags {
  readonly data?: string;
}

export function configure(command: Command): void {
  addClientOptions(
    command.option(
      '--data <dir>',
      'data directory of `gantry up` (default: GANTRY_DATA, $XDG_STATE_HOME/gantry)',
    ),
  )
    .description(
      'What is missing on this machine, how to get it, and what the coordinator says of itself. Exit code 1 when something essential is missing.',
    )
    .addHelpText(
      'after',
      examples('gantry doctor', 'gantry doctor --json | jq \'.checks[] | select(.level != "ok")\''),
    )
    .action(async (flags: DoctorFlags) => {
      const output = createOutput({ json: flags.json === true });
      const data = dataDir(flags.data, process.env);
      const docker = await checkDocker();
      const checks: Check[] = [
        checkNode(),
        await checkGit(),
        await checkNats(),
        docker,
        ...(docker.level === 'error' ? [] : [checkIsolation()]),
        await checkDisk(data),
        await checkUp(data),
        checkLimits(),
        ...(await checkCoordinator(flags)),
      ];
      if (output.json) output.data({ checks });
      else for (const line of checkLines(checks, output.color)) output.line(line);
      exits(checks.some((check) => check.level === 'error') ? exitCodes.runFailed : exitCodes.done);
    });
}

async function checkCoordinator(flags: DoctorFlags): Promise<readonly Check[]> {
  const connection = resolveConnection(flags, process.env);
  const api = connect(connection);
  try {
    const answer = await api.diagnose({}, { timeoutMs: 20_000 });
    const own = (answer.checks ?? []).map((check): Check => {
      const { name = '', level, message = '', remedy = '' } = check;
      return {
        name: `coordinator: ${name}`,
        level: level === 'error' || level === 'warning' ? level : 'ok',
        message,
        remedy,
      };
    });
    return [
      ok('coordinator', `${connection.address} answers, version ${answer.version ?? 'unknown'}`),
      ...own,
    ];
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    // A machine that is only being set up has none yet.
    const check = error.exitCode === exitCodes.unreachable ? warning : failure;
    return [check('coordinator', error.message, error.remedies.join('; '))];
  } finally {
    api.close();
  }
}

export function checkLines(checks: readonly Check[], color: boolean): readonly string[] {
  const paint = colors(color);
  const width = Math.max(...checks.map((check) => check.name.length));
  return checks.flatMap((check) => {
    const mark =
      check.level === 'ok'
        ? paint.green('✓')
        : check.level === 'warning'
          ? paint.yellow('!')
          : paint.red('✗');
    const line = `${mark} ${check.name.padEnd(width)}  ${printable(check.message)}`;
    return check.remedy === ''
      ? [line]
      : [line, `  ${' '.repeat(width)}  ${paint.dim(`→ ${printable(check.remedy)}`)}`];
  });
}
