/** A registry of images: Debian's `docker-registry` on loopback, with one user or for everybody. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './eventually.js';
import { runProgram } from './installation.js';
import { freePort } from './nats.js';

export interface RegistryServer {
  /** As in references: `127.0.0.1:40123`. */
  readonly address: string;
  /** What it has logged so far. */
  readonly log: () => string;
  stop(): Promise<void>;
}

export async function startRegistry(
  options: { readonly credentials?: { readonly user: string; readonly password: string } } = {},
): Promise<RegistryServer> {
  const { credentials } = options;
  const directory = await mkdtemp(join(tmpdir(), 'gantry-registry-'));
  const address = `127.0.0.1:${await freePort()}`;
  const config = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
    http: { addr: address },
    ...(credentials === undefined
      ? {}
      : { auth: { htpasswd: { realm: 'test', path: join(directory, 'htpasswd') } } }),
  };
  // JSON is YAML.
  await writeFile(join(directory, 'config.yml'), JSON.stringify(config));
  if (credentials !== undefined) {
    const { user, password } = credentials;
    const made = await runProgram('htpasswd', ['-niB', user], { input: password });
    if (made.code !== 0) throw new Error(`htpasswd: ${made.stderr}`);
    await writeFile(join(directory, 'htpasswd'), made.stdout);
  }
  const child = spawn('docker-registry', ['serve', join(directory, 'config.yml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const hear = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-200_000);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const failed = once(child, 'error').then(([error]) => {
    throw new Error('docker-registry cannot be started: apt-get install docker-registry', { cause: error });
  });
  const answers = eventually('the registry answers', async () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${said}`);
    const answer = await fetch(`http://${address}/v2/`).catch(() => undefined);
    return answer !== undefined;
  });
  failed.catch(() => undefined);
  await Promise.race([answers, failed]);
  return {
    address,
    log: () => said,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}
