/** What must be on the machine before anything is started, each with its remedy. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CliError } from '../cli-error.js';
import { probeDocker } from '../doctor/docker-probe.js';
import { exitCodes } from '../exit-codes.js';

/** In the order of PATH, then where packages put it that are not on everybody's PATH. */
export async function findProgram(
  name: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string | undefined> {
  const directories = [
    ...(env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/local/bin',
  ];
  for (const directory of directories) {
    if (directory === '') continue;
    const file = join(directory, name);
    if (await isProgram(file)) return file;
  }
  return undefined;
}

export const natsRemedies = [
  'install it: apt-get install nats-server (Debian, Ubuntu), brew install nats-server, or from github.com/nats-io/nats-server/releases',
  'or use an existing one: gantry up --nats URL (see gantry nats init --help)',
] as const;

/** `GANTRY_NATS_SERVER`, or the one that is found. */
export async function findNatsServer(): Promise<string> {
  const given = process.env['GANTRY_NATS_SERVER'] ?? '';
  const found = given === '' ? await findProgram('nats-server') : given;
  if (found !== undefined && (await isProgram(found))) return found;
  const what =
    given === ''
      ? 'the program nats-server is not on this machine'
      : `GANTRY_NATS_SERVER names no program: ${given}`;
  throw new CliError(exitCodes.refused, what, { remedies: natsRemedies });
}

async function isProgram(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

export const dockerRemedies = [
  'install and start it: apt-get install docker.io (Debian, Ubuntu) as root, or see docs.docker.com/engine/install',
  'without containers: gantry up --executor host --ignore-image (steps run on this machine itself, without isolation)',
] as const;

export async function requireDocker(): Promise<void> {
  const docker = await probeDocker();
  if (docker.kind === 'answers') return;
  throw new CliError(exitCodes.refused, `no Docker daemon can be used: ${docker.reason}`, {
    remedies: dockerRemedies,
  });
}
