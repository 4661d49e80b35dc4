import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { CliError } from '../cli-error.js';
import { exitCodes } from '../exit-codes.js';
import { nameHolder } from './port-holder.js';
import type { PortName, Ports } from './up-file.js';

export const defaultPorts: Ports = { grpc: 7420, http: 7421, nats: 7422, s3: 7423 };
/** 0: any free one. */
export const noPorts: Ports = { grpc: 0, http: 0, nats: 0, s3: 0 };

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

/** As messages name them. */
export const portTitles: Readonly<Record<PortName, string>> = {
  grpc: 'gRPC',
  http: 'HTTP',
  nats: 'NATS',
  s3: 'S3',
};

/** `port 7422 (NATS) is taken by nats-server (pid 12)` */
export function takenText(name: PortName, port: number): string {
  const holder = nameHolder(port);
  return `port ${port} (${portTitles[name]}) is taken${holder === undefined ? '' : ` by ${holder}`}`;
}

/** Somebody else has a port that was free when it was chosen: between choosing and listening it is nobody's. */
export class PortLost extends Error {
  override readonly name = 'PortLost';
  constructor(
    readonly portName: PortName,
    readonly port: number,
  ) {
    super(takenText(portName, port));
  }
}

/** For a port that may not move: one that was asked for, or that others know from an earlier start. */
export function explainLoss(loss: PortLost, asked: Partial<Ports>): CliError {
  const flag = `--${loss.portName}-port`;
  return new CliError(exitCodes.refused, loss.message, {
    remedies:
      asked[loss.portName] === undefined
        ? [`end what has it, or give another by ${flag}: agents and contexts then need the new address`]
        : [`end what has it, or leave ${flag} out: a free port is found`],
    cause: loss,
  });
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
  /** Another `up` starts at the same time and wants the usual ports too: they are left to it. */
  readonly contested: boolean;
}): Promise<{ readonly ports: Ports; readonly moved: readonly PortName[] }> {
  const { host, asked, recorded, adopted, contested } = request;
  const usual = contested ? noPorts : defaultPorts;
  const chosen: Record<PortName, number> = { ...noPorts };
  const moved: PortName[] = [];
  const used = new Set<number>();
  for (const name of ['grpc', 'http', 'nats', 's3'] as const) {
    const want = asked[name] ?? recorded?.[name] ?? usual[name];
    const mine = adopted.has(name) && recorded?.[name] === want;
    const free = mine || (want !== 0 && !used.has(want) && (await isFree(host, want)));
    if (!free && want !== 0 && asked[name] !== undefined) {
      const holder = nameHolder(want);
      const by = holder === undefined ? '' : ` by ${holder}`;
      throw new CliError(exitCodes.refused, `port ${want} (--${name}-port) is taken on ${host}${by}`, {
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
