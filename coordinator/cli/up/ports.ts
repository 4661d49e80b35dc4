import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import type { PortName, Ports } from './up-file.js';

export const defaultPorts: Ports = { grpc: 7420, http: 7421, nats: 7422, s3: 7423 };

/** Whether nobody listens there now. */
export function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/**
 * Below the range from which systems give ports to outgoing connections (32768 on Linux, 49152 elsewhere): a daemon that
 * is started again must not find its port lent out. By chance and not in order, so that two that start at once differ.
 */
const firstFree = 10_000;
const lastFree = 32_767;

export async function anyFree(host: string): Promise<number> {
  for (let tries = 0; tries < 200; tries += 1) {
    const port = randomInt(firstFree, lastFree + 1);
    if (await isFree(host, port)) return port;
  }
  throw new CliError(
    exitCodes.refused,
    `no free port was found on ${host} between ${firstFree} and ${lastFree}`,
    {
      remedies: [`check that ${host} is an address of this machine: ip address`],
    },
  );
}

/**
 * The ports to use: those asked for (an error when taken), else those of last time, else the usual ones, else free
 * ones. A port that an adopted daemon holds counts as free for it.
 */
export async function choosePorts(request: {
  readonly host: string;
  readonly asked: Partial<Ports>;
  readonly recorded: Ports | undefined;
  readonly adopted: ReadonlySet<PortName>;
}): Promise<{ readonly ports: Ports; readonly moved: readonly PortName[] }> {
  const { host, asked, recorded, adopted } = request;
  const chosen: Record<PortName, number> = { ...defaultPorts };
  const moved: PortName[] = [];
  const used = new Set<number>();
  for (const name of ['grpc', 'http', 'nats', 's3'] as const) {
    const want = asked[name] ?? recorded?.[name] ?? defaultPorts[name];
    const mine = adopted.has(name) && recorded?.[name] === want;
    const free = mine || (want !== 0 && !used.has(want) && (await isFree(host, want)));
    if (!free && want !== 0 && asked[name] !== undefined) {
      throw new CliError(exitCodes.refused, `port ${want} (--${name}-port) is taken on ${host}`, {
        remedies: [
          `see who has it: ss -ltnp 'sport = :${want}'`,
          'or leave the flag out: a free port is found',
        ],
      });
    }
    chosen[name] = free ? want : await anyFree(host);
    if (chosen[name] !== want && want !== 0) moved.push(name);
    used.add(chosen[name]);
  }
  return { ports: chosen, moved };
}
