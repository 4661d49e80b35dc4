/**
 * Networks. All boxes of an agent are on one bridge on which containers cannot reach each other; a stage with
 * services has a network of its own beside it, to which its box is connected. (A network for each box would cost
 * 1.75 times as much as sharing one, measured, and the daemon makes networks one at a time.)
 */
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type Docker from 'dockerode';
import { sleep } from '../../shared/async/sleep.js';
import type { AgentId } from '../../shared/model/ids.js';
import { attemptKey } from '../../shared/model/ids.js';
import { ignoreStatus, statusOf, wordsOf } from './docker-daemon.js';
import { labelFilter, labelNames, labelsOf, type Owned } from './docker-options.js';
import { candidateSubnet, formatSubnet, parseRoutes } from './subnets.js';

const execute = promisify(execFile);
const subnetTries = 50;
const endpointMs = 5_000;

/** The agent's shared network; found by labels, because the daemon allows two networks of one name. */
export class SharedNetwork {
  readonly #docker: Docker;
  readonly #agent: AgentId;
  #id: Promise<string> | undefined;

  constructor(docker: Docker, agent: AgentId) {
    this.#docker = docker;
    this.#agent = agent;
  }

  id(): Promise<string> {
    this.#id ??= this.#findOrCreate().catch((error: unknown) => {
      this.#id = undefined;
      throw error;
    });
    return this.#id;
  }

  /** Someone removed it: the next `id` makes a new one. */
  forget(): void {
    this.#id = undefined;
  }

  /** Unless boxes are still on it, which the next agent process adopts. */
  async remove(): Promise<void> {
    // One that is being made would be made after the look, and stay.
    await this.#id?.catch(() => undefined);
    this.forget();
    for (const { Id } of await this.#list()) await this.#removeUnused(Id);
  }

  async #removeUnused(id: string): Promise<void> {
    const deadline = performance.now() + endpointMs;
    for (;;) {
      try {
        await this.#docker.getNetwork(id).remove();
        return;
      } catch (error) {
        if (statusOf(error) === 404) return;
        // 403: it has active endpoints. The daemon lets go of a removed container's a moment after its removal.
        if (statusOf(error) !== 403) throw error;
        const filters = labelFilter({ [labelNames.agent]: this.#agent });
        const isUsed = (await this.#docker.listContainers({ filters })).length > 0;
        if (isUsed || performance.now() > deadline) return;
        await sleep(50);
      }
    }
  }

  #labels(): Record<string, string> {
    return { [labelNames.agent]: this.#agent, [labelNames.role]: 'shared-network' };
  }

  #list(): Promise<Docker.NetworkInspectInfo[]> {
    return this.#docker.listNetworks({ filters: labelFilter(this.#labels()) });
  }

  async #findOrCreate(): Promise<string> {
    const [found] = await this.#list();
    if (found !== undefined) return found.Id;
    return createNetwork(this.#docker, {
      Name: `gantry-${this.#agent}`,
      Driver: 'bridge',
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
      Labels: this.#labels(),
      subnetBits: 22,
    });
  }
}

/** A network for one attempt's services. */
export const createServiceNetwork = (docker: Docker, owned: Owned): Promise<string> =>
  createNetwork(docker, {
    Name: `gantry-${owned.agent}-${attemptKey(owned.ref).replaceAll('/', '-')}-${owned.token}`,
    Driver: 'bridge',
    Labels: labelsOf(owned, 'network'),
    subnetBits: 28,
  });

async function createNetwork(
  docker: Docker,
  wanted: Docker.NetworkCreateOptions & { readonly subnetBits: 22 | 28 },
): Promise<string> {
  const { subnetBits, ...options } = wanted;
  const routes = parseRoutes(await readFile('/proc/net/route', 'latin1').catch(() => ''));
  const start = randomInt(1 << 16);
  for (let attempt = 0; ; attempt += 1) {
    const subnet = candidateSubnet({ start, attempt, bits: subnetBits, routes });
    if (subnet === undefined && attempt < subnetTries) continue;
    try {
      const network = await docker.createNetwork({
        ...options,
        // The last try leaves the choice to the daemon's own pools.
        ...(subnet === undefined || attempt >= subnetTries
          ? {}
          : { IPAM: { Driver: 'default', Config: [{ Subnet: formatSubnet(subnet) }] } }),
      });
      return network.id;
    } catch (error) {
      if (attempt >= subnetTries || !isOverlap(error)) throw error;
    }
  }
}

const isOverlap = (error: unknown): boolean =>
  statusOf(error) !== undefined && /overlap/i.test(wordsOf(error));

export async function removeNetwork(docker: Docker, id: string): Promise<void> {
  await docker.getNetwork(id).remove().catch(ignoreStatus(404));
}

/**
 * Cloud metadata (169.254.169.254 and its like) hands out the machine's own credentials. A policy rule in the box's
 * network namespace makes TCP to link-local addresses unreachable; ports up to 53 stay open, because in some clouds
 * the name server is at the same address. Needs root, `nsenter` and `ip`; false where it could not be done.
 */
export async function blockMetadata(pid: number): Promise<boolean> {
  const rule = ['to', '169.254.0.0/16', 'ipproto', 'tcp', 'dport', '54-65534', 'unreachable'];
  try {
    await execute('nsenter', ['-t', String(pid), '-n', 'ip', 'rule', 'add', ...rule], { timeout: 10_000 });
    return true;
  } catch {
    // Not root, programs missing, or a kernel without policy routing: the caller says that the address is open.
    return false;
  }
}
