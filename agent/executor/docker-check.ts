/** What must be true of the Docker daemon before an agent takes stages. */
import { randomBytes } from 'node:crypto';
import { access, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import { pack } from 'tar-stream';
import type { AgentId } from '../../shared/model/ids.js';
import { boxStartError } from './docker-box-errors.js';
import { daemonError, ignoreStatus } from './docker-daemon.js';
import { labelNames } from './docker-options.js';
import { ExecutorError } from './executor.js';

export interface DockerCheckOptions {
  readonly docker: Docker;
  readonly dataDirectory: string;
  readonly agent: AgentId;
  readonly log: Logger;
}

/** Whether the daemon sees a directory of the agent's; a tmpfs may be the agent's alone. */
export const isShared = (options: DockerCheckOptions, directory: string): Promise<boolean> =>
  checkSharedFiles(options, directory).then(
    () => true,
    () => false,
  );

/** Throws ExecutorError with what is missing and the remedy. */
export async function checkDocker(options: DockerCheckOptions): Promise<void> {
  const { docker, log } = options;
  let info: { readonly OSType?: string; readonly BridgeNfIptables?: boolean };
  try {
    info = (await docker.info()) as typeof info;
  } catch (error) {
    throw daemonError(error, 'run stages');
  }
  if (info.OSType !== undefined && info.OSType !== 'linux') {
    throw broken(`the Docker daemon runs ${info.OSType} containers; Gantry’s boxes need Linux ones`);
  }
  // Without it the bridge forwards between containers past the firewall's rules. Newer daemons do not say; they
  // load what they need when a network without inter-container traffic is made.
  if (info.BridgeNfIptables === false) {
    throw broken(
      'boxes of different stages could reach each other, because bridged traffic passes the firewall by: sysctl -w net.bridge.bridge-nf-call-iptables=1 (modprobe br_netfilter first)',
    );
  }
  await checkSharedFiles(options, options.dataDirectory);
  if (process.getuid?.() !== 0) {
    log.warn(
      'the cloud metadata address 169.254.169.254 is open to steps: only an agent that runs as root can block it',
    );
  } else if (!(await hasPrograms(['nsenter', 'ip']))) {
    log.warn(
      'the cloud metadata address 169.254.169.254 is open to steps: install iproute2 and util-linux (ip, nsenter)',
    );
  }
}

const broken = (message: string): ExecutorError => new ExecutorError({ kind: 'box-broken', message });

/**
 * The daemon must see the agent's files at the same path. Proved without running anything, because there may be no
 * image yet: a container with such a mount, of an image with nothing in it, is refused when the source is missing.
 */
async function checkSharedFiles({ docker, agent }: DockerCheckOptions, directory: string): Promise<void> {
  const name = `probe-${randomBytes(8).toString('hex')}`;
  const file = join(directory, name);
  const image = `gantry-probe:${name}`;
  try {
    await writeFile(file, '');
    await importNothing(docker, image);
    const container = await docker.createContainer({
      Image: image,
      Cmd: ['nothing'],
      // So that a sweep finds it should this process end right here.
      Labels: { [labelNames.agent]: agent, [labelNames.role]: 'probe' },
      HostConfig: {
        NetworkMode: 'none',
        Mounts: [{ Type: 'bind', Source: file, Target: '/probe', ReadOnly: true }],
      },
    });
    await container.remove({ v: true });
  } catch (error) {
    throw boxStartError(error, { image, user: undefined });
  } finally {
    await rm(file, { force: true });
    await docker.getImage(image).remove().catch(ignoreStatus(404));
  }
}

async function importNothing(docker: Docker, image: string): Promise<void> {
  const archive = pack();
  archive.entry({ name: 'probe' }, '');
  archive.finalize();
  const [repo, tag] = image.split(':');
  const stream = await docker.importImage(Readable.from(archive), { repo, tag });
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null) =>
      error === null ? resolve() : reject(error),
    );
  });
}

async function hasPrograms(names: readonly string[]): Promise<boolean> {
  const directories = (process.env['PATH'] ?? '').split(':');
  const has = async (name: string): Promise<boolean> => {
    const found = await Promise.allSettled(directories.map((directory) => access(join(directory, name))));
    return found.some((each) => each.status === 'fulfilled');
  };
  return (await Promise.all(names.map(has))).every(Boolean);
}
