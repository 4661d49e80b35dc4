/** Stages in containers: one box per attempt, see docker-box.ts, and what all boxes of an agent share. */
import { rmdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import type { AgentId } from '../../shared/model/ids.js';
import { attemptKey } from '../../shared/model/ids.js';
import { adoptDockerBox, openDockerBox, type BoxHouse, type DockerBox } from './docker-box.js';
import { checkDocker, isShared } from './docker-check.js';
import { connectDocker, daemonError, type DockerConnection } from './docker-daemon.js';
import { DockerImages } from './docker-images.js';
import { SharedNetwork } from './docker-network.js';
import { foundBy, labelFilter, labelNames, type BoxLimits } from './docker-options.js';
import { removeAllBut } from './docker-removal.js';
import type { BoxSpec, Executor, FoundBox } from './executor.js';
import { attemptDirectory, findMemoryDirectory, sweepMemoryDirectory } from './in-directory.js';
import { removeTree } from './remove-tree.js';
import { InTurn } from '../../shared/async/in-turn.js';
import { Limit } from '../../shared/async/limit.js';

export interface DockerExecutorOptions {
  readonly agentId: AgentId;
  readonly dataDirectory: string;
  /** Patterns of images that may come from this machine alone; `*`: all. */
  readonly localImages: readonly string[];
  /** Of each box, and of each service. */
  readonly limits: BoxLimits;
  readonly log: Logger;
  readonly docker?: DockerConnection;
}

export function createDockerExecutor(options: DockerExecutorOptions): Executor {
  return new DockerExecutor(options);
}

class DockerExecutor implements Executor {
  readonly kind = 'docker';
  readonly labels = ['executor=docker', 'images'];
  readonly #options: DockerExecutorOptions;
  readonly #docker: Docker;
  readonly #images: DockerImages;
  readonly #network: SharedNetwork;
  // Starting is the cost (namespaces, shim, runc); more at once than cores only makes each wait longer, measured.
  readonly #starts = new Limit(Math.max(1, availableParallelism()));
  readonly #names = new InTurn<string>();
  #house: Promise<BoxHouse> | undefined;
  readonly #boxes = new Set<DockerBox>();

  constructor(options: DockerExecutorOptions) {
    this.#options = options;
    this.#docker = connectDocker(options.docker);
    this.#images = new DockerImages(this.#docker, options.localImages);
    this.#network = new SharedNetwork(this.#docker, options.agentId);
  }

  async check(): Promise<void> {
    const { agentId: agent, dataDirectory, log } = this.#options;
    const options = { docker: this.#docker, agent, dataDirectory, log };
    await checkDocker(options);
    const house = await this.#open();
    if (house.memoryDirectory !== undefined && !(await isShared(options, house.memoryDirectory))) {
      log.warn(
        'the scripts of steps are kept on disk: the Docker daemon does not see this machine’s memory file system',
      );
      this.#house = Promise.resolve({ ...house, memoryDirectory: undefined });
    }
    await this.#network.id();
  }

  resolveImage(image: string, options: Parameters<Executor['resolveImage']>[1]): Promise<string> {
    return this.#images.resolve(image, options);
  }

  likelyImage(image: string, pinned: string | undefined): string | undefined {
    return this.#images.likely(image, pinned);
  }

  async openBox(spec: BoxSpec, signal: AbortSignal): Promise<DockerBox> {
    signal.throwIfAborted();
    const box = await openDockerBox(await this.#open(), spec, signal);
    this.#boxes.add(box);
    return box;
  }

  async findBoxes(): Promise<readonly FoundBox[]> {
    const filters = labelFilter({ [labelNames.agent]: this.#options.agentId, [labelNames.role]: 'box' });
    try {
      const containers = await this.#docker.listContainers({ all: true, filters });
      return containers.map((each) => foundBy(each.Labels)).filter((each) => each !== undefined);
    } catch (error) {
      throw daemonError(error, 'list the boxes');
    }
  }

  async adoptBox(spec: BoxSpec): Promise<DockerBox | undefined> {
    const box = await adoptDockerBox(await this.#open(), spec);
    if (box !== undefined) this.#boxes.add(box);
    return box;
  }

  async sweep(keep: ReadonlySet<string>): Promise<void> {
    const { memoryDirectory } = await this.#open();
    try {
      await removeAllBut(this.#docker, this.#options.agentId, keep);
      if (memoryDirectory === undefined) return;
      const boxes = await this.findBoxes();
      const kept = boxes
        .filter(({ ref }) => keep.has(attemptKey(ref)))
        .map(({ ref }) => attemptDirectory(ref));
      await sweepMemoryDirectory(memoryDirectory, new Set(kept));
    } catch (error) {
      throw daemonError(error, 'remove what is left of earlier boxes');
    }
  }

  removeTree(path: string): Promise<void> {
    return removeTree(path);
  }

  /** Boxes that still run stay, for the next agent process. */
  async close(): Promise<void> {
    for (const box of this.#boxes) box.release();
    this.#boxes.clear();
    // The daemon may be away, which must not keep the agent from ending; the next start sweeps.
    await this.#network.remove().catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'the network of this agent stays until its next start');
    });
    const house = await this.#house;
    if (house?.memoryDirectory !== undefined) {
      // Not empty while boxes live on.
      await rmdir(house.memoryDirectory).catch(() => undefined);
    }
  }

  #open(): Promise<BoxHouse> {
    this.#house ??= this.#build();
    return this.#house;
  }

  async #build(): Promise<BoxHouse> {
    return {
      docker: this.#docker,
      agent: this.#options.agentId,
      limits: this.#options.limits,
      log: this.#options.log,
      network: this.#network,
      starts: this.#starts,
      names: this.#names,
      memoryDirectory: await findMemoryDirectory(this.#options.agentId),
    };
  }
}
