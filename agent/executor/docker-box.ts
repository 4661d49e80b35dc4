/** A box in a container: opening it, adopting it after a restart, freezing and removing it. */
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import type { AgentId } from '../../shared/model/ids.js';
import { parseBoxRecord } from './box-record.js';
import { startBox, type StartedBox } from './docker-box-start.js';
import { DockerBuilder, goOn, stillFile } from './docker-build.js';
import { executorError, statusOf } from './docker-daemon.js';
import { DockerLink } from './docker-link.js';
import type { SharedNetwork } from './docker-network.js';
import { boxPaths, type BoxLimits, type Owned } from './docker-options.js';
import { removeAttempt } from './docker-removal.js';
import { startServices } from './docker-services.js';
import type { Box, BoxSpec, SlotDirectories } from './executor.js';
import { attemptDirectory } from './in-directory.js';
import type { InTurn } from '../../shared/async/in-turn.js';
import type { Limit } from '../../shared/async/limit.js';
import { SupervisedBox, type SupervisedBoxOptions } from './supervised-box.js';

/** What all boxes of an agent share. */
export interface BoxHouse {
  readonly docker: Docker;
  readonly agent: AgentId;
  readonly limits: BoxLimits;
  readonly log: Logger;
  readonly network: SharedNetwork;
  readonly starts: Limit;
  /** Who gives a name to an image, and pushes it. */
  readonly names: InTurn<string>;
  /** On a tmpfs; undefined: scripts lie in the slot. */
  readonly memoryDirectory: string | undefined;
}

class DockerBox extends SupervisedBox implements Box {
  readonly #house: BoxHouse;
  readonly #owned: Owned;
  readonly #container: Docker.Container;
  readonly #link: DockerLink;
  readonly #inDirectory: string;
  readonly builder: DockerBuilder;

  constructor(
    options: Omit<SupervisedBoxOptions, 'link'> & {
      readonly house: BoxHouse;
      readonly owned: Owned;
      readonly container: Docker.Container;
      readonly link: DockerLink;
      readonly slot: SlotDirectories;
    },
  ) {
    super(options);
    this.builder = new DockerBuilder(options);
    this.#house = options.house;
    this.#owned = options.owned;
    this.#container = options.container;
    this.#link = options.link;
    this.#inDirectory = options.inDirectory;
  }

  async freeze(): Promise<void> {
    try {
      // 12 ms, where ending the box takes 40 to 90; what is paused is never continued, only removed.
      await this.#container.pause();
    } catch (error) {
      // 409: paused already, or not running. 404: gone. Nothing runs in it in any of these.
      if (statusOf(error) !== 409 && statusOf(error) !== 404) {
        throw executorError(error, 'freeze a box', this.#house.agent);
      }
    }
  }

  async remove(): Promise<void> {
    this.close();
    this.builder.end();
    this.#link.dismiss('the box was removed');
    try {
      await removeAttempt(this.#house.docker, this.#owned);
      await rm(this.#inDirectory, { recursive: true, force: true });
    } catch (error) {
      throw executorError(error, 'remove a box', this.#house.agent);
    }
  }

  /** The agent goes, the box stays; nothing more is told of its step. */
  release(): void {
    this.abandon();
    this.builder.end();
    this.close();
    this.#link.close();
  }
}

export type { DockerBox };

const recordFile = (spec: BoxSpec): string => join(spec.slot.root, 'box.json');

export async function openDockerBox(house: BoxHouse, spec: BoxSpec, signal: AbortSignal): Promise<DockerBox> {
  const owned: Owned = { agent: house.agent, ref: spec.ref, token: spec.token };
  const inDirectory = join(
    house.memoryDirectory ?? spec.slot.root,
    house.memoryDirectory === undefined ? 'in' : attemptDirectory(spec.ref),
  );
  const begun = new AbortController();
  const either = AbortSignal.any([signal, begun.signal]);
  const failing = <T>(part: Promise<T>): Promise<T> =>
    part.catch((error: unknown) => {
      begun.abort(error);
      throw error;
    });
  // The box starts while the services do, and is connected to their network once they are ready.
  const opening = failing(startBox({ house, spec, owned, inDirectory, signal: either }));
  const services =
    spec.services.length === 0
      ? Promise.resolve(undefined)
      : failing(startServices({ ...house, owned, services: spec.services, signal: either }));
  try {
    // Both come to rest before anything is removed, or a late container would stay.
    await Promise.allSettled([opening, services]);
    signal.throwIfAborted();
    begun.signal.throwIfAborted();
    const [started, networkId] = await Promise.all([opening, services]);
    if (networkId !== undefined) {
      await house.docker.getNetwork(networkId).connect({ Container: started.container.id });
    }
    // Last: a box without this record was not fully opened, and is not adopted.
    await writeFile(recordFile(spec), JSON.stringify(started.record), { mode: 0o600 });
    signal.throwIfAborted();
    return boxOf(house, spec, started);
  } catch (error) {
    (await opening.catch(() => undefined))?.link.close();
    await removeAttempt(house.docker, owned).catch((again: unknown) =>
      house.log.warn({ err: again }, 'a box that could not be opened could not be removed either'),
    );
    await rm(inDirectory, { recursive: true, force: true });
    throw signal.aborted ? error : executorError(error, 'open a box', house.agent);
  }
}

/** A box that was opened by an agent process before; undefined when it is gone or was never fully opened. */
export async function adoptDockerBox(house: BoxHouse, spec: BoxSpec): Promise<DockerBox | undefined> {
  const record = parseBoxRecord(await readFile(recordFile(spec), 'utf8').catch(() => ''));
  if (record === undefined) return undefined;
  const container = house.docker.getContainer(record.container);
  try {
    // A build held it still when the agent was killed; what was frozen for good stays so.
    if (existsSync(stillFile(spec.slot))) await goOn(container, spec.slot);
    const { State: state } = await container.inspect();
    const link = new DockerLink({ container, limits: house.limits, log: house.log });
    await link.adopt(state);
    return boxOf(house, spec, { container, link, record });
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw executorError(error, 'adopt a box', house.agent);
  }
}

function boxOf(house: BoxHouse, spec: BoxSpec, { container, link, record }: StartedBox): DockerBox {
  return new DockerBox({
    house,
    owned: { agent: house.agent, ref: spec.ref, token: spec.token },
    container,
    link,
    slot: spec.slot,
    agent: house.agent,
    inDirectory: record.inDirectory,
    outDirectory: spec.slot.out,
    stepsFile: join(spec.slot.root, 'steps'),
    owner: record.owner,
    place: {
      in: boxPaths.in,
      out: boxPaths.out,
      workspace: boxPaths.workspace,
      home: boxPaths.home,
      shell: record.shell,
    },
  });
}
