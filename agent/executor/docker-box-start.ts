/** Starts the container of a box and waits until its supervisor answers. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { chown, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { BoxRecord } from './box-record.js';
import type { BoxHouse } from './docker-box.js';
import { boxStartError, greetingError } from './docker-box-errors.js';
import { ignoreStatus, wordsOf } from './docker-daemon.js';
import { DockerLink } from './docker-link.js';
import { blockMetadata } from './docker-network.js';
import { boxContainer, type Owned } from './docker-options.js';
import { ExecutorError, type BoxSpec } from './executor.js';
import type { Owner } from './guarded-file.js';
import { parseGreeting, type Greeting } from './supervisor.js';

const greetingMs = 30_000;

export interface StartedBox {
  readonly container: Docker.Container;
  readonly link: DockerLink;
  readonly record: BoxRecord;
}

interface Answered {
  readonly container: Docker.Container;
  readonly link: DockerLink;
  readonly greeting: string | undefined;
}

export async function startBox(options: {
  readonly house: BoxHouse;
  readonly spec: BoxSpec;
  readonly owned: Owned;
  readonly inDirectory: string;
  readonly signal: AbortSignal;
}): Promise<StartedBox> {
  const { house, spec, owned, inDirectory, signal } = options;
  const { image } = spec;
  if (image === undefined) {
    const message = 'the stage has no image: this agent runs steps in containers';
    throw new ExecutorError({ kind: 'invalid-pipeline', message });
  }
  const user = boxUser(spec.user);
  const hello = randomBytes(8).toString('hex');
  const home = join(spec.slot.root, 'home');
  // At once: as the slot's own directories (workspace/slots.ts), the container waits for them.
  for (const directory of [inDirectory, home]) mkdirSync(directory, { recursive: true, mode: 0o755 });
  // Needed by its start, not by its creation.
  const greeted = writeFile(join(inDirectory, 'hello'), `${hello}\n`, { mode: 0o644 });
  greeted.catch(() => undefined); // Awaited below.
  const answer = (networkId: string): Promise<Answered> =>
    startContainer({
      house,
      signal,
      greeted,
      wanted: boxContainer({
        owned,
        image,
        ...(user === undefined ? {} : { user }),
        networkId,
        limits: house.limits,
        directories: { in: inDirectory, out: spec.slot.out, home, workspace: spec.slot.workspace },
      }),
    });
  const { container, link, greeting } = await house.starts.run(async () => {
    try {
      try {
        return await answer(await house.network.id());
      } catch (error) {
        // An agent process that was just ending took the network with it, as it was still without boxes.
        if (!/network \S+ not found/i.test(wordsOf(error))) throw error;
        house.network.forget();
        return await answer(await house.network.id());
      }
    } catch (error) {
      throw signal.aborted ? error : boxStartError(error, { image, user });
    }
  });
  try {
    signal.throwIfAborted();
    const { State: state } = await container.inspect();
    const shell = shellOf(parseGreeting(greeting ?? ''), { hello, image, state });
    link.located(state.Pid);
    const [owner, blocked] = await Promise.all([ownerOf(state.Pid), blockMetadata(state.Pid)]);
    if (!blocked) house.log.debug('the metadata address could not be blocked in this box');
    await handOver(owner, [spec.slot.workspace, spec.slot.out, home]);
    return { container, link, record: { container: container.id, inDirectory, owner, shell } };
  } catch (error) {
    link.close();
    throw error;
  }
}

async function startContainer(options: {
  readonly house: BoxHouse;
  readonly wanted: Docker.ContainerCreateOptions;
  /** What the container finds when it starts is written. */
  readonly greeted: Promise<void>;
  readonly signal: AbortSignal;
}): Promise<Answered> {
  const { house, signal, greeted } = options;
  signal.throwIfAborted();
  const container = await house.docker.createContainer(options.wanted);
  const link = new DockerLink({ container, limits: house.limits, log: house.log });
  try {
    // Before the start: what a container says at once is lost to whoever attaches afterwards.
    await link.attach();
    const greeting = link.greeting(AbortSignal.any([signal, AbortSignal.timeout(greetingMs)]));
    await greeted;
    await container.start();
    return { container, link, greeting: await greeting };
  } catch (error) {
    link.close();
    await container.remove({ force: true, v: true }).catch(ignoreStatus(404, 409));
    throw error;
  }
}

function shellOf(
  said: Greeting | undefined,
  expected: {
    readonly hello: string;
    readonly image: string;
    readonly state: { readonly Running: boolean; readonly ExitCode: number; readonly Error: string };
  },
): BoxRecord['shell'] {
  if (said?.kind !== 'ready' || said.hello !== expected.hello) throw greetingError(said, expected);
  return said.bash === undefined ? { name: 'sh', path: said.sh } : { name: 'bash', path: said.bash };
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
