import type { Command } from 'commander';
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, statSync } from 'node:fs';
import { sleep } from '../../../shared/async/sleep.js';
import { CliError } from '../cli-error.js';
import { collect, examples, exits } from '../command.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';
import { colors, createOutput, type Output } from '../output.js';
import { untilInterrupted } from '../session.js';
import { readFrom } from '../up/down.js';
import { logFileOf, openLog } from '../up/log-file.js';
import { readOwner } from '../up/lock.js';
import { completeUpOptions, type UpFlags, type UpOptions } from '../up/options.js';
import { isAlive } from '../up/process-identity.js';
import { readUpFile, type Ready } from '../up/up-file.js';
import { runUp } from '../up/up.js';

export function configure(command: Command): void {
  command
    .option('--data <dir>', 'where everything is kept (default: GANTRY_DATA, $XDG_STATE_HOME/gantry)')
    .option('--agents <n>', 'agents on this machine (default: 1)')
    .option('--slots <n>', 'stages that each of them runs at once (default: 2)')
    .option('--detach', 'go on in the background, until `gantry down`')
    .option(
      '--executor <docker|host>',
      'where steps run: in containers, or on this machine itself (default: docker)',
    )
    .option('--ignore-image', 'with --executor host: run stages that name an image all the same')
    .option('--label <label>', 'a label that the agents offer; repeatable', collect)
    .option(
      '--repo-root <dir>',
      'repositories below this directory may be built by path; repeatable',
      collect,
    )
    .option(
      '--smtp <url>',
      'mail people about their runs by smtp://HOST:PORT (with USER:PASSWORD@ better as GANTRY_SMTP in the environment)',
    )
    .option('--mail-from <address>', 'sender of mail (default: gantry@ this machine)')
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--advertise <name>', 'name or address that others reach this machine by (default: --host)')
    .option('--tls-cert <file>', 'certificate chain for gRPC, NATS and storage')
    .option('--tls-key <file>', 'its key')
    .option('--tls-ca <file>', 'authority of the certificate, when it is one of your own')
    .option('--insecure', 'listen off loopback without TLS')
    .option('--grpc-port <n>', 'default: 7420, or a free one')
    .option('--http-port <n>', 'default: 7421, or a free one')
    .option('--nats-port <n>', 'default: 7422, or a free one')
    .option('--s3-port <n>', 'default: 7423, or a free one')
    .option('--keys <dir>', 'keys that were made elsewhere by `gantry nats init` (default: DATA/keys)')
    .option('--nats <url>', 'use an existing NATS server instead of starting one')
    .option('--nats-creds <file>', 'its credentials (default: coordinator.creds of --keys)')
    .option('--nats-ca <file>', 'authority of its certificate')
    .option(
      '--s3-endpoint <url>',
      'use an existing S3-compatible storage; keys: GANTRY_S3_ACCESS_KEY, GANTRY_S3_SECRET_KEY',
    )
    .option('--s3-public-endpoint <url>', 'the same as agents and people reach it')
    .option('--s3-bucket <name>', 'bucket (default: gantry)')
    .option('--s3-region <name>', 'region (default: us-east-1)')
    .option('--log-level <level>', 'of all daemons (default: info)')
    .option('--json', 'one line when runs can be submitted: {"ready":true,"grpc":…}')
    .description(
      'NATS, storage, coordinator and agents on this machine, kept running; Ctrl-C or `gantry down` stops them.',
    )
    .addHelpText(
      'after',
      examples(
        'gantry up                       # in the foreground',
        'gantry up --detach --agents 3',
        'gantry up --executor host --ignore-image   # without Docker',
      ),
    )
    .action(async (flags: UpFlags) => {
      const options = completeUpOptions(flags, process.env);
      const output = createOutput({ json: flags.json === true });
      exits(flags.detach === true ? await detached(options, output) : await foreground(options, output));
    });
}

async function foreground(options: UpOptions, output: Output): Promise<ExitCode> {
  await untilInterrupted((signal) =>
    runUp(
      options,
      { progress: (text) => output.note(text), ready: (ready) => announce(ready, options, output, true) },
      signal,
    ),
  );
  return exitCodes.done;
}

/** Starts the same command in a session of its own and waits until it is ready, showing what it says. */
async function detached(options: UpOptions, output: Output): Promise<ExitCode> {
  const running = readOwner(options.data.lockFile);
  if (running !== undefined && isAlive(running)) {
    output.note(`\`gantry up\` runs already (pid ${running.pid}), with the options it was started with`);
    return waitUntilReady(options, output, () => undefined);
  }
  mkdirSync(options.data.logs, { recursive: true, mode: 0o700 });
  const log = openLog(options.data.logs, 'up');
  const file = logFileOf(options.data.logs, 'up');
  let offset = statSync(file).size;
  const args = withoutSmtp(process.argv.slice(1)).filter((arg) => arg !== '--detach' && arg !== '--json');
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...(options.smtp === undefined ? {} : { GANTRY_SMTP: options.smtp }) },
  });
  closeSync(log);
  let ended: ExitCode | undefined;
  child.once(
    'exit',
    (code) => (ended = code === exitCodes.usage || code === exitCodes.refused ? code : exitCodes.ours),
  );
  child.once('error', () => (ended = exitCodes.ours));
  child.unref();
  return waitUntilReady(options, output, () => {
    const more = readFrom(file, offset);
    offset = more.offset;
    if (more.text !== '' && readUpFile(options.data.upFile)?.ready == null) process.stderr.write(more.text);
    return ended;
  });
}

/** It may hold a password: what goes on in the background gets it by its environment. */
const withoutSmtp = (args: readonly string[]): readonly string[] =>
  args.filter((arg, i) => arg !== '--smtp' && !arg.startsWith('--smtp=') && args[i - 1] !== '--smtp');

async function waitUntilReady(
  options: UpOptions,
  output: Output,
  look: () => ExitCode | undefined,
): Promise<ExitCode> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const ended = look();
    // What it said is on the terminal already.
    if (ended !== undefined) return ended;
    const file = readUpFile(options.data.upFile);
    if (file?.ready != null && file.supervisor !== null && isAlive(file.supervisor)) {
      announce(file.ready, options, output, false);
      return exitCodes.done;
    }
    if (Date.now() > deadline) {
      throw new CliError(exitCodes.ours, '`gantry up` is not ready after 120 s', {
        remedies: [`what it says: ${logFileOf(options.data.logs, 'up')}`, 'stop it with `gantry down`'],
      });
    }
    await sleep(50);
  }
}

function announce(ready: Ready, options: UpOptions, output: Output, foregroundRun: boolean): void {
  if (output.json) {
    output.data(ready);
    return;
  }
  const paint = colors(output.color);
  const agents = ready.daemons.filter((daemon) => daemon.name.startsWith('agent-')).length;
  output.line('');
  output.line(paint.green('Gantry is up.'));
  output.line(`  coordinator  ${ready.grpc}   (health and metrics: ${ready.http})`);
  output.line(`  NATS         ${ready.nats}`);
  output.line(`  storage      ${ready.s3}`);
  output.line(
    `  agents       ${agents} × ${options.slots} slots, executor ${options.executor}${options.ignoreImage ? ' (images are ignored)' : ''}`,
  );
  output.line(`  data         ${options.data.root}`);
  output.line('');
  output.line('Next, in a directory with code:');
  output.line('  gantry init              write a .gantry.yml');
  output.line('  gantry submit --follow   run it');
  output.line(
    foregroundRun
      ? '  Ctrl-C                   stop everything'
      : '  gantry down              stop everything',
  );
}
