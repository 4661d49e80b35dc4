/** A box in a container: opening it, adopting it after a restart, freezing and removing it. */
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import type { AgentId } from '../../shared/model/ids.js';
import { boxStartError, greetingError } from './docker-box-errors.js';
import { daemonError, statusOf } from './docker-daemon.js';
import { DockerLink } from './docker-link.js';
import { blockMetadata, type SharedNetwork } from './docker-network.js';
import { boxContainer, boxPaths, type BoxLimits, type Owned } from './docker-options.js';
import { removeAttempt } from './docker-removal.js';
import { startServices } from './docker-services.js';
import { ExecutorError, type Box, type BoxSpec } from './executor.js';
import type { Owner } from './guarded-file.js';
import { attemptDirectory } from './in-directory.js';
import type { StartQueue } from './start-queue.js';
import { SupervisedBox, type SupervisedBoxOptions } from './supervised-box.js';
import { parseGreeting } from './supervisor.js';
import { parseBoxRecord, type BoxRecord } from './box-record.js';

const greetingMs = 30_000;

/** What all boxes of an agent share. */
export interface BoxHouse {
  readonly docker: Docker;
  readonly agent: AgentId;
  readonly limits: BoxLimits;
  readonly log: Logger;
  readonly network: SharedNetwork;
  readonly starts: StartQueue;
  /** On a tmpfs; undefined: scripts lie in the slot. */
  readonly memoryDirectory: string | undefined;
}

class DockerBox extends SupervisedBox implements Box {
  readonly #house: BoxHouse;
  readonly #owned: Owned;
  readonly #container: Docker.Container;
  readonly #link: DockerLink;
  readonly #inDirectory: string;

  constructor(
    options: Omit<SupervisedBoxOptions, 'link'> & {
      readonly house: BoxHouse;
      readonly owned: Owned;
      readonly container: Docker.Container;
      readonly link: DockerLink;
    },
  ) {
    super(options);
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
      if (statusOf(error) !== 409 && statusOf(error) !== 404) throw daemonError(error, 'freeze a box');
    }
  }

  async remove(): Promise<void> {
    this.close();
    this.#link.close();
    await removeAttempt(this.#house.docker, this.#owned).catch((error: unknown) => {
      throw daemonError(error, 'remove a box');
    });
    await rm(this.#inDirectory, { recursive: true, force: true });
  }

  /** The agent goes, the box stays. */
  release(): void {
    this.close();
    this.#link.close();
  }
}

export type { DockerBox };

const recordFile = (spec: BoxSpec): string => join(spec.slot.root, 'box.json');
const stepsFile = (spec: BoxSpec): string => join(spec.slot.root, 'steps');

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
  const opening = failing(startBox(house, spec, owned, inDirectory, either));
  const services =
    spec.services.length === 0
      ? Promise.resolve(undefined)
      : failing(startServices({ ...house, owned, services: spec.services, signal: either }));
  try {
    // Both come to rest before anything is removed, or a late container would stay.
    await Promise.allSettled([opening, services]);
    signal.throwIfAborted();
    begun.signal.throwIfAborted();
    const [box, networkId] = await Promise.all([opening, services]);
    if (networkId !== undefined)
      await house.docker.getNetwork(networkId).connect({ Container: box.containerId });
    signal.throwIfAborted();
    return box.box;
  } catch (error) {
    const box = await opening.catch(() => undefined);
    box?.box.release();
    await removeAttempt(house.docker, owned).catch((again: unknown) =>
      house.log.warn({ err: again }, 'a box that could not be opened could not be removed either'),
    );
    await rm(inDirectory, { recursive: true, force: true });
    throw error instanceof ExecutorError || signal.aborted ? error : daemonError(error, 'open a box');
  }
}

async function startBox(
  house: BoxHouse,
  spec: BoxSpec,
  owned: Owned,
  inDirectory: string,
  signal: AbortSignal,
): Promise<{ readonly box: DockerBox; readonly containerId: string }> {
  const { docker, limits, log } = house;
  if (spec.image === undefined) {
    throw new ExecutorError({
      kind: 'invalid-pipeline',
      message: 'the stage has no image: this agent runs steps in containers',
    });
  }
  const user = boxUser(spec.user);
  const hello = randomBytes(8).toString('hex');
  const home = join(spec.slot.root, 'home');
  await Promise.all([
    mkdir(inDirectory, { recursive: true, mode: 0o755 }),
    mkdir(home, { recursive: true, mode: 0o755 }),
  ]);
  await writeFile(join(inDirectory, 'hello'), `${hello}\n`, { mode: 0o644 });
  const networkId = await house.network.id();
  const { container, link, greeting } = await house.starts.run(async () => {
    signal.throwIfAborted();
    const options = boxContainer({
      owned,
      image: spec.image ?? '',
      ...(user === undefined ? {} : { user }),
      networkId,
      limits,
      directories: { in: inDirectory, out: spec.slot.out, home, workspace: spec.slot.workspace },
    });
    try {
      const container = await docker.createContainer(options);
      const link = new DockerLink({ container, limits, log });
      await link.attach();
      const greeting = link.greeting(AbortSignal.any([signal, AbortSignal.timeout(greetingMs)]));
      await container.start();
      return { container, link, greeting: await greeting };
    } catch (error) {
      house.network.forget();
      throw boxStartError(error, { image: spec.image ?? '', user });
    }
  });
  try {
    signal.throwIfAborted();
    const said = parseGreeting(greeting ?? '');
    const { State: state } = await container.inspect();
    if (said?.kind !== 'ready' || said.hello !== hello)
      throw greetingError(said, { image: spec.image, state });
    await link.located(state.Pid);
    const owner = await ownerOf(state.Pid);
    if (!(await blockMetadata(state.Pid))) log.debug('the metadata address could not be blocked in this box');
    await handOver(owner, [spec.slot.workspace, spec.slot.out, home]);
    const record: BoxRecord = {
      container: container.id,
      inDirectory,
      owner,
      shell: said.bash === undefined ? { name: 'sh', path: said.sh } : { name: 'bash', path: said.bash },
    };
    await writeFile(recordFile(spec), JSON.stringify(record), { mode: 0o600 });
    return { box: boxOf(house, spec, record, container, link), containerId: container.id };
  } catch (error) {
    link.close();
    throw error;
  }
}

/** A box that was opened by an agent process before; undefined when it is gone or was never fully opened. */
export async function adoptDockerBox(house: BoxHouse, spec: BoxSpec): Promise<DockerBox | undefined> {
  const record = parseBoxRecord(await readFile(recordFile(spec), 'utf8').catch(() => ''));
  if (record === undefined) return undefined;
  const container = house.docker.getContainer(record.container);
  try {
    const { State: state } = await container.inspect();
    const link = new DockerLink({ container, limits: house.limits, log: house.log });
    await link.adopt(state);
    return boxOf(house, spec, record, container, link);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw daemonError(error, 'adopt a box');
  }
}

function boxOf(
  house: BoxHouse,
  spec: BoxSpec,
  record: BoxRecord,
  container: Docker.Container,
  link: DockerLink,
): DockerBox {
  return new DockerBox({
    house,
    owned: { agent: house.agent, ref: spec.ref, token: spec.token },
    container,
    link,
    agent: house.agent,
    inDirectory: record.inDirectory,
    outDirectory: spec.slot.out,
    stepsFile: stepsFile(spec),
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

/** As root: the image's or the stage's. Otherwise only the agent's own, whose files it can remove again. */
function boxUser(wanted: string | undefined): string | undefined {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return wanted;
  const own = `${uid}:${process.getgid?.() ?? uid}`;
  if (wanted !== undefined && wanted !== own && wanted !== String(uid)) {
    const message = `user: ${wanted} needs an agent that runs as root; this one runs as uid ${uid}, and so do its boxes (remove \`user\`, or run the agent as root)`;
    throw new ExecutorError({ kind: 'invalid-pipeline', message });
  }
  return own;
}

/** Whose the box's supervisor is, in the host's numbers; 0.9 ms, where an exec of `id` takes 43. */
async function ownerOf(pid: number): Promise<Owner> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  const id = (name: string): number | undefined => {
    const found = new RegExp(String.raw`^${name}:\s+(\d+)`, 'm').exec(status)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const uid = id('Uid');
  const gid = id('Gid');
  // In its own process namespace it is number 1.
  if (uid === undefined || gid === undefined || !/^NSpid:\s+\d+(?:\s+\d+)*\s+1$/m.test(status)) {
    const message =
      'the box’s processes are not visible to the agent: run it on the daemon’s machine (in a container: with --pid=host)';
    throw new ExecutorError({ kind: 'box-broken', message });
  }
  return { uid, gid };
}

async function handOver(owner: Owner, directories: readonly string[]): Promise<void> {
  if (owner.uid === process.getuid?.() && owner.gid === process.getgid?.()) return;
  await Promise.all(directories.map((directory) => chown(directory, owner.uid, owner.gid)));
}
